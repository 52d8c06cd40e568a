"""A tiny scene that costs nothing: a room of flat, patterned walls with exact depth. For every room's tests.

from scene_fixture import write_room      (a conftest puts this folder on sys.path; see its docstring)
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import Domain, PosedImage
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.scene_encoding import Labels, SceneOptions
from relpose_training.data.scene_set import SceneFacts, prepare_scene
from relpose_training.data.shards import ShardSet

HALF = np.array([3.0, 2.0, 1.5])
"""The room is 6 x 4 x 3 m about `CENTRE`."""
CENTRE = np.array([1000.0, -500.0, 20.0])
"""Far from zero, as a geo-referenced map is."""
ROOM_CAMERA = Camera("pinhole", 110.0, 112.0, 78.0, 61.0, 160, 120)
OPTICAL_FROM_WORLD = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""Of a camera that looks along x: optical axes x right, y down, z forward."""


def room_poses(count: int, seed: int = 0) -> list[Rigid]:
    """`map_from_camera` of cameras about the middle of the room, looking about level."""
    rng = np.random.default_rng(seed)
    poses = []
    for yaw in np.linspace(0, 2 * np.pi, count, endpoint=False):
        c, s = np.cos(yaw), np.sin(yaw)
        level = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ OPTICAL_FROM_WORLD.T
        sway = Rigid.from_rotation_vector(rng.uniform(-0.2, 0.2, 3), np.zeros(3))
        poses.append(Rigid(level, CENTRE + rng.uniform(-0.6, 0.6, 3)) @ sway)
    return poses


def room_depth(camera: Camera, pose: Rigid) -> NDArray[np.float32]:
    """Metres along the optical axis (H, W) to the walls."""
    return np.asarray(_room_points(camera, pose)[1], np.float32)


def room_image(camera: Camera, pose: Rigid, domain: Domain = "real") -> NDArray[np.uint8]:
    """BGR (H, W, 3): smooth waves over the walls, seen through the camera; "simulated" has other tints."""
    points = _room_points(camera, pose)[0] - CENTRE
    waves = np.stack([np.sin(points @ np.array(k) + 0.7 * i) for i, k in enumerate(WAVES)], axis=-1)
    fine = np.sin(9 * points).prod(axis=-1)[..., None]
    colour = 128 + 60 * waves + 40 * fine
    return np.asarray(np.clip(colour if domain == "real" else 0.7 * colour[..., ::-1] + 60, 0, 255), np.uint8)


WAVES = ((2.1, 0.6, 1.7), (-0.8, 2.7, 1.1), (1.3, -1.9, 2.6))


def room_images(
    count: int, seed: int = 0, camera: Camera = ROOM_CAMERA, depth: bool = True, domain: Domain = "real"
) -> list[PosedImage]:
    """Posed images of the room; the same count, seed and camera give the same poses."""
    return [
        PosedImage(
            f"{seed}/{domain}/{k:03d}.png", camera, pose, "map", partial(room_image, camera, pose, domain),
            load_depth=partial(room_depth, camera, pose) if depth else None,
            load_semantics=partial(room_classes, camera, pose), domain=domain,
        )
        for k, pose in enumerate(room_poses(count, seed))
    ]  # fmt: skip


def room_classes(camera: Camera, pose: Rigid) -> NDArray[np.uint8]:
    """0 floor and ceiling, 1 and 2 the walls along x and y."""
    beyond = np.abs(_room_points(camera, pose)[0] - CENTRE) / HALF
    return np.asarray([1, 2, 0], np.uint8)[beyond.argmax(axis=-1)]


def write_room(
    folder: Path,
    train: int = 12,
    val: int = 4,
    *,
    camera: Camera = ROOM_CAMERA,
    labels: Labels = "auto",
    domains: tuple[Domain, ...] = ("real",),
    shards: int = 1,
) -> Path:
    """Write train and val shards of the room into `folder`, which is returned. Well under a second.

    `labels` "none": no coordinates; "depth" or "auto": dense ones. Two domains: as many of each.
    """
    splits = {
        name: [i for d in domains for i in room_images(count, seed, camera, domain=d)]
        for seed, (name, count) in enumerate({"train": train, "val": val}.items())
    }
    prepare_scene(splits, folder, shards, SceneFacts("room", "CC0-1.0"), SceneOptions(labels=labels))
    return folder


def room_shards(folder: Path, split: str = "train") -> ShardSet:
    """The shards that `write_room` wrote."""
    return ShardSet(folder, split)


def _room_points(camera: Camera, pose: Rigid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points (H, W, 3) on the walls and their depth (H, W)."""
    y, x = np.mgrid[: camera.height, : camera.width]
    rays = np.nan_to_num(camera.rays(np.stack([x.ravel(), y.ravel()], axis=1)))
    beams = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) @ pose.rotation.T
    with np.errstate(divide="ignore"):
        walls = (np.sign(beams) * HALF - (pose.translation - CENTRE)) / beams
    depth = np.where(beams == 0, np.inf, walls).min(axis=1)
    points = pose.translation + beams * depth[:, None]
    return points.reshape(*y.shape, 3), depth.reshape(y.shape)
