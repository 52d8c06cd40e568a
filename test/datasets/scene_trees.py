"""Trees as the scripts of scene-coordinate papers leave them: a wall, z = 5 m in the map, seen exactly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

WALL = 5.0


def wall_poses(count: int) -> list[Rigid]:
    rng = np.random.default_rng(4)
    return [
        Rigid.from_rotation_vector(rng.uniform(-0.2, 0.2, 3), rng.uniform(-0.5, 0.5, 3)) for _ in range(count)
    ]


def wall_points(camera: Camera, pose: Rigid, pixels: np.ndarray) -> np.ndarray:
    """Points (N, 3) of the wall that pixels (N, 2) see."""
    rays = np.concatenate([camera.rays(pixels), np.ones((len(pixels), 1))], axis=1) @ pose.rotation.T
    return pose.translation + rays * ((WALL - pose.translation[2]) / rays[:, 2])[:, None]


def grid(width: int, height: int, first: float, step: float) -> np.ndarray:
    """Pixels (h, w, 2) from `first` on, `step` apart, inside."""
    x, y = np.meshgrid(np.arange(first, width, step), np.arange(first, height, step))
    return np.stack([x, y], axis=-1)


def wall_labels(camera: Camera, pose: Rigid, first: float = 4.0) -> np.ndarray:
    """Scene coordinates (3, h, w) float32 at pixels 8 x + first."""
    pixels = grid(camera.width, camera.height, first, 8)
    points = wall_points(camera, pose, pixels.reshape(-1, 2))
    return np.moveaxis(points.reshape(*pixels.shape[:2], 3), 2, 0).astype(np.float32)


def write_section(folder: Path, camera: Camera, poses: list[Rigid], calibration: str) -> list[Path]:
    """rgb, poses and calibration with names that agree only in their order; returns the images."""
    for part in ("rgb", "poses", "calibration"):
        (folder / part).mkdir(parents=True)
    images = []
    for k, pose in enumerate(poses):
        images.append(folder / "rgb" / f"seq-{k:02d}.color.png")
        noise = np.random.default_rng(k).integers(0, 256, (camera.height, camera.width, 3), dtype=np.uint8)
        cv2.imwrite(str(images[-1]), noise)
        np.savetxt(folder / "poses" / f"{k:05d}.txt", pose.matrix)
        (folder / "calibration" / f"c{k}.txt").write_text(calibration)
    return images


def save_tensor(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(torch.from_numpy(np.ascontiguousarray(values)), path)
