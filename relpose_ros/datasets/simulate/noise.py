"""Seeded noise, colours and lettering that the painters share. Pictures are float32 BGR, 0..255."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Colour = tuple[float, float, float]

LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


def fractal(
    height: int, width: int, rng: Generator, coarsest: float, finest: float = 1.0, fade: float = 0.7
) -> Picture:
    """Noise (height, width) of zero mean and unit deviation: octaves from `coarsest` to `finest` pixels.

    Each octave is as strong as the one an octave finer, divided by `fade`.
    """
    total = np.zeros((height, width), np.float32)
    cell, strength = coarsest, 1.0
    power = 0.0
    while cell >= finest:
        shape = (max(2, round(height / cell) + 1), max(2, round(width / cell) + 1))
        grid = rng.standard_normal(shape, dtype=np.float32)
        smooth = cv2.INTER_CUBIC if cell > 2 else cv2.INTER_LINEAR
        total += strength * cv2.resize(grid, (width, height), interpolation=smooth)
        power += strength**2
        cell, strength = cell / 2, strength * fade
    return np.asarray(total / np.sqrt(max(power, 1e-9) * 0.6), np.float32)


Range = tuple[float, float]


def colour(rng: Generator, saturation: Range, value: Range, hue: Range = (0.0, 1.0)) -> Colour:
    """A random colour with hue, saturation and value (0..1) in the ranges, as BGR 0..255."""
    shade = rng.uniform(*hue) % 1.0
    r, g, b = colorsys.hsv_to_rgb(shade, rng.uniform(*saturation), rng.uniform(*value))
    return 255 * b, 255 * g, 255 * r


def flat(height: int, width: int, tone: Colour) -> Picture:
    """One colour everywhere."""
    return np.full((height, width, 3), tone, np.float32)


def words(rng: Generator, count: int, longest: int = 8) -> str:
    """Random capital words and numbers."""
    lengths = rng.integers(1, longest + 1, count)
    return " ".join("".join(rng.choice(list(LETTERS), n)) for n in lengths)


def write(picture: Picture, text: str, left: float, base: float, tall: float, tone: Colour) -> None:
    """Letter `text` into the picture: capitals `tall` pixels high on the line `base`, cut at its sides."""
    if tall < 3 or not text:
        return
    scale, thick = tall / 22.0, max(1, round(tall / 9))
    (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    # OpenCV letters only uint8 pictures: make a stencil and blend it in.
    stencil = np.zeros((high + below + 2 * thick, wide + 2 * thick), np.uint8)
    cv2.putText(
        stencil, text, (thick, high + thick), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA
    )
    x, y = round(left) - thick, round(base) - high - thick
    patch = picture[max(0, y) : max(0, y + stencil.shape[0]), max(0, x) : max(0, x + stencil.shape[1])]
    stencil = stencil[max(0, -y) :, max(0, -x) :][: patch.shape[0], : patch.shape[1]]
    patch += (stencil.astype(np.float32) / 255)[..., None] * (np.array(tone, np.float32) - patch)


def paragraph(
    picture: Picture, box: tuple[float, float, float, float], tall: float, tone: Colour, rng: Generator
) -> None:
    """Fill the box (left, top, right, bottom) with lines of small lettering."""
    left, top, right, bottom = box
    line = top + tall
    while line < bottom:
        room = int((right - left) / (0.85 * tall))
        if room >= 3:
            text = words(rng, 2 + room // 6)[:room]
            write(picture, text, left, line, tall, tone)
        line += 1.8 * tall


def stripes(length: int, mean: float, rng: Generator, spread: float = 0.4) -> NDArray[np.int64]:
    """Cuts of [0, length] into pieces about `mean` long: increasing, from 0 to length."""
    count = max(1, round(length / mean))
    pieces = rng.uniform(1 - spread, 1 + spread, count)
    cuts = np.concatenate([[0.0], np.cumsum(pieces)]) / pieces.sum() * length
    return np.asarray(np.rint(cuts), np.int64)
