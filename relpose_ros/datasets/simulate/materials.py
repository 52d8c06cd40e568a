"""Painters of plain materials: walls, floors, wood, metal. Each gives float32 BGR (H, W, 3)."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator

from relpose_ros.datasets.simulate.noise import Colour, Picture, colour, flat, fractal, stripes

EARTH = (-0.04, 0.13)
"""Hues from red to yellow."""


def grain(picture: Picture, rng: Generator, strength: float, coarsest: float, finest: float = 1.5) -> Picture:
    """The picture with brightness noise on it."""
    height, width = picture.shape[:2]
    picture += strength * fractal(height, width, rng, coarsest, finest)[..., None]
    return picture


def plaster(height: int, width: int, density: float, rng: Generator) -> Picture:
    """A painted wall: nearly blank, as such walls are."""
    tone = colour(rng, (0.03, 0.14), (0.78, 0.9))
    return grain(flat(height, width, tone), rng, 2.0, 0.6 * density, 3.0)


def rough_plaster(height: int, width: int, density: float, rng: Generator) -> Picture:
    """A wall of coarse plaster with stains, scratches and nail holes."""
    picture = grain(flat(height, width, colour(rng, (0.05, 0.25), (0.6, 0.85))), rng, 8.0, 0.5 * density)
    # Lumps of one to four centimetres, some of them dark.
    lumps = fractal(height, width, rng, 0.045 * density, 2.0, 0.9)
    picture -= (5 * lumps + 9 * np.maximum(lumps - 1.2, 0))[..., None]
    for _ in range(round(30 * height * width / density**2)):
        at = rng.uniform(0, 1, 2) * [width, height]
        far = at + rng.normal(0, 0.05 * density, 2)
        dark = float(rng.uniform(90, 170))
        ends = [(round(x), round(y)) for x, y in (at, far)]
        if rng.random() < 0.4:
            cv2.line(picture, ends[0], ends[1], (dark, dark, dark), 1, cv2.LINE_AA)
        else:
            cv2.circle(picture, ends[0], int(rng.integers(1, 4)), (dark, dark, dark), -1, cv2.LINE_AA)
    return picture


def brick(height: int, width: int, density: float, rng: Generator) -> Picture:
    """Courses of bricks, each of its own tone."""
    tall, long = 0.075 * density, 0.24 * density
    tone = np.array(colour(rng, (0.2, 0.5), (0.45, 0.7), EARTH))
    rows = max(1, round(height / tall))
    edges = np.rint(np.linspace(0, height, rows + 1)).astype(int)
    picture = flat(height, width, (175.0, 180.0, 185.0))
    gap = max(1, round(0.009 * density))
    for k in range(rows):
        cuts = np.arange(-(k % 2) * long / 2, width + long, long)
        shades = tone + rng.normal(0, 16, (len(cuts), 1)) + rng.normal(0, 6, (len(cuts), 3))
        for x, shade in zip(np.rint(cuts).astype(int), shades, strict=True):
            picture[edges[k] + gap : edges[k + 1], max(0, x + gap) : max(0, x + round(long))] = shade
    return grain(picture, rng, 9.0, 0.03 * density)


def carpet(height: int, width: int, density: float, rng: Generator) -> Picture:
    """A mottled carpet with coarse flecks of other colours."""
    base, second = colour(rng, (0.05, 0.35), (0.35, 0.6)), colour(rng, (0.05, 0.4), (0.25, 0.7))
    picture = flat(height, width, base)
    mask = fractal(height, width, rng, 0.12 * density, 0.02 * density)[..., None] > 0.7
    picture = np.where(mask, np.array(second, np.float32), picture)
    return grain(picture, rng, 11.0, 0.25 * density)


def tiles(height: int, width: int, density: float, rng: Generator, side: float = 0.4) -> Picture:
    """Stone tiles with joints, each of its own tone and veins."""
    rows, columns = max(1, round(height / density / side)), max(1, round(width / density / side))
    shades = rng.normal(0, 9, (rows, columns)).astype(np.float32)
    picture = flat(height, width, colour(rng, (0.03, 0.2), (0.55, 0.8)))
    picture += cv2.resize(shades, (width, height), interpolation=cv2.INTER_NEAREST)[..., None]
    veins = np.abs(fractal(height, width, rng, 0.4 * density, 4.0)) < 0.08
    picture[veins] -= 25
    joint = max(1, round(0.004 * density))
    for y in np.linspace(0, height, rows + 1):
        cv2.line(picture, (0, round(y)), (width, round(y)), (90, 90, 90), joint)
    for x in np.linspace(0, width, columns + 1):
        cv2.line(picture, (round(x), 0), (round(x), height), (90, 90, 90), joint)
    return grain(picture, rng, 7.0, 0.1 * density)


def wood(height: int, width: int, density: float, rng: Generator) -> Picture:
    """Boards along the width with grain and knots."""
    tone = np.array(_timber(rng))
    picture = flat(height, width, (0.0, 0.0, 0.0))
    cuts = stripes(height, 0.16 * density, rng)
    for top, bottom in pairwise(cuts):
        picture[top:bottom] = tone * rng.uniform(0.85, 1.12)
    lines = fractal(height, max(2, width // 24), rng, 0.05 * density, 1.5)
    picture += 13 * cv2.resize(lines, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    for _ in range(round(3 * height * width / density**2)):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        size = float(rng.uniform(0.006, 0.02)) * density
        for ring in (1.0, 0.6, 0.3):
            dark = tuple(float(t) * (0.75 - 0.3 * ring * rng.random()) for t in tone)
            axes = max(1, round(1.6 * ring * size)), max(1, round(ring * size))
            cv2.ellipse(picture, at, axes, 0, 0, 360, dark, -1)
    for y in cuts[1:-1]:
        picture[y] *= 0.6
    return grain(picture, rng, 4.0, 0.02 * density)


def _timber(rng: Generator) -> Colour:
    hue = rng.uniform(0.75, 1.1)
    return 95 * hue * rng.uniform(0.7, 1.2), 140 * hue, 185 * hue


def ceiling(height: int, width: int, density: float, rng: Generator) -> Picture:
    """Mineral-fibre panels: pale, speckled, with joints."""
    picture = grain(flat(height, width, (215.0, 218.0, 220.0)), rng, 2.0, 0.3 * density)
    count = round(90 * height * width / density**2)
    at = (rng.random((count, 2)) * [height, width]).astype(int)
    picture[at[:, 0], at[:, 1]] -= rng.uniform(25, 70, (count, 1)).astype(np.float32)
    for y in np.arange(0, height, 0.6 * density):
        picture[round(y) : round(y) + 2] -= 45
    for x in np.arange(0, width, 0.6 * density):
        picture[:, round(x) : round(x) + 2] -= 45
    return picture


def metal(height: int, width: int, density: float, rng: Generator) -> Picture:
    """Painted sheet metal: nearly plain, a few scratches."""
    picture = grain(flat(height, width, colour(rng, (0.0, 0.35), (0.4, 0.75))), rng, 3.0, 0.3 * density, 2.0)
    picture[: max(1, round(0.01 * density))] *= 0.7
    return picture


def fabric(height: int, width: int, density: float, rng: Generator) -> Picture:
    """Woven cloth in checks of two or three colours."""
    picture = flat(height, width, colour(rng, (0.2, 0.6), (0.35, 0.7)))
    for axis, length in enumerate((height, width)):
        cuts = stripes(length, 0.07 * density, rng, 0.8)
        for low, high in pairwise(cuts):
            shade = np.float32(rng.normal(0, 22)) + rng.normal(0, 10, 3).astype(np.float32)
            picture[(slice(low, high), slice(None))[:: 1 - 2 * axis]] += shade
    return grain(picture, rng, 8.0, 0.01 * density, 1.0)
