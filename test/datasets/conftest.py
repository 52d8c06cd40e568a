"""Tiny images, poses and cameras to make datasets of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

WIDTH, HEIGHT = 32, 24


def random_pose(seed: int) -> Rigid:
    """A pose metres from the origin, turned anyhow."""
    numbers = np.random.default_rng(seed)
    return Rigid.from_rotation_vector(numbers.normal(size=3), numbers.normal(scale=3.0, size=3))


def random_image(seed: int, width: int = WIDTH, height: int = HEIGHT, grey: bool = False) -> np.ndarray:
    """Noise, so that no two images are the same."""
    shape = (height, width) if grey else (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def camera() -> Camera:
    """A small camera with fx != fy and an off-centre principal point."""
    return Camera("plumb_bob", 30.0, 31.0, 15.0, 12.5, WIDTH, HEIGHT, (0.1, -0.02, 0.001, 0.002))


@pytest.fixture
def make_pose() -> Callable[[int], Rigid]:
    """Seed -> pose."""
    return random_pose


@pytest.fixture
def make_image() -> Callable[..., np.ndarray]:
    """Seed -> image."""
    return random_image


@pytest.fixture
def save_image() -> Callable[..., np.ndarray]:
    """Write a lossless or JPEG image file of a seed; returns what was written."""

    def save(path: Path, seed: int, **options: object) -> np.ndarray:
        image = random_image(seed, **options)  # type: ignore[arg-type]
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), image)
        return image

    return save


@pytest.fixture
def same_pose() -> Callable[..., bool]:
    """Whether two poses agree to a tolerance in metres and radians."""

    def same(one: Rigid | None, other: Rigid, tolerance: float = 1e-9) -> bool:
        return one is not None and float(np.abs(one.error_to(other)).max()) < tolerance

    return same


@pytest.fixture
def pose_line() -> Callable[[Rigid], str]:
    """`tx ty tz qx qy qz qw` with all digits."""

    def line(pose: Rigid) -> str:
        return " ".join(f"{v:.17g}" for v in (*pose.translation, *pose.rotation_xyzw))

    return line
