"""Ideal correspondences of a known geometry, to measure an estimated essential matrix by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TRIED = np.concatenate([[0.0], np.logspace(-6, 6, 60)])
"""Where the search for the best pair of epipolar lines starts, to both sides of a line through either point:
at every scale, since the least may be in a narrow dip there."""
SECTIONS, POLISHING = 9, 5
"""Golden sections after that, then Newton steps."""
AT_EPIPOLE = 1e-9


def virtual_correspondences(essential: Array) -> NDArray[np.float32]:
    """Correspondences (400, 4) of `essential` (3, 3) all over both images.

    A grid on (-1, 1) x (-1, 1) of the plane z = 1, seen alike in both images, moved by the least that makes
    it fulfil x2' E x1 = 0.
    """
    axis = np.arange(-1, 1, 0.1)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    grid = grid.astype(np.float32).astype(np.float64)  # as the published ones: the grid is in float32
    return np.concatenate(correct_matches(np.asarray(essential, np.float64), grid, grid), axis=1).astype(
        np.float32
    )


def correct_matches(essential: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """Points (N, 2), (N, 2) moved by the least, in squares, that makes them fulfil x2' E x1 = 0.

    Hartley and Zisserman 2004, algorithm 12.1, for all points at once: OpenCV's takes a tenth of a second for
    400. A point at its epipole fulfils it already and stays, with its partner.
    """
    left, _, right = np.linalg.svd(essential)
    one, two = _turned(first, right[2]), _turned(second, left[:, 2])
    moved = np.einsum("nji,jk,nkl->nil", two.back, essential, one.back)
    pencil = _Pencil(one.f, two.f, moved[:, 1, 1], moved[:, 1, 2], moved[:, 2, 1], moved[:, 2, 2])
    t = pencil.best()
    line1 = np.stack([t * pencil.f, np.ones_like(t), -t], axis=1)
    line2 = np.stack([-pencil.g * pencil.second(t), pencil.first(t), pencil.second(t)], axis=1)
    keep = one.at_epipole | two.at_epipole
    return _foot(line1, one.back, first, keep), _foot(line2, two.back, second, keep)


class _Turned(NamedTuple):
    """For N points, axes with the point as origin and the epipole at (1, 0, f).

    `back` (N, 3, 3): homogeneous, from those axes to the image's; `f`, `at_epipole` (N,).
    """

    back: Array
    f: Array
    at_epipole: NDArray[np.bool_]


def _turned(points: Array, epipole: Array) -> _Turned:
    away = epipole[:2] - points * epipole[2]
    length = np.linalg.norm(away, axis=1)
    at_epipole = length < AT_EPIPOLE
    length = np.where(at_epipole, 1.0, length)
    x, y = np.where(at_epipole, [[1.0], [0.0]], away.T / length)
    back = np.zeros((len(points), 3, 3))
    back[:, 0, 0], back[:, 0, 1], back[:, 0, 2] = x, -y, points[:, 0]
    back[:, 1, 0], back[:, 1, 1], back[:, 1, 2] = y, x, points[:, 1]
    back[:, 2, 2] = 1
    return _Turned(back, epipole[2] / length, at_epipole)


class _Pencil(NamedTuple):
    """Epipolar lines of N pairs as a function of t (..., N), names as in the book; `g` is its f'."""

    f: Array
    g: Array
    a: Array
    b: Array
    c: Array
    d: Array

    def first(self, t: Array) -> Array:
        return self.a * t + self.b

    def second(self, t: Array) -> Array:
        return self.c * t + self.d

    def cost(self, t: Array) -> Array:
        """Squared distance of both points to their lines (eq. 12.5); 0 / 0 counts as worst."""
        lower = self.first(t) ** 2 + (self.g * self.second(t)) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = t**2 / (1 + (self.f * t) ** 2) + self.second(t) ** 2 / lower
        return np.where(np.isnan(cost), np.inf, cost)

    def best(self) -> Array:
        """The t (N,) of least cost."""
        with np.errstate(divide="ignore", invalid="ignore"):
            through_second = np.nan_to_num(-self.d / self.c, posinf=0.0, neginf=0.0)
        starts = (np.zeros_like(self.f), through_second)
        found = np.stack([self._least_beside(t, sign) for t in starts for sign in (-1.0, 1.0)])
        return np.asarray(found[self.cost(found).argmin(axis=0), np.arange(len(self.f))])

    def _least_beside(self, line: Array, sign: float) -> Array:
        """The t (N,) of least cost that is found to one side of `line` (N,)."""
        start = self.cost(line + sign * TRIED[:, None]).argmin(axis=0)
        low, high = (line + sign * TRIED[np.clip(start + k, 0, len(TRIED) - 1)] for k in (-1, 1))
        golden = (np.sqrt(5) - 1) / 2
        for _ in range(SECTIONS):
            left, right = high - golden * (high - low), low + golden * (high - low)
            better = self.cost(left) <= self.cost(right)
            low, high = np.where(better, low, left), np.where(better, right, high)
        t: Array = (low + high) / 2
        for _ in range(POLISHING):
            t = self._newton(t)
        return t

    def _newton(self, t: Array) -> Array:
        """One step towards the root of the cost's derivative (eq. 12.7), where it makes things better."""
        p, q, k = self.first(t), self.second(t), self.a * self.d - self.b * self.c
        lower, lower_slope = p**2 + (self.g * q) ** 2, 2 * (self.a * p + self.c * self.g**2 * q)
        upper, upper_slope = 1 + (self.f * t) ** 2, 2 * self.f**2 * t
        value = t * lower**2 - k * upper**2 * p * q
        slope = lower**2 + 2 * t * lower * lower_slope
        slope -= k * (2 * upper * upper_slope * p * q + upper**2 * (self.a * q + self.c * p))
        with np.errstate(divide="ignore", invalid="ignore"):
            there = t - value / slope
        return np.asarray(np.where(self.cost(there) <= self.cost(t), there, t))


def _foot(lines: Array, back: Array, points: Array, keep: NDArray[np.bool_]) -> Array:
    """The points (N, 2) of lines (N, 3) that are nearest to the origin, in the image's axes."""
    x, y, z = lines.T
    foot = np.einsum("nij,nj->ni", back, np.stack([-x * z, -y * z, x**2 + y**2], axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        nearest = foot[:, :2] / foot[:, 2:]
    return np.where(keep[:, None], points, nearest)
