"""Features of an image at another size, in pixels of the image as it is: as published protocols have it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.base import Extractor, Features


class Resized:
    """`extractor` at `size` (width, height), whatever the shape of the image."""

    def __init__(self, extractor: Extractor, size: tuple[int, int]) -> None:
        self.extractor, self.size = extractor, size
        self.name, self.dimension = extractor.name, extractor.dimension

    def extract(self, image: NDArray[np.uint8]) -> Features:
        """Features of an image (H, W) or (H, W, 3), pixel centres kept aligned."""
        import cv2

        height, width = image.shape[:2]
        small = np.asarray(cv2.resize(image, self.size, interpolation=cv2.INTER_AREA), np.uint8)
        found = self.extractor.extract(small)
        factor = np.array([width / self.size[0], height / self.size[1]], np.float32)
        keypoints = np.asarray((found.keypoints + 0.5) * factor - 0.5, np.float32)
        scales = found.scales * np.float32(np.sqrt(factor.prod()))
        return Features(keypoints, scales, found.descriptors, found.scores)
