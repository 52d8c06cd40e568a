"""Pictures of a world: colour with filtered textures and smooth edges, exact depth and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.atlas import LEVELS_PER_OCTAVE
from relpose_ros.datasets.simulate.lens import SUBPIXELS, Lens, make_lens
from relpose_ros.datasets.simulate.rasteriser import Projected, project, rasterise
from relpose_ros.datasets.simulate.world import World
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

Floats = NDArray[np.float32]
Ids = NDArray[np.int32]
Rows = NDArray[np.intp]
Picture = NDArray[np.integer[Any] | np.floating[Any]]
Coordinates = NDArray[np.floating[Any]]
Image = NDArray[np.uint8]

ROW = 1024
"""cv2.remap wants two-dimensional maps: samples are laid out in rows of this length."""
CHUNK = 32 * ROW
"""So many samples are shaded at a time: the intermediate values stay in the processor's cache."""
STRONGEST_SLANT = 3.0
"""Surfaces seen at a slant are filtered for at most this many times their shorter footprint."""


@dataclass(frozen=True)
class Rendering:
    """What an ideal camera sees.

    `radiance` (H, W, 3) float32 BGR, 255 is white; `depth` (H, W) float32 metres along the optical
    axis, 0 where nothing is; `surface` (H, W) int32, place in `world.surfaces`, -1 for nothing.
    """

    world: World
    camera: Camera
    map_from_camera: Rigid
    radiance: Floats
    depth: Floats
    surface: Ids

    @property
    def image(self) -> Image:
        """BGR, uint8."""
        return np.asarray(cv2.convertScaleAbs(self.radiance), np.uint8)

    @property
    def normals(self) -> Floats:
        """Unit normals (H, W, 3) in camera axes, zero where nothing is."""
        table = np.zeros((len(self.world.surfaces) + 1, 3), np.float32)
        table[:-1] = self.world.normals @ self.map_from_camera.rotation
        return table[self.surface]

    @property
    def labels(self) -> Image:
        """Semantic classes (H, W), see `surfaces.Label`."""
        return _labels(self.world, self.surface)

    @property
    def instances(self) -> Ids:
        """Object numbers (H, W), 0 where nothing is."""
        return np.append(self.world.instances, 0).astype(np.int32)[self.surface]


class Renderer:
    """Renders one world. `light` arguments are what `world.light.lit(...)` gives."""

    def __init__(self, world: World) -> None:
        self.world = world

    def render(self, camera: Camera, map_from_camera: Rigid, light: Floats | None = None) -> Rendering:
        """The picture; without `light` the bare colour of the surfaces."""
        view = _View(self.world, make_lens(camera), map_from_camera, light)
        lens, shape = view.lens, view.rows.shape
        flat = view.shade(view.rows.ravel(), lens.x.ravel(), lens.y.ravel(), lens.stretch.ravel())
        depth, colour = flat[0].reshape(shape), flat[1].reshape(*shape, 3)
        view.smooth_edges(colour)
        hidden = (view.rows < 0) | ~view.lens.valid
        depth[hidden], colour[hidden] = 0, 0
        return Rendering(self.world, camera, map_from_camera, colour, depth, view.surfaces(hidden))

    def depth(self, camera: Camera, map_from_camera: Rigid) -> Floats:
        """Depth alone (H, W), metres, 0 where nothing is; the same values as `render` gives."""
        view = _View(self.world, make_lens(camera), map_from_camera, None)
        depth = view.depth(view.rows, view.lens.x, view.lens.y)
        depth[(view.rows < 0) | ~view.lens.valid] = 0
        return depth

    def labels(self, camera: Camera, map_from_camera: Rigid) -> Image:
        """Semantic classes alone (H, W), see `surfaces.Label`; the same as `render` gives."""
        view = _View(self.world, make_lens(camera), map_from_camera, None)
        return _labels(self.world, view.surfaces((view.rows < 0) | ~view.lens.valid))


class _View:
    """One camera pose: which row of the projected surfaces every pixel sees, and their tables."""

    def __init__(self, world: World, lens: Lens, map_from_camera: Rigid, light: Floats | None) -> None:
        self.world, self.lens = world, lens
        self.projected = project(world.corners, world.alongs, world.downs, lens.canvas, map_from_camera)
        self.tables = _tables(world, self.projected, lens.canvas, map_from_camera)
        self.light = light
        canvas = rasterise(self.projected, lens.canvas.width, lens.canvas.height)
        if lens.camera.model != "pinhole":
            canvas = canvas[np.rint(lens.y).astype(np.intp), np.rint(lens.x).astype(np.intp)]
        # numpy looks tables up fastest with its own index type.
        self.rows = canvas.astype(np.intp)
        self.edge = _edges(self.rows) & lens.valid
        self.rivals = _neighbours(self.rows, self.edge)
        if lens.camera.model != "pinhole":
            self.rows[self.edge] = self._winner(lens.x[self.edge][None], lens.y[self.edge][None])[0]

    def surfaces(self, hidden: NDArray[np.bool_]) -> Ids:
        surface = self.projected.index[np.maximum(self.rows, 0)] if len(self.projected.index) else self.rows
        return np.where(hidden, -1, surface).astype(np.int32)

    def depth(self, rows: Rows, x: Floats, y: Floats) -> Floats:
        a, b, c = (np.take(self.tables["w"][k], rows, mode="clip") for k in range(3))
        return np.asarray(1 / (a * x + b * y + c), np.float32)

    def _winner(self, x: Floats, y: Floats) -> Rows:
        """Which of `rivals` (5, M) is seen at each of several canvas pixels x, y (S, M)."""
        best = np.zeros(x.shape, np.float32)
        winner = np.broadcast_to(self.rivals[0], x.shape).copy()
        for rows in self.rivals:
            u, v, w = (_affine(self.tables[name], rows, x, y) for name in "uvw")
            seen = (w > best) & (rows >= 0)
            seen &= np.minimum(u, v) >= 0
            seen &= np.maximum(u, v, out=u) <= w
            np.copyto(best, w, where=seen)
            np.copyto(winner, rows, where=seen)
        return winner

    def smooth_edges(self, colour: Floats) -> None:
        """Replace the pixels in which surfaces meet by the mean of their four samples."""
        lens, edge = self.lens, np.flatnonzero(self.edge)
        if not edge.size:
            return
        x, y = (sub.reshape(len(SUBPIXELS), -1)[:, edge] for sub in (lens.sub_x, lens.sub_y))
        stretch = np.tile(lens.stretch.ravel()[edge], len(SUBPIXELS))
        samples = self.shade(self._winner(x, y).ravel(), x.ravel(), y.ravel(), stretch)[1]
        colour.reshape(-1, 3)[edge] = samples.reshape(len(SUBPIXELS), -1, 3).mean(axis=0)

    def shade(self, rows: Rows, x: Floats, y: Floats, stretch: Floats) -> tuple[Floats, Floats]:
        """Depth (N,) and colour (N, 3) of samples at canvas pixels x, y (N,) which see `rows`."""
        depth, colour = np.empty(x.shape, np.float32), np.empty((*x.shape, 3), np.float32)
        for start in range(0, x.size, CHUNK):
            part = slice(start, start + CHUNK)
            depth[part], colour[part] = self._shade(rows[part], x[part], y[part], stretch[part])
        return depth, colour

    def _shade(self, rows: Rows, x: Floats, y: Floats, stretch: Floats) -> tuple[Floats, Floats]:
        t, take = self.tables, _take
        u, v, w = (_affine(t[name], rows, x, y) for name in "uvw")
        depth = np.asarray(1 / w, np.float32)
        place = self._texels(rows, depth, stretch)
        du, dv, dw = (take(t["step"][k], rows) for k in range(3))
        pixels = self.world.atlas.pixels
        first = _sample(pixels, (u + du) / (w + dw), (v + dv) / (w + dw), place)
        second = _sample(pixels, (u - du) / (w - dw), (v - dv) / (w - dw), place)
        colour: Picture = cv2.addWeighted(first, 0.5, second, 0.5, 0, dtype=cv2.CV_32F)
        if self.light is not None:
            place = [take(t["light"][k], rows) for k in range(4)]
            colour = cv2.multiply(colour, _sample(self.light, u * depth, v * depth, place))
        return depth, np.asarray(colour.reshape(-1, 3)[: x.size], np.float32)

    def _texels(self, rows: Rows, depth: Floats, stretch: Floats) -> list[Floats]:
        """Rectangles (x, y, width, height) of the textures in the atlas, at the right level."""
        t = self.tables
        slant = _take(t["slant"], rows) * depth * stretch
        np.minimum(np.maximum(slant, 1, out=slant), STRONGEST_SLANT, out=slant)
        # Where nothing is seen, depth is any number.
        footprint = np.maximum(_take(t["footprint"], rows) * depth * slant, np.float32(1e-6))
        level = np.rint(LEVELS_PER_OCTAVE * np.log2(footprint))
        level = np.fmax(np.fmin(level, _take(t["deepest"], rows)), 0)
        which = (level + _take(t["first"], rows)).astype(np.intp)
        return [_take(column, which) for column in self.world.atlas_columns]


def _labels(world: World, surface: Ids) -> Image:
    return np.append(world.labels, 0).astype(np.uint8)[surface]


def _take(table: Floats, rows: Rows) -> Floats:
    return np.take(table, rows, mode="clip")


def _affine(function: Floats, rows: Rows, x: Floats, y: Floats) -> Floats:
    a, b, c = (np.take(function[k], rows, mode="clip") for k in range(3))
    value = a * x
    value += b * y
    value += c
    return value


def _sample(picture: Picture, u: Coordinates, v: Coordinates, place: list[Floats]) -> Picture:
    """Bilinear look-up of texture coordinates in rectangles `place` (x, y, width, height) of a picture."""
    x, y = _within(u, place[0], place[2]), _within(v, place[1], place[3])
    if x.size % ROW:
        x, y = (np.resize(a, -(-a.size // ROW) * ROW) for a in (x, y))
    x, y = x.reshape(-1, ROW), y.reshape(-1, ROW)
    return cv2.remap(picture, x, y, cv2.INTER_LINEAR)


def _within(u: Coordinates, low: Floats, length: Floats) -> Floats:
    """low + length * u with u held in [0, 1]; overwrites u."""
    np.maximum(u, 0, out=u)
    np.minimum(u, 1, out=u)
    u *= length
    u += low
    return np.asarray(u, np.float32)


def _edges(rows: Rows) -> NDArray[np.bool_]:
    """Pixels with a direct neighbour that sees another surface."""
    edge = np.zeros(rows.shape, bool)
    across, below = rows[:, 1:] != rows[:, :-1], rows[1:] != rows[:-1]
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= below
    edge[:-1] |= below
    return edge


def _neighbours(rows: Rows, edge: NDArray[np.bool_]) -> Rows:
    """What the pixels in `edge` and their four neighbours see: (5, M), themselves first."""
    padded = np.pad(rows, 1, mode="edge")
    shifts = ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))
    height, width = rows.shape
    return np.stack([padded[y : y + height, x : x + width][edge] for y, x in shifts])


def _tables(world: World, projected: Projected, canvas: Camera, map_from_camera: Rigid) -> dict[str, Floats]:
    """Per-row constants as contiguous float32 columns (an empty view gets one dummy row)."""
    index = projected.index if len(projected.index) else np.zeros(1, np.int32)
    functions = projected.functions if len(projected.index) else np.full((1, 3, 3), 1e-9)
    tilt = functions[:, 2, :2]
    tilt = 0.25 * tilt / np.maximum(np.linalg.norm(tilt, axis=1, keepdims=True), 1e-12)
    step = np.einsum("nfc,nc->fn", functions[:, :, :2], tilt)
    offset = world.corners[index] - map_from_camera.translation
    distance = np.abs(np.einsum("ij,ij->i", world.normals[index], offset))
    columns = {
        "u": functions[:, 0].T,
        "v": functions[:, 1].T,
        "w": functions[:, 2].T,
        "step": step,
        # cosine of the slant = distance * w / |ray|; two samples share the long side between them
        "slant": 0.5 / np.maximum(distance, 1e-9),
        "footprint": world.densities[index] / canvas.focal,
        "deepest": world.deepest[index],
        "first": world.first_level[index],
        "light": world.light.place[index].T,
    }
    return {name: np.ascontiguousarray(c, np.float32) for name, c in columns.items()}
