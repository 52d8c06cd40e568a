"""Painters of things with a design: posters, books, doors, windows, screens, boards, fronts."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.random import Generator

from relpose_ros.datasets.simulate.materials import EARTH, grain, metal, wood
from relpose_ros.datasets.simulate.noise import (
    Colour,
    Picture,
    colour,
    flat,
    fractal,
    paragraph,
    stripes,
    words,
    write,
)

BLACK, WHITE = (25.0, 25.0, 25.0), (235.0, 238.0, 240.0)


def poster(height: int, width: int, density: float, rng: Generator) -> Picture:
    """Shapes, a headline and a paragraph on a coloured ground."""
    picture = grain(flat(height, width, colour(rng, (0.1, 0.7), (0.5, 0.95))), rng, 7.0, 0.3 * density, 6.0)
    size = min(height, width)
    for _ in range(int(rng.integers(6, 16))):
        _shape(picture, rng, size)
    ink = BLACK if rng.random() < 0.6 else WHITE
    write(picture, words(rng, 2, 7), 0.06 * width, 0.16 * height, 0.075 * height, ink)
    paper = (255.0 - ink[0], 255.0 - ink[1], 255.0 - ink[2])
    top = rng.uniform(0.55, 0.75) * height
    _plate(picture, 0.05 * width, top, (0.9 * width, 0.95 * height - top), paper)
    box = (0.08 * width, top + 0.02 * height, 0.92 * width, 0.94 * height)
    paragraph(picture, box, max(5.0, 0.018 * density), ink, rng)
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), ink, max(2, round(0.01 * density)))
    return picture


def _shape(picture: Picture, rng: Generator, size: int) -> None:
    height, width = picture.shape[:2]
    tone = colour(rng, (0.1, 0.9), (0.15, 0.95))
    centre = rng.random(2) * [width, height]
    radius = rng.uniform(0.05, 0.28) * size
    kind = int(rng.integers(4))
    whole = (round(centre[0]), round(centre[1]))
    if kind == 0:
        cv2.circle(picture, whole, round(radius), tone, -1, cv2.LINE_AA)
    elif kind == 1:
        cv2.circle(picture, whole, round(radius), tone, max(2, round(radius / 5)), cv2.LINE_AA)
    elif kind == 2:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
        corners = centre + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], tone, cv2.LINE_AA)
    else:
        angle = rng.uniform(0, np.pi)
        reach = radius * np.array([np.cos(angle), np.sin(angle)])
        ends = [tuple(np.rint(centre + k * reach).astype(int).tolist()) for k in (-1, 1)]
        cv2.line(picture, ends[0], ends[1], tone, max(2, round(radius / 6)), cv2.LINE_AA)


def books(height: int, width: int, density: float, rng: Generator) -> Picture:
    """The front of a bookshelf: boards and rows of spines with titles."""
    picture = wood(height, width, density, rng) * 0.35
    board = round(0.02 * density)
    rows = max(1, round(height / (0.34 * density)))
    tops = np.rint(np.linspace(0, height, rows + 1)).astype(int)
    for top, bottom in pairwise(tops):
        x = float(board)
        while x < width - board:
            wide = rng.uniform(0.018, 0.06) * density
            if rng.random() < 0.06:
                x += rng.uniform(0.03, 0.15) * density
                continue
            start = round(bottom - board - rng.uniform(0.6, 0.92) * (bottom - top - board))
            spine = picture[start : bottom - board, round(x) : min(round(x + wide), width - board)]
            if spine.shape[0] > 8 and spine.shape[1] > 3:
                _spine(spine, rng)
            x += wide
        picture[bottom - board : bottom] = (120.0, 160.0, 190.0)
    picture[:, :board] = picture[:, width - board :] = (110.0, 150.0, 180.0)
    return grain(picture, rng, 4.0, 0.02 * density)


def _spine(spine: Picture, rng: Generator) -> None:
    tall, wide = spine.shape[:2]
    spine[:] = colour(rng, (0.1, 0.85), (0.2, 0.9))
    spine[:, :1] *= 0.5
    band = round(rng.uniform(0.05, 0.3) * tall)
    spine[band : band + max(2, tall // 18)] = colour(rng, (0.1, 0.8), (0.4, 0.95))
    turned = np.zeros((wide, tall, 3), np.float32)
    write(turned, words(rng, 3, 6), 0.36 * tall, 0.75 * wide, 0.5 * wide, (1.0, 1.0, 1.0))
    ink = np.array(WHITE if spine.mean() < 130 else BLACK, np.float32)
    cover = turned.transpose(1, 0, 2)[:, ::-1]
    spine += cover * (ink - spine)


def door(height: int, width: int, density: float, rng: Generator) -> Picture:
    """A door leaf in its frame, with panels, a handle and a name plate."""
    tone = np.array(colour(rng, (0.1, 0.5), (0.35, 0.75)), np.float32)
    picture = grain(flat(height, width, (70.0, 75.0, 80.0)), rng, 3.0, 0.1 * density)
    frame = round(0.06 * density)
    leaf = picture[frame:, frame : width - frame]
    leaf[:] = tone
    h, w = leaf.shape[:2]
    for top, bottom in ((0.1, 0.45), (0.52, 0.93)):
        corner, far = (round(0.15 * w), round(top * h)), (round(0.85 * w), round(bottom * h))
        cv2.rectangle(leaf, corner, far, tuple(float(v) for v in 0.7 * tone), max(2, round(0.012 * density)))
    handle = (round(0.9 * w), round(0.5 * h))
    grip = (handle[0] - round(0.08 * density), handle[1] + round(0.02 * density))
    cv2.rectangle(leaf, handle, grip, WHITE, -1)
    _plate(leaf, 0.3 * w, 0.2 * h, (0.4 * w, 0.07 * h), WHITE)
    write(leaf, words(rng, 1, 5), 0.33 * w, 0.255 * h, 0.04 * h, BLACK)
    return grain(picture, rng, 4.0, 0.2 * density)


def window(height: int, width: int, density: float, rng: Generator) -> Picture:
    """A view out: sky, clouds, house fronts with windows, trees; behind a frame with bars."""
    picture = np.empty((height, width, 3), np.float32)
    up = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    picture[:] = np.array([235, 215, 190]) * (1 - 0.25 * up) + np.array([20, 0, -20]) * up
    clouds = np.clip(fractal(height, width, rng, 0.5 * density, 4.0, 0.55), 0, 1)[..., None]
    picture += clouds * (250 - picture)
    cuts = stripes(width, 0.25 * density, rng, 0.6)
    for left, right in pairwise(cuts):
        _house(picture[round(rng.uniform(0.3, 0.65) * height) :, left:right], density, rng)
    green = fractal(height, width, rng, 0.12 * density, 2.0)[..., None]
    low = np.linspace(-2.2, 1.2, height, dtype=np.float32)[:, None, None]
    leaves = np.array([60, 110, 75], np.float32) + 25 * green
    picture = np.where(green + 2 * low > 1.5, leaves, picture)
    bar = max(2, round(0.05 * density))
    for x in (0, width // 2 - bar // 2, width - bar):
        picture[:, x : x + bar] = WHITE
    picture[:bar] = picture[-bar:] = WHITE
    return picture


def _house(front: Picture, density: float, rng: Generator) -> None:
    """A plain front with rows of windows."""
    front[:] = colour(rng, (0.05, 0.4), (0.4, 0.8), EARTH)
    step = max(6, round(rng.uniform(0.03, 0.06) * density))
    for y in range(step // 2, front.shape[0] - step // 2, step):
        for x in range(step // 2, front.shape[1] - step // 2, step):
            front[y : y + step // 2, x : x + step // 2] = rng.uniform(50, 130)


def screen(height: int, width: int, density: float, rng: Generator) -> Picture:
    """A monitor with windows of text and a chart."""
    picture = flat(height, width, colour(rng, (0.2, 0.8), (0.1, 0.35)))
    for _ in range(3):
        x0, y0 = rng.uniform(0.03, 0.5) * width, rng.uniform(0.05, 0.45) * height
        x1, y1 = x0 + rng.uniform(0.3, 0.48) * width, y0 + rng.uniform(0.3, 0.5) * height
        paper = colour(rng, (0.0, 0.15), (0.1, 0.95))
        cv2.rectangle(picture, (round(x0), round(y0)), (round(x1), round(y1)), paper, -1)
        ink = BLACK if sum(paper) > 380 else WHITE
        paragraph(picture, (x0 + 4, y0 + 4, x1 - 4, y1), max(4.0, 0.012 * density), ink, rng)
    curve = np.cumsum(rng.normal(0, 0.04, 40)) * height + 0.5 * height
    points = np.stack([np.linspace(0.5, 0.95, 40) * width, curve], axis=1)
    cv2.polylines(picture, [np.rint(points).astype(np.int32)], False, (80.0, 220.0, 240.0), 2, cv2.LINE_AA)
    return _framed(picture, 25.0, 2 * max(2, round(0.015 * density)))


def whiteboard(height: int, width: int, density: float, rng: Generator) -> Picture:
    """Scribbles, boxes, arrows and notes on white."""
    picture = grain(flat(height, width, WHITE), rng, 2.0, 0.5 * density, 4.0)
    inks = [(180.0, 60.0, 30.0), (40.0, 40.0, 190.0), BLACK, (60.0, 130.0, 40.0)]
    for _ in range(round(16 * height * width / density**2)):
        ink = inks[int(rng.integers(4))]
        x, y = rng.uniform(0.03, 0.85) * width, rng.uniform(0.08, 0.9) * height
        if rng.random() < 0.6:
            write(picture, words(rng, 2, 6), x, y, rng.uniform(0.025, 0.06) * density, ink)
        else:
            path = np.cumsum(rng.normal(0, 0.03 * density, (12, 2)), axis=0) + np.array([x, y])
            closed = bool(rng.integers(2))
            cv2.polylines(picture, [np.rint(path).astype(np.int32)], closed, ink, 2, cv2.LINE_AA)
    return _framed(picture, 120.0, max(3, round(0.02 * density)))


def drawers(height: int, width: int, density: float, rng: Generator) -> Picture:
    """A cabinet front: doors or drawers with handles and labels."""
    picture = wood(height, width, density, rng) if rng.random() < 0.5 else metal(height, width, density, rng)
    rows, columns = max(1, round(height / (0.3 * density))), max(1, round(width / (0.45 * density)))
    for y in np.linspace(0, height, rows + 1)[:-1]:
        for x in np.linspace(0, width, columns + 1)[:-1]:
            _drawer(picture, (x, y, x + width / columns, y + height / rows), density, rng)
    return picture


def _drawer(picture: Picture, box: tuple[float, float, float, float], density: float, rng: Generator) -> None:
    """Outline, handle and often a label in the box (left, top, right, bottom)."""
    left, top, right, bottom = box
    middle, line = 0.5 * (left + right), max(1, round(0.006 * density))
    cv2.rectangle(picture, (round(left), round(top)), (round(right), round(bottom)), BLACK, line)
    _plate(picture, middle - 0.05 * density, top + 0.05 * density, (0.1 * density, 0.015 * density), BLACK)
    if rng.random() < 0.6:
        x, y = middle - 0.06 * density, top + 0.09 * density
        _plate(picture, x, y, (0.14 * density, 0.06 * density), WHITE)
        write(picture, words(rng, 1, 5), x + 3, y + 0.045 * density, 0.03 * density, BLACK)


def _plate(picture: Picture, x: float, y: float, size: tuple[float, float], tone: Colour) -> None:
    far = (round(x + size[0]), round(y + size[1]))
    cv2.rectangle(picture, (round(x), round(y)), far, tone, -1)


def crate(height: int, width: int, density: float, rng: Generator) -> Picture:
    """Planks, a frame, nails and a stencilled word."""
    picture = wood(height, width, density, rng)
    rim = round(0.05 * density)
    shade = picture.mean(axis=(0, 1)) * 0.8
    for strip in (picture[:rim], picture[-rim:], picture[:, :rim], picture[:, -rim:]):
        strip[:] = 0.4 * strip + 0.6 * shade
    for x in np.arange(rim / 2, width, 0.1 * density):
        for y in (rim // 2, height - rim // 2):
            cv2.circle(picture, (round(x), y), 2, BLACK, -1, cv2.LINE_AA)
    ink = colour(rng, (0.5, 0.95), (0.15, 0.5))
    write(picture, words(rng, 1, 6), 0.15 * width, 0.55 * height, 0.2 * height, ink)
    write(picture, words(rng, 2, 5), 0.15 * width, 0.8 * height, 0.09 * height, ink)
    return picture


def desktop(height: int, width: int, density: float, rng: Generator) -> Picture:
    """A table top with papers, folders and cups seen from above."""
    picture = wood(height, width, density, rng)
    for _ in range(round(7 * height * width / density**2)):
        size = np.array([0.21, 0.3]) * density * rng.uniform(0.4, 1.0)
        centre = rng.random(2) * [width, height]
        frame = cv2.boxPoints((centre.tolist(), size.tolist(), float(rng.uniform(0, 90))))
        tone = WHITE if rng.random() < 0.6 else colour(rng, (0.2, 0.8), (0.3, 0.9))
        cv2.fillPoly(picture, [np.rint(frame).astype(np.int32)], tone, cv2.LINE_AA)
        for k, tall in enumerate((0.025, 0.02)):
            x, y = centre[0] - 0.3 * size[0], centre[1] + 0.05 * k * density
            write(picture, words(rng, 1, 6), x, y, tall * density, BLACK)
    return picture


def lamp(height: int, width: int, density: float, rng: Generator) -> Picture:
    """A ceiling light panel."""
    picture = flat(height, width, (245.0, 250.0, 252.0))
    return _framed(picture, 150.0, max(2, round(0.02 * density)))


def _framed(picture: Picture, grey: float, thick: int) -> Picture:
    """The picture with a grey rim."""
    height, width = picture.shape[:2]
    cv2.rectangle(picture, (0, 0), (width - 1, height - 1), (grey, grey, grey), thick)
    return picture
