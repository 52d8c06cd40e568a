"""The image that RelPoseGNN's NetVLAD sees of a frame of 7-Scenes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.colour_statistics import IMAGENET
from relpose_ros.errors import ImageError

ZOOM = 585.0 / 525.0
"""Focal length of the depth camera over that of the colour camera: both then see the same."""
REDUCTION = 0.4


def zoomed(image: NDArray[np.uint8], zoom: float = ZOOM) -> NDArray[np.uint8]:
    """Enlarge by `zoom` >= 1 (bilinear, whole pixels) and cut the middle out, of the size it had before.

    Raises ImageError for a zoom below 1.
    """
    import cv2

    if not zoom >= 1:
        raise ImageError(f"expected zoom >= 1, got {zoom}: what lies outside of the image is not known")
    height, width = image.shape[:2]
    larger = cv2.resize(image, (int(width * zoom), int(height * zoom)), interpolation=cv2.INTER_LINEAR)
    top, left = (larger.shape[0] - height) // 2, (larger.shape[1] - width) // 2
    return np.asarray(larger[top : top + height, left : left + width], np.uint8)


def netvlad_input(image: NDArray[np.uint8], zoom: float = ZOOM) -> NDArray[np.float32]:
    """BGR or grey pixels (480, 640[, 3]) -> normalised RGB planes (3, 192, 256); others in proportion."""
    import cv2

    inner = zoomed(image, zoom)
    size = round(inner.shape[1] * REDUCTION), round(inner.shape[0] * REDUCTION)
    return IMAGENET.normalise(np.asarray(cv2.resize(inner, size, interpolation=cv2.INTER_LINEAR), np.uint8))
