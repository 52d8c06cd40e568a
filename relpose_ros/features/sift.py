"""RootSIFT by OpenCV: the default that needs no weights."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.base import Features
from relpose_ros.features.compression import COMPRESSED_DIMENSION, compress


def root_sift(descriptors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Hellinger-normalised SIFT (N, 128): L1 norm, then square root (Arandjelovic 2012)."""
    l1 = np.abs(descriptors).sum(axis=1, keepdims=True)
    return np.asarray(np.sqrt(descriptors / np.maximum(l1, 1e-9)), np.float32)


class RootSift:
    """SIFT keypoints with RootSIFT descriptors in 64 dimensions (see `compression`).

    `max_keypoints` keeps the strongest; `scale` < 1 looks at a smaller image, which finds
    the coarser part of the same features in `scale ** 2` of the time: maps stay usable.
    """

    name = "rootsift64"
    dimension = COMPRESSED_DIMENSION
    precise_upscale = True
    """Without it, OpenCV's keypoints sit a quarter pixel off to the lower right: harmless between equal
    images, a bias between a full and a half-sized one."""

    def __init__(self, max_keypoints: int = 2000, scale: float = 1.0) -> None:
        self.max_keypoints = max_keypoints
        self.scale = scale

    @cached_property
    def _sift(self) -> Any:
        return cv2.SIFT.create(self.max_keypoints, enable_precise_upscale=self.precise_upscale)

    def extract(self, image: NDArray[np.uint8]) -> Features:
        """Features of an image (H, W) or (H, W, 3); none at all on a blank one."""
        grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if self.scale != 1.0:
            if min(grey.shape) * self.scale < 1:
                return self._nothing()
            grey = cv2.resize(grey, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_AREA)
        keypoints, raw = self._sift.detectAndCompute(grey, None)
        if not keypoints or raw is None:
            return self._nothing()
        response = np.array([k.response for k in keypoints])
        order = np.argsort(-response, kind="stable")[: self.max_keypoints]
        pixels = np.reshape(cv2.KeyPoint.convert(keypoints), (-1, 2))[order]
        sizes = np.array([k.size for k in keypoints], np.float32)[order]
        pixels = (pixels + 0.5) / self.scale - 0.5
        return Features(
            pixels.astype(np.float32),
            sizes / np.float32(self.scale),
            self._describe(root_sift(raw[order])),
            response[order].astype(np.float32),
        )

    def _describe(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        """What becomes of RootSIFT descriptors (N, 128)."""
        return compress(descriptors)

    def _nothing(self) -> Features:
        return Features(*(np.zeros((0, *s), np.float32) for s in ((2,), (), (self.dimension,), ())))


class PlainRootSift(RootSift):
    """RootSIFT with all 128 numbers and OpenCV's own parameters, as published data and weights have it."""

    name = "rootsift128"
    dimension = 128
    precise_upscale = False

    def _describe(self, descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
        return descriptors
