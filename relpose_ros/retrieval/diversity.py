"""Neighbours that differ from each other: a pose wants baselines, not seven copies of one view."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid

Indices = NDArray[np.int64]


def strided_neighbours(
    scores: ArrayLike,
    count: int,
    period: int,
    exclude: int | None = None,
    halving: np.random.RandomState | None = None,
) -> Indices:
    """Every `period`-th of the references ranked by similarity; at most `count` indices, best first.

    `scores` (N,): similarity of the query to each reference; `exclude`: the query's own index, if
    it is a reference. With `halving`, half of the ranking is first dropped at random and the
    start is drawn from [0, period): the neighbour sampling of RelPoseGNN (Turkoglu et al., 3DV
    2021), reproduced when all queries of a set share one `RandomState(7)` in order. Without it the
    best reference is always kept and nothing is random. Fewer than `count` come back where the
    ranking is too short. Raises ConfigurationError for scores that are not (N,) or not finite.
    """
    values = np.asarray(scores)
    if values.ndim != 1 or not np.all(np.isfinite(values)):
        raise ConfigurationError(f"expected finite scores (N,), got shape {values.shape}, NaN or infinity")
    if count < 1 or period < 1:
        raise ConfigurationError(f"expected count >= 1 and period >= 1, got {count} and {period}")
    ranking = np.argsort(-values, kind="stable")
    if exclude is not None:
        ranking = ranking[ranking != exclude]
    start = 0
    if halving is not None:
        ranking = ranking[halving.random_sample(len(ranking)) < 0.5]
        start = int(halving.randint(0, period))
    return ranking[start::period][:count]


def diverse_poses(
    ranking: ArrayLike,
    map_from_camera: Rigid,
    count: int,
    distance: float,
    angle: float,
    fill: bool = True,
) -> Indices:
    """Ranked references without those that see the same from the same place; at most `count`.

    `ranking` (K,): indices into the batched `map_from_camera`, best first. A reference is
    skipped when an already chosen one lies within `distance` (the map's unit) and within
    `angle` (radians) of it, both. With `fill`, places left over go to the skipped ones, best first:
    few views of one place are better than fewer. Raises ConfigurationError for thresholds
    below zero or indices outside the map.
    """
    order = np.asarray(ranking, np.int64).reshape(-1)
    if count < 1 or not (distance >= 0 and angle >= 0):
        raise ConfigurationError(
            f"expected count >= 1, distance >= 0 and angle >= 0, got {count}, {distance} and {angle}"
        )
    if len(order) and not (order.min() >= 0 and order.max() < len(map_from_camera)):
        raise ConfigurationError(
            f"expected indices in [0, {len(map_from_camera)}), got {order.min()} to {order.max()}"
        )
    chosen: list[int] = []
    skipped: list[int] = []
    for index in order.tolist():
        if len(chosen) == count:
            break
        (skipped if _repeats(map_from_camera, index, chosen, distance, angle) else chosen).append(index)
    if fill:
        chosen += skipped[: count - len(chosen)]
    return np.asarray(chosen, np.int64)


def _repeats(poses: Rigid, index: int, chosen: list[int], distance: float, angle: float) -> bool:
    if not chosen:
        return False
    apart, turned = poses[index].distance_to(poses[np.asarray(chosen)])
    return bool(np.any((apart <= distance) & (turned <= angle)))
