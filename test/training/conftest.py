"""Posed images that cost nothing: a wall with a pattern, seen from places before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

WALL_Z = 2.0
TEXELS = 200.0
"""A metre of the wall."""
WALL_CAMERA = Camera("pinhole", 150.0, 150.0, 99.5, 74.5, 200, 150)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Of torch: sums come out in other bits with another number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _pattern() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    pattern = np.zeros((800, 1200), np.float32)
    for size in (4, 10, 30):
        noise = rng.normal(size=(800 // size, 1200 // size)).astype(np.float32)
        pattern += cv2.resize(noise, (1200, 800), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(128 + 35 * pattern, 0, 255), np.uint8)


def _see_wall(pattern: NDArray[np.uint8], map_from_camera: Rigid) -> NDArray[np.uint8]:
    """The wall z = WALL_Z, whose middle is the pattern's, from a camera."""
    wall_from_texel = np.array([[1 / TEXELS, 0, -3.0], [0, 1 / TEXELS, -2.0], [0, 0, WALL_Z]])
    inverse = map_from_camera.inverse()
    texel_to_camera = inverse.rotation @ wall_from_texel + np.outer(inverse.translation, [0, 0, 1])
    seen = cv2.warpPerspective(pattern, WALL_CAMERA.matrix @ texel_to_camera, (200, 150), borderValue=128)
    return np.asarray(seen, np.uint8)


def _wall_depth(map_from_camera: Rigid) -> NDArray[np.float32]:
    y, x = np.mgrid[:150, :200]
    rays = np.concatenate([WALL_CAMERA.rays(np.stack([x.ravel(), y.ravel()], 1)), np.ones((30000, 1))], 1)
    slope = rays @ map_from_camera.rotation[2]
    return ((WALL_Z - map_from_camera.translation[2]) / slope).reshape(150, 200).astype(np.float32)


def wall_poses(count: int, seed: int = 0) -> list[Rigid]:
    """Places before the wall, looking at it."""
    rng = np.random.default_rng(seed)
    turns, places = rng.uniform(-0.15, 0.15, (count, 3)), rng.uniform(-1, 1, (count, 3)) * [1.0, 0.4, 0.3]
    return [Rigid.from_rotation_vector(*pair) for pair in zip(turns, places, strict=True)]


@pytest.fixture(scope="session")
def wall() -> Callable[..., list[PosedImage]]:
    """`wall(count, seed=0, depth=True)`: images of the wall."""
    pattern = _pattern()

    def see(count: int, seed: int = 0, depth: bool = True) -> list[PosedImage]:
        return [
            PosedImage(
                f"{k:03d}.png", WALL_CAMERA, pose, "map", partial(_see_wall, pattern, pose),
                load_depth=partial(_wall_depth, pose) if depth else None,
            )
            for k, pose in enumerate(wall_poses(count, seed))
        ]  # fmt: skip

    return see


@pytest.fixture(scope="session")
def wall_folder(wall) -> Callable[..., Path]:
    """`wall_folder(path, count, seed=0)`: writes images of the wall as a posed-image folder."""

    def write(path: Path, count: int, seed: int = 0) -> Path:
        (path / "images").mkdir(parents=True)
        lines = []
        for image in wall(count, seed):
            cv2.imwrite(str(path / "images" / image.name), image.load())
            pose = image.map_from_camera
            lines.append(
                " ".join([image.name, *map(repr, pose.translation.tolist() + pose.rotation_xyzw.tolist())])
            )
        (path / "poses.txt").write_text("\n".join(lines) + "\n")
        (path / "intrinsics.txt").write_text("150.0 150.0 99.5 74.5 200 150\n")
        return path

    return write


@pytest.fixture
def interrupt_at(monkeypatch) -> Callable[..., None]:
    """`interrupt_at(8, 19)`: the 8th and 19th training step from here on raise KeyboardInterrupt."""
    from relpose_training.engine.loop import Trainer

    def interrupt(*numbers: int) -> None:
        calls = []
        original = Trainer.train_step

        def interrupted(self, data, meter):
            calls.append(self.step)
            if len(calls) in numbers:
                raise KeyboardInterrupt
            return original(self, data, meter)

        monkeypatch.setattr(Trainer, "train_step", interrupted)

    return interrupt
