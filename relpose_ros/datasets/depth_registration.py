"""Depth images of a second sensor, seen from the colour camera."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.image_files import read_depth
from relpose_ros.errors import ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid


@dataclass(frozen=True)
class RegisteredDepth:
    """A `PosedImage.load_depth` that moves the depth sensor's image into the colour camera."""

    path: Path
    depth_camera: Camera
    colour_camera: Camera
    colour_from_depth: Rigid
    units_per_metre: float = 1000.0
    invalid: int = 65535

    def __call__(self) -> NDArray[np.float32]:
        """Metres (H, W) of the colour image, 0 where unknown. Raises ImageError for a broken file."""
        depth = read_depth(self.path, self.units_per_metre, self.invalid)
        camera = self.depth_camera
        if depth.shape != (camera.height, camera.width):
            raise ImageError(
                f"{self.path}: expected a depth image of {camera.width}x{camera.height}, "
                f"got {depth.shape[1]}x{depth.shape[0]}"
            )
        return register(depth, camera, self.colour_camera, self.colour_from_depth)


def register(
    depth: NDArray[np.float32], depth_camera: Camera, colour: Camera, pose: Rigid
) -> NDArray[np.float32]:
    """Splat `depth` (H, W) metres into the colour camera; the nearest surface wins, 0 where nothing lands.

    `pose` is `colour_from_depth`. Splatting is done at the depth image's resolution and enlarged, so that a
    finer colour image gets no pattern of holes.
    """
    import cv2

    y, x = np.nonzero(depth)
    metres = depth[y, x].astype(float)
    rays = depth_camera.rays(np.stack([x, y], axis=1))
    points = pose.apply(np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * metres[:, None])
    small = colour.resized(depth_camera.width, depth_camera.height)
    pixels = small.project(points)
    seen = small.contains(pixels) & (points[:, 2] > 0)
    column, row = np.rint(pixels[seen]).astype(int).T
    out = np.full((small.height, small.width), np.inf)
    np.minimum.at(out, (row, column), points[seen, 2])
    out[~np.isfinite(out)] = 0
    enlarged = cv2.resize(
        out.astype(np.float32), (colour.width, colour.height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    return np.asarray(enlarged, np.float32)
