"""Mean and variance of colours, by which networks expect their images to be normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class ColourStatistics:
    """Of red, green and blue between 0 and 1."""

    mean: Triple
    variance: Triple

    def normalise(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """BGR (H, W, 3) or grey (H, W) pixels -> RGB planes (3, H, W), mean 0 and variance 1 float32."""
        return colour_planes(image, 1 / 255, self.mean, np.sqrt(np.asarray(self.variance)))


def colour_planes(
    image: NDArray[np.uint8], scale: float, mean: ArrayLike, spread: ArrayLike
) -> NDArray[np.float32]:
    """BGR (H, W, 3) or grey (H, W) pixels -> RGB planes (3, H, W) float32: (value * scale - mean) / spread.

    `mean`, `spread` (3,) of red, green, blue.
    """
    import cv2

    # Divided by 255, not multiplied by its inverse: to the last bit as torchvision and the goldens have it.
    values = np.arange(256, dtype=np.float32)[:, None] / np.float32(1 / scale) - np.asarray(mean, np.float32)
    table = np.ascontiguousarray((values / np.asarray(spread, np.float32)).T)
    planes = np.empty((3, *image.shape[:2]), np.float32)
    for colour, out in enumerate(planes):
        channel = image if image.ndim == 2 else image[..., 2 - colour]
        cv2.LUT(np.ascontiguousarray(channel), table[colour], out)
    return planes


CAFFE = ColourStatistics((0.48501960784313836, 0.4579568627450961, 0.4076039215686255), ((1 / 255) ** 2,) * 3)
"""0 to 255 less the mean that Caffe's VGG16 was trained with."""
IMAGENET = ColourStatistics((0.485, 0.456, 0.406), (0.229**2, 0.224**2, 0.225**2))
CAMBRIDGE = ColourStatistics((0.5, 0.5, 0.5), (0.25**2, 0.25**2, 0.25**2))
"""As RelPoseGNN has it: rounded values, the same for all scenes."""

SEVEN_SCENES = {
    "chess": ColourStatistics(
        (5.009650708326967017e-01, 4.413125411911532625e-01, 4.458285283490354689e-01),
        (4.329720281018845096e-02, 5.278270383679337097e-02, 4.760929057962018374e-02),
    ),
    "fire": ColourStatistics(
        (5.222627479256024552e-01, 4.620521564670138082e-01, 4.212473626365915158e-01),
        (5.550322239689903236e-02, 5.943252514694064015e-02, 5.525370066993806617e-02),
    ),
    "heads": ColourStatistics(
        (4.570619554738562518e-01, 4.504317877348855137e-01, 4.586057516467524908e-01),
        (7.874170624948270691e-02, 7.747845434384653673e-02, 7.183367877515742239e-02),
    ),
    "office": ColourStatistics(
        (4.703657901067226921e-01, 4.414751487847252132e-01, 4.351020758221028628e-01),
        (7.105139804377599844e-02, 7.191485421006868495e-02, 6.783299267371162289e-02),
    ),
    "pumpkin": ColourStatistics(
        (5.503370888799515859e-01, 4.492568432042766124e-01, 4.579284152018213705e-01),
        (4.053158612557544727e-02, 4.899782680513672939e-02, 3.385843494567825074e-02),
    ),
    "redkitchen": ColourStatistics(
        (5.262172203420504291e-01, 4.400453064527823366e-01, 4.320846191351511711e-01),
        (4.872459633076364760e-02, 6.484063059696282272e-02, 5.724255797232574716e-02),
    ),
    "stairs": ColourStatistics(
        (4.472714732115506964e-01, 4.312183359438830910e-01, 4.291487246732026972e-01),
        (3.258580609153208241e-02, 2.618736971489385446e-02, 1.208855922484347589e-02),
    ),
}
"""Each scene's own, as published with RelPoseGNN and others."""
