"""Lens distortion on the plane z = 1, and its inverse. Only `Camera` uses this.

A lens polynomial is fitted inside the image. Further out it may turn round, and would fold
points from outside the field of view back into the image: beyond that turn there is only NaN.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_RAY_ANGLE = float(np.deg2rad(85.0))
"""Rays further from the optical axis have no useful place on the plane z = 1."""

ARRIVED = 1e-7
"""Error on the plane z = 1 (1e-4 pixels at a focal length of 1000) at which an inverse is one."""


PRECISE = 1e-10
"""Error at which an iteration towards an inverse may stop."""


class Lens(Protocol):
    """Points (N, 2) on z = 1 <-> where the lens puts them; NaN where it does not."""

    def distort(self, rays: Array) -> Array: ...

    def undistort(self, flat: Array) -> Array: ...


class NoLens:
    """A pinhole."""

    def distort(self, rays: Array) -> Array:
        return rays

    def undistort(self, flat: Array) -> Array:
        return flat


class Growth:
    """The function `x * N(x^2) / D(x^2)` from 0 to `reach`, up to where it grows; and its inverse.

    `numerator` and `denominator`: coefficients of N and D, constant first.
    """

    def __init__(self, numerator: Array, denominator: Array, limit: float) -> None:
        self.numerator, self.denominator = numerator, denominator
        self.reach = min(limit, self._turn(limit))

    def _turn(self, limit: float) -> float:
        """Where the slope or the denominator first becomes zero."""
        n, d = self.numerator, self.denominator
        twice_s = [0.0, 2.0]
        above = polynomial.polyadd(n, polynomial.polymul(twice_s, polynomial.polyder(n)))
        below = polynomial.polymul(twice_s, polynomial.polyder(d))
        slope = np.asarray(
            polynomial.polysub(polynomial.polymul(above, d), polynomial.polymul(n, below)), float
        )
        turn, pole = _first_root(slope, limit), _first_root(d, limit)
        return min(turn, 0.99 * pole)  # at the pole itself the image is infinitely large

    def factor(self, squared: Array) -> tuple[Array, Array]:
        """N / D at `x^2`, and its derivative with respect to `x^2`."""
        n, dn = _value_and_slope(self.numerator, squared)
        if len(self.denominator) == 1:
            return n, dn
        d, dd = _value_and_slope(self.denominator, squared)
        return n / d, (dn - n / d * dd) / d

    @cached_property
    def _table(self) -> tuple[Array, Array]:
        """Samples (values, arguments) to start the inverse from, denser near the axis."""
        arguments = self.reach * np.linspace(0, 1, 257) ** 1.5
        return arguments * self.factor(arguments**2)[0], arguments

    def guess(self, values: Array) -> Array:
        """About the argument of each value; `reach` for values beyond the last."""
        return np.asarray(np.interp(values, *self._table))

    def inverse(self, values: Array) -> Array:
        """The argument of each value; `reach` for values beyond the last."""
        samples, arguments = self._table
        values = np.minimum(values, samples[-1])
        after = np.clip(np.searchsorted(samples, values), 1, len(samples) - 1)
        low, high = arguments[after - 1], arguments[after]
        x = self.guess(values)
        for _ in range(8):
            factor, slope = self.factor(x * x)
            error = x * factor - values
            if not np.any(np.abs(error) > PRECISE):
                break
            low, high = np.where(error < 0, x, low), np.where(error > 0, x, high)
            moved = x - error / np.maximum(factor + 2 * x * x * slope, 1e-12)
            # Newton, or the middle of the bracket where the curve throws Newton out of it.
            x = np.where((moved >= low) & (moved <= high), moved, (low + high) / 2)
        return x


def _value_and_slope(coefficients: Array, x: Array) -> tuple[Array, Array]:
    """A polynomial and its derivative at x (Horner)."""
    value, slope = np.full_like(x, coefficients[-1]), np.zeros_like(x)
    for coefficient in coefficients[-2::-1]:
        slope = slope * x + value
        value = value * x + coefficient
    return value, slope


def _first_root(coefficients: Array, limit: float) -> float:
    """The first x in (0, limit] where a polynomial in x^2 is zero; infinity if there is none."""
    scaled = coefficients * limit ** (2 * np.arange(len(coefficients)))
    roots = polynomial.polyroots(polynomial.polytrim(scaled, 1e-9))  # a leading 1e-170 ruins all roots
    real = roots[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)].real
    return limit * float(np.sqrt(real.min())) if len(real) else float("inf")


class RadialTangential:
    """Brown-Conrady as OpenCV has it: k1 k2 p1 p2 [k3 [k4 k5 k6]]."""

    def __init__(self, coefficients: tuple[float, ...]) -> None:
        k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, *[0.0] * (8 - len(coefficients)))
        self.p1, self.p2 = p1, p2
        denominator = np.array([1, k4, k5, k6]) if k4 or k5 or k6 else np.ones(1)
        self.radial = Growth(np.array([1, k1, k2, k3]), denominator, np.tan(MAX_RAY_ANGLE))

    def distort(self, rays: Array) -> Array:
        radius = np.hypot(rays[:, 0], rays[:, 1])
        rays = np.where((radius <= self.radial.reach * (1 + 1e-9))[:, None], rays, np.nan)
        bent, (xx, xy, yy) = self._linearized(rays)
        upright = xx * yy - xy * xy > -1e-9  # the tangential part can turn the image over a little earlier
        return np.where(upright[:, None], bent, np.nan)

    def undistort(self, flat: Array) -> Array:
        bent = np.hypot(flat[:, 0], flat[:, 1])
        tangential = self.p1 != 0 or self.p2 != 0
        radius = self.radial.guess(bent) if tangential else self.radial.inverse(bent)
        rays = flat * (radius / np.maximum(bent, 1e-300))[:, None]
        if tangential:
            rays = self._newton(rays, flat)
        arrived = np.abs(self.distort(rays) - flat).max(axis=1) < ARRIVED
        return np.where(arrived[:, None], rays, np.nan)

    def _newton(self, rays: Array, flat: Array) -> Array:
        for _ in range(8):
            bent, (xx, xy, yy) = self._linearized(rays)
            error = bent - flat
            if not np.any(np.abs(error) > PRECISE):
                break
            determinant = xx * yy - xy * xy
            determinant = np.where(np.abs(determinant) > 1e-9, determinant, 1e-9)
            ex, ey = error.T / determinant
            rays = rays - np.stack([yy * ex - xy * ey, xx * ey - xy * ex], axis=1)
            radius = np.hypot(rays[:, 0], rays[:, 1])
            if np.any(radius > self.radial.reach):
                rays = rays * np.minimum(1, self.radial.reach / np.maximum(radius, 1e-300))[:, None]
        return rays

    def _linearized(self, rays: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        """Distorted points (N, 2), and the entries xx, xy, yy of the (symmetric) Jacobian there."""
        p1, p2 = self.p1, self.p2
        x, y = np.ascontiguousarray(rays.T)
        factor, slope = self.radial.factor(x * x + y * y)
        bent_x = x * factor + 2 * p1 * x * y + p2 * (3 * x * x + y * y)
        bent_y = y * factor + p1 * (x * x + 3 * y * y) + 2 * p2 * x * y
        xx = factor + 2 * x * x * slope + 2 * p1 * y + 6 * p2 * x
        xy = 2 * (x * y * slope + p1 * x + p2 * y)
        yy = factor + 2 * y * y * slope + 6 * p1 * y + 2 * p2 * x
        return np.stack([bent_x, bent_y], axis=1), (xx, xy, yy)


class Equidistant:
    """Kannala-Brandt: radius = theta + k1 theta^3 + k2 theta^5 + k3 theta^7 + k4 theta^9."""

    def __init__(self, coefficients: tuple[float, ...]) -> None:
        self.bend = Growth(np.array([1, *coefficients]), np.ones(1), MAX_RAY_ANGLE)

    def distort(self, rays: Array) -> Array:
        radius = np.hypot(rays[:, 0], rays[:, 1])
        theta = np.arctan(radius)
        bent = theta * self.bend.factor(theta * theta)[0]
        scale = np.where(radius > 1e-12, bent / np.maximum(radius, 1e-12), 1.0)
        return np.where((theta <= self.bend.reach * (1 + 1e-9))[:, None], rays * scale[:, None], np.nan)

    def undistort(self, flat: Array) -> Array:
        bent = np.hypot(flat[:, 0], flat[:, 1])
        theta = self.bend.inverse(bent)
        arrived = np.abs(theta * self.bend.factor(theta * theta)[0] - bent) < ARRIVED
        scale = np.where(bent > 1e-12, np.tan(theta) / np.maximum(bent, 1e-12), 1.0)
        return np.where(arrived[:, None], flat * scale[:, None], np.nan)
