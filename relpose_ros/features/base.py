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
    `descriptors` (N, D) float32, L2-normalised; `scores` (N,) what the detector says, or None where that was
    not kept (a map).
    """

    keypoints: Array
    scales: Array
    descriptors: Array
    scores: Array | None = None

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, index: NDArray[np.integer] | NDArray[np.bool_] | slice) -> Features:
        scores = None if self.scores is None else self.scores[index]
        return Features(self.keypoints[index], self.scales[index], self.descriptors[index], scores)


class Extractor(Protocol):
    """Finds and describes keypoints. `name` and `dimension` are recorded in the map."""

    name: str
    dimension: int

    def extract(self, image: NDArray[np.uint8]) -> Features:
        """Features of an image (H, W) grey or (H, W, 3) BGR, uint8. An empty result is fine."""
        ...


def rank_scores(count: int) -> Array:
    """Scores (N,) of keypoints from strongest to weakest: 1 for the first, falling evenly to 1 / N.

    For networks that are fed scores: they mean the same for every detector, and a map, which keeps the order
    of its keypoints but no scores, has them, too.
    """
    return np.asarray(1.0 - np.arange(count) / max(count, 1), np.float32)
