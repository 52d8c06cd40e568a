"""Where the pixels of any camera lie on an ideal pinhole canvas, and where their four samples lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera

SUBPIXELS = ((-0.25, -0.25), (0.25, -0.25), (-0.25, 0.25), (0.25, 0.25))
LARGEST_CANVAS = 4096

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Lens:
    """A camera prepared for rendering.

    `canvas` is the pinhole that is rasterised. `x`, `y` (H, W) are the canvas pixels which the
    image's pixel centres look at; `sub_x`, `sub_y` (4, H, W) those of the `SUBPIXELS`.
    `stretch` (H, W) is |ray| for ray on z = 1; `valid` (H, W) where a ray exists at all.
    """

    camera: Camera
    canvas: Camera
    x: Floats
    y: Floats
    sub_x: Floats
    sub_y: Floats
    stretch: Floats
    valid: NDArray[np.bool_]


@lru_cache(maxsize=4)
def make_lens(camera: Camera) -> Lens:
    """Prepare a camera. Raises ConfigurationError if its view is too wide for a flat canvas."""
    rays = [_grid_rays(camera, dx, dy) for dx, dy in ((0.0, 0.0), *SUBPIXELS)]
    valid = np.asarray(np.isfinite(rays[0]).all(axis=-1))
    canvas = camera.ideal if camera.model == "pinhole" else _canvas(camera, rays[0][valid])
    pixels = [np.nan_to_num(r * [canvas.fx, canvas.fy] + [canvas.cx, canvas.cy]) for r in rays]
    stacked = np.stack(pixels).astype(np.float32)
    stretch = np.sqrt(1 + (np.nan_to_num(rays[0]) ** 2).sum(axis=-1)).astype(np.float32)
    x, y = (np.ascontiguousarray(stacked[..., k]) for k in (0, 1))
    return Lens(camera, canvas, x[0], y[0], x[1:], y[1:], stretch, valid)


def _grid_rays(camera: Camera, dx: float, dy: float) -> NDArray[np.float64]:
    """Points on z = 1 (H, W, 2) of all pixels, moved by (dx, dy)."""
    x, y = np.meshgrid(np.arange(camera.width) + dx, np.arange(camera.height) + dy)
    rays = camera.rays(np.stack([x, y], axis=-1).reshape(-1, 2))
    return rays.reshape(camera.height, camera.width, 2)


def _canvas(camera: Camera, rays: NDArray[np.float64]) -> Camera:
    """The pinhole with the camera's focal lengths that sees all of `rays` (N, 2)."""
    low = np.floor(rays.min(axis=0) * [camera.fx, camera.fy]) - 2
    high = np.ceil(rays.max(axis=0) * [camera.fx, camera.fy]) + 2
    width, height = (int(n) for n in high - low + 1)
    if max(width, height) > LARGEST_CANVAS:
        raise ConfigurationError(
            f"the camera sees too wide an angle to be simulated: it needs a flat canvas of {width}x{height} "
            f"pixels, at most {LARGEST_CANVAS} a side are made; give a narrower or smaller camera"
        )
    ideal = camera.ideal
    return replace(ideal, cx=float(-low[0]), cy=float(-low[1]), width=width, height=height)
