"""What each view of a scene sees of it, in the form that measures of similarity need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.surface_overlap import Surface, surface_from_depth
from relpose_training.data.scene_storage import stored_view
from relpose_training.data.shards import Sample, ShardSet

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

COARSE = 80
"""Pixels of the short side of the depth that hidden points are found with."""


@dataclass(frozen=True)
class SeenView:
    """One view: `points` (N, 3) that it sees, in the map, some of all; the `surface` (dense) where that was
    asked for; `depth` (h, w), metres, coarse, 0 where unknown, or None."""

    name: str
    simulated: bool
    camera: Camera
    map_from_camera: Rigid
    points: Array
    depth: Floats | None = None
    surface: Surface | None = None


def views_of_set(shards: ShardSet, points: int, surfaces: bool = False) -> Iterator[SeenView]:
    """All views of a split, in the order of its names. Raises DatasetError for shards of something else."""
    names = [str(name) for name in shards.index.meta.get("names", ())]
    if len(names) != sum(shards.sizes) or "origin" not in shards.index.meta:
        raise DatasetError(
            f"{shards.url}/{shards.split}: expected views of a scene; make them with `relpose prepare scene`"
        )
    for number, name in enumerate(names):
        sample = _stored(shards, number)
        view = stored_view(sample)
        yield seen_view(
            name,
            bool(sample["domain"]),
            view.camera,
            view.map_from_camera,
            view.depth,
            view.landmarks,
            points,
            surfaces,
        )


def views_of_images(images: Iterable[PosedImage], points: int, surfaces: bool = False) -> Iterator[SeenView]:
    """Those of a source that have a pose."""
    for image in images:
        if image.map_from_camera is None:
            continue
        depth = None if image.load_depth is None else image.load_depth()
        known = None
        if depth is None and image.load_coordinates is not None:
            known = image.load_coordinates().reshape(-1, 3)
            known = known[np.isfinite(known).all(axis=1)]
        simulated = image.domain == "simulated"
        pose = image.map_from_camera
        yield seen_view(image.name, simulated, image.camera, pose, depth, known, points, surfaces)


def seen_view(
    name: str,
    simulated: bool,
    camera: Camera,
    map_from_camera: Rigid,
    depth: Floats | None,
    known: Array | None,
    points: int,
    surfaces: bool = False,
) -> SeenView:
    """Of a depth image (H, W) of the camera's field of view, or of `known` points (M, 3) in the map.

    Raises DatasetError if `surfaces` are asked for and there is no depth.
    """
    if depth is None:
        if surfaces:
            raise DatasetError(
                f"{name}: surfaces need depth, and this image has none; expected --metric frustum or distance"
            )
        kept = np.zeros((0, 3)) if known is None else _spread(known, points)
        return SeenView(name, simulated, camera, map_from_camera, kept)
    measured = camera.resized(depth.shape[1], depth.shape[0])
    coarse = coarse_depth(depth)
    if not surfaces:
        kept = map_from_camera.apply(_grid_points(depth, measured, points))
        return SeenView(name, simulated, camera, map_from_camera, kept, coarse)
    surface = surface_from_depth(depth, measured, map_from_camera)
    kept = _spread(surface.points, points)
    return SeenView(name, simulated, camera, map_from_camera, kept, coarse, surface)


def stored_image(shards: ShardSet, number: int) -> NDArray[np.uint8]:
    """The image (H, W) or (H, W, 3), RGB, of a view of a set."""
    image = stored_view(_stored(shards, number)).image
    return image if image.ndim == 2 else np.ascontiguousarray(image[..., ::-1])


def _stored(shards: ShardSet, number: int) -> Sample:
    """The stored sample of the image with this number. Shard k holds samples k, k + shards, and so on."""
    sample = shards.shard(number % len(shards.sizes)).sample(number // len(shards.sizes))
    if int(sample["number"]) != number:
        raise DatasetError(f"{shards.url}: image {number} is not in its place; prepare the set again")
    return sample


def scene_shards(folder: Path, split: str) -> ShardSet | None:
    """The shards of a prepared set; None if the folder is something else."""
    return ShardSet(folder, split) if (folder / f"{split}.json").is_file() else None


def _grid_points(depth: Floats, camera: Camera, points: int) -> Array:
    """About so many points (N, 3) in camera axes, on a grid of pixels."""
    step = max(1, round((depth.size / points) ** 0.5))
    y, x = np.mgrid[step // 2 : depth.shape[0] : step, step // 2 : depth.shape[1] : step]
    metres = depth[y, x].ravel().astype(float)
    rays = camera.rays(np.stack([x.ravel(), y.ravel()], axis=1))
    known = np.isfinite(metres) & (metres > 0) & np.isfinite(rays).all(axis=1)
    ahead = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
    return np.asarray((ahead * metres[:, None])[known])


def _spread(points: Array, count: int) -> Array:
    """At most `count` of the points (N, 3), evenly by their order."""
    at = np.linspace(0, max(len(points) - 1, 0), min(count, len(points))).astype(int)
    return np.asarray(points[at], np.float64).reshape(-1, 3)


def coarse_depth(depth: Floats, short: int = COARSE) -> Floats:
    """A depth image (H, W) of about `short` pixels on its short side: every so many pixels, from the middle
    of the first ones on. It still is of the camera's whole field of view."""
    step = max(1, min(depth.shape) // short)
    height, width = (size // step * step for size in depth.shape)
    return np.ascontiguousarray(depth[step // 2 : height : step, step // 2 : width : step], np.float32)
