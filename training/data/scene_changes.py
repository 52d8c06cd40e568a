"""What augmentation changes in a view, and how pixels become what a network takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError

GREY_MEAN, GREY_SPREAD = 0.4, 0.25
"""DSAC*'s grey input."""


@dataclass(frozen=True)
class Augmentation:
    """`scale` of the image; `angle` (radians) by which it turns counter-clockwise; factors of its values.

    `place`: what is cut away, or put around, left of the image and above it, as shares of all (0..1 each);
    None: in the middle when it is cut, nothing when it is padded. `tint`: factors of blue, green, red.
    """

    scale: float = 1.0
    angle: float = 0.0
    brightness: float = 1.0
    contrast: float = 1.0
    place: tuple[float, float] | None = None
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


PLAIN = Augmentation()
"""None."""


@dataclass(frozen=True)
class AugmentationRange:
    """How far views are changed. The defaults are those of DSAC* and TransPose.

    `scale` s: factors from 1/s to s; `angle_deg` either way; `brightness` and `contrast` by that share;
    `tint` of each colour by that share. Raises ConfigurationError out of range.
    """

    scale: float = 1.5
    angle_deg: float = 30.0
    brightness: float = 0.1
    contrast: float = 0.1
    tint: float = 0.0

    def __post_init__(self) -> None:
        shares = (self.brightness, self.contrast, self.tint)
        if not 1 <= self.scale <= 4 or not 0 <= self.angle_deg <= 180 or not all(0 <= s < 1 for s in shares):
            raise ConfigurationError(
                "expected a scale from 1 to 4, an angle up to 180 degrees and shares from 0 to below 1, "
                f"got {self}"
            )

    def draw(self, generator: np.random.Generator) -> Augmentation:
        """One augmentation, uniform in the ranges."""
        low, high = 1 / self.scale, self.scale
        tint = generator.uniform(1 - self.tint, 1 + self.tint, 3)
        return Augmentation(
            scale=generator.uniform(low, high),
            angle=math.radians(generator.uniform(-self.angle_deg, self.angle_deg)),
            brightness=generator.uniform(1 - self.brightness, 1 + self.brightness),
            contrast=generator.uniform(1 - self.contrast, 1 + self.contrast),
            place=(generator.random(), generator.random()),
            tint=(float(tint[0]), float(tint[1]), float(tint[2])),
        )


@dataclass(frozen=True)
class Normalisation:
    """A network's input is (value / 255 - mean) / spread: of grey (one number each), or of red, green, blue.

    Raises ConfigurationError for anything else.
    """

    mean: tuple[float, ...] = (GREY_MEAN,)
    spread: tuple[float, ...] = (GREY_SPREAD,)

    def __post_init__(self) -> None:
        if len(self.mean) not in (1, 3) or len(self.mean) != len(self.spread) or min(self.spread) <= 0:
            raise ConfigurationError(
                f"expected 1 or 3 means and as many spreads above 0, got {self.mean} and {self.spread}"
            )

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return len(self.mean)

    def apply(self, image: NDArray[np.uint8], how: Augmentation = PLAIN) -> NDArray[np.float32]:
        """Grey (H, W) or BGR (H, W, 3) pixels, changed by `how` -> input (C, H, W) in the order R, G, B."""
        import cv2

        planes = _planes(image, self.channels)
        tints = how.tint[::-1] if self.channels == 3 else (1.0,)
        tables = [np.clip(np.arange(256) / 255 * how.brightness * tint, 0, 1) for tint in tints]
        means = [table[plane[::4, ::4]].mean() for table, plane in zip(tables, planes, strict=True)]
        middle = float(np.mean(means))
        out = np.empty((self.channels, *image.shape[:2]), np.float32)
        for channel, (plane, table) in enumerate(zip(planes, tables, strict=True)):
            relit = np.clip(middle + how.contrast * (table - middle), 0, 1)
            scaled = ((relit - self.mean[channel]) / self.spread[channel]).astype(np.float32)
            cv2.LUT(plane, scaled, out[channel])
        return out


GREY = Normalisation()
"""DSAC*'s."""


def luma(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey (H, W) of RGB (H, W, 3), or of grey itself, rounded as Pillow does (ITU-R 601-2)."""
    if image.ndim == 2:
        return image
    red, green, blue = np.moveaxis(image.astype(np.int32), 2, 0)
    return np.asarray((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16, np.uint8)


def _planes(image: NDArray[np.uint8], channels: int) -> list[NDArray[np.uint8]]:
    """One plane for grey, red, green, blue for colour, whatever the image is; OpenCV's grey is within 1 of
    `luma`'s and ten times faster."""
    import cv2

    if channels == 1:
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return [np.asarray(grey, np.uint8)]
    if image.ndim == 2:
        return [image] * 3
    return [np.ascontiguousarray(image[..., channel]) for channel in (2, 1, 0)]
