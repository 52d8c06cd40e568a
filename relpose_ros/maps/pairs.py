"""Which references are worth matching with each other."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid

_MAX_VIEW_ANGLE = np.deg2rad(75.0)
"""Beyond this SIFT has nothing in common, and a camera does not see the same things."""


def select_pairs(
    map_from_camera: Rigid, global_descriptors: NDArray[np.float32], neighbours: int = 20
) -> list[tuple[int, int]]:
    """Index pairs (i < j) of references that may see the same things.

    Each reference with its `neighbours` nearest in pose (distance against the local spacing of
    the references, and viewing angle), and with its most similar ones in appearance, which
    finds a far view of the same place.
    """
    count = len(map_from_camera.translation)
    cost = _pose_cost(map_from_camera)
    similar = global_descriptors @ global_descriptors.T
    np.fill_diagonal(similar, -np.inf)
    pairs: set[tuple[int, int]] = set()
    for i in range(count):
        near = np.argsort(cost[i], kind="stable")[:neighbours]
        alike = np.argsort(-similar[i], kind="stable")[: neighbours // 2]
        for j in [*near.tolist(), *alike.tolist()]:
            if j != i and np.isfinite(cost[i, j]):
                pairs.add((min(i, j), max(i, j)))
    return sorted(pairs)


def nearest_pairs(map_from_camera: Rigid, neighbours: int = 2) -> set[tuple[int, int]]:
    """Index pairs (i < j) of each reference with those whose views are nearest: they show one place.

    Here a distance counts ten times what it does in `select_pairs`: who looks the same way from further off
    may look at another door.
    """
    cost = _pose_cost(map_from_camera, 1.0)
    order = np.argsort(cost, axis=1, kind="stable")[:, :neighbours]
    pairs = ((i, j) for i, row in enumerate(order.tolist()) for j in row)
    return {(min(p), max(p)) for p in pairs if np.isfinite(cost[p])}


def look_alikes(
    global_descriptors: NDArray[np.float32], known: Collection[tuple[int, int]], neighbours: int = 4
) -> list[tuple[int, int]]:
    """Index pairs (i < j), not among the `known` ones, of each reference and those that look most alike.

    Whatever their poses: to find places that are mistaken for each other.
    """
    similar = global_descriptors @ global_descriptors.T
    np.fill_diagonal(similar, -np.inf)
    for i, j in known:
        similar[i, j] = similar[j, i] = -np.inf
    order = np.argsort(-similar, axis=1, kind="stable")[:, :neighbours]
    pairs = ((i, j) for i, row in enumerate(order.tolist()) for j in row)
    return sorted({(min(p), max(p)) for p in pairs if np.isfinite(similar[p])})


def _pose_cost(map_from_camera: Rigid, distance_weight: float = 0.1) -> NDArray[np.float64]:
    centre = map_from_camera.translation
    forward = map_from_camera.rotation[:, :, 2]
    distance = np.linalg.norm(centre[:, None] - centre[None], axis=2)
    angle = np.arccos(np.clip(forward @ forward.T, -1, 1))
    nearest = np.sort(distance, axis=1)[:, 1:6]
    spacing = np.median(nearest) if nearest.size else 1.0
    cost = distance_weight * distance / max(float(spacing), 1e-9) + angle / np.deg2rad(20)
    cost[angle > _MAX_VIEW_ANGLE] = np.inf
    np.fill_diagonal(cost, np.inf)
    return np.asarray(cost)
