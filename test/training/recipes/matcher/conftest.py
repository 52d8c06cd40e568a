"""Pairs of keypoint sets whose true matches are known, without images."""

from __future__ import annotations

import numpy as np
import pytest
import torch


@pytest.fixture
def invented_batch():
    """`invented_batch(pairs, ...)` is a batch on which a small matcher can be trained in a moment."""
    return make_batch


def make_batch(pairs: int, keypoints: int = 24, size: int = 16, noise: float = 0.1, seed: int = 0) -> dict:
    """A batch as of `MatchingPairs`: half of the keypoints of each image see a point of the other, and the
    descriptors of partners differ by `noise`."""
    generator = np.random.default_rng(seed)
    items = [_pair(generator, keypoints, size, noise) for _ in range(pairs)]
    return {name: torch.from_numpy(np.stack([item[name] for item in items])) for name in items[0]}


def _pair(generator: np.random.Generator, keypoints: int, size: int, noise: float) -> dict:
    shared = keypoints // 2
    points = generator.uniform((-1, -1, 3), (1, 1, 6), (2 * keypoints - shared, 3))
    turn, move = _small_turn(generator), generator.uniform(-0.4, 0.4, 3)
    descriptors = generator.normal(size=(len(points), size))
    order = generator.permutation(keypoints), generator.permutation(keypoints)
    seen0 = np.arange(keypoints)[order[0]]
    seen1 = np.r_[np.arange(shared), np.arange(keypoints, len(points))][order[1]]
    moved = points @ turn.T + move
    values = {
        "partner0": [int(np.flatnonzero(seen1 == p)[0]) if p in seen1 else -1 for p in seen0],
        "partner1": [int(np.flatnonzero(seen0 == p)[0]) if p in seen0 else -1 for p in seen1],
        "essential": _cross(move) @ turn,
    }
    for side, (seen, at) in enumerate(((seen0, points), (seen1, moved))):
        rays = at[seen, :2] / at[seen, 2:]
        described = descriptors[seen] + noise * generator.normal(size=(keypoints, size))
        described /= np.linalg.norm(described, axis=1, keepdims=True)
        scores = generator.random(keypoints)
        values |= {f"rays{side}": rays, f"keypoints{side}": 2 * rays}
        values |= {f"descriptors{side}": described, f"scores{side}": scores}
    return {
        name: np.asarray(value, np.int64 if name.startswith("partner") else np.float32)
        for name, value in values.items()
    }


def _small_turn(generator: np.random.Generator) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(generator.uniform(-0.2, 0.2, 3)).as_matrix()


def _cross(v: np.ndarray) -> np.ndarray:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
