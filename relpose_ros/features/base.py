"""What local features are, and the one protocol that every extractor fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Features:
    """Local features of one image, strongest first.

    `keypoints` (N, 2) float32 pixels; `scales` (N,) keypoint diameters in pixels;
    `descriptors` (N, D) float32, L2-normalised.
    """

    keypoints: Array
    scales: Array
    descriptors: Array

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, index: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Features:
        return Features(self.keypoints[index], self.scales[index], self.descriptors[index])


class Extractor(Protocol):
    """Finds and describes keypoints. `name` and `dimension` are recorded in the map."""

    name: str
    dimension: int

    def extract(self, image: NDArray[np.uint8]) -> Features:
        """Features of an image (H, W) grey or (H, W, 3) BGR, uint8. An empty result is fine."""
        ...
