"""How far two fundamental matrices are from each other, in parts of the image's diagonal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Size = tuple[int, int]

_TINY = 1e-8
"""Added to denominators, as in the published benchmark: its numbers depend on it."""


def symmetric_geometric_distance(
    fundamental: Array,
    reference: Array,
    first_size: Size,
    second_size: Size,
    samples: int = 1000,
    seed: int = 1234,
) -> float:
    """Mean distance between the epipolar geometries of two F (3, 3), images of (width, height) pixels.

    A random pixel and a random point of its epipolar line under one F are measured against the lines of
    the other F, then the other way round; distances are over the image's diagonal (Zhang, "Determining
    the Epipolar Geometry and its Uncertainty", IJCV 1998; Bian et al., FM-Bench, BMVC 2019). A pixel
    whose line misses the image is drawn anew, ten times `samples` in all; 1 if all of them miss.
    """
    random = np.random.RandomState(seed)  # the published draws
    distances: list[float] = []
    for _ in range(10 * samples):
        forth = _one_way(random, fundamental, reference, first_size, second_size)
        if forth is None:
            continue
        back = _one_way(random, reference, fundamental, first_size, second_size)
        if back is None:
            continue
        distances.append((forth + back) / 2)
        if len(distances) == samples:
            break
    return float(np.mean(distances)) if distances else 1.0


def _one_way(
    random: np.random.RandomState, drawn_by: Array, measured_by: Array, first_size: Size, second_size: Size
) -> float | None:
    width, height = first_size
    pixel = np.array([(width - 1) * random.random_sample(), (height - 1) * random.random_sample(), 1.0])
    ends = _crossings(drawn_by @ pixel, second_size)
    if len(ends) < 2:
        return None
    start, end = ends[:2]
    partner = np.append(start + random.random_sample() * (end - start), 1.0)
    in_second = _distance(measured_by @ pixel, partner) / np.hypot(*second_size)
    in_first = _distance(measured_by.T @ partner, pixel) / np.hypot(*first_size)
    return float(in_second + in_first) / 2


def _distance(line: Array, point: Array) -> float:
    return float(abs(line @ point) / (np.hypot(line[0], line[1]) + _TINY))


def _crossings(line: Array, size: Size) -> list[Array]:
    """Where a line (3,) crosses the left, right, top and bottom border of an image, in this order."""
    a, b, c = line.tolist()
    right, bottom = size[0] - 1, size[1] - 1
    over_a, over_b = (1 / (x + np.copysign(_TINY, x)) for x in (a, b))
    at_sides = [(0.0, -c * over_b), (float(right), -(c + a * right) * over_b)]
    at_ends = [(-c * over_a, 0.0), (-(c + b * bottom) * over_a, float(bottom))]
    inside = [p for p in at_sides if 0 <= p[1] <= bottom] + [p for p in at_ends if 0 <= p[0] <= right]
    return [np.array(p) for p in inside]
