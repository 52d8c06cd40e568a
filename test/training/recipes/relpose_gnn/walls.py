"""Graph scenes that can be learnt in seconds: a camera before a flat wall with a pattern of its own."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from relpose_ros.datasets.base import PosedImage
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.retrieval.graph_images import GraphInput
from relpose_training.data.graph_index import write_index
from relpose_training.data.graph_parts import GraphSetOptions, store_scene
from relpose_training.data.graph_roles import Roles

WIDTH, HEIGHT, FOCAL = 48, 32, 40.0
INPUT = GraphInput("canonical", WIDTH, HEIGHT, FOCAL)
CAMERA = Camera("pinhole", FOCAL, FOCAL, (WIDTH - 1) / 2, (HEIGHT - 1) / 2, WIDTH, HEIGHT)
SPREAD = np.array([0.5, 0.4, 0.15, 0.05, 0.05, 0.15])
"""Of the camera's position, metres (the wall is one away), and rotation vector: uniform, to either side."""


def write_walls(folder: Path, splits: dict[str, int], views: int = 16) -> Path:
    """`splits`: how many walls each has; a third of the views are queries."""
    number = 0
    for split, count in splits.items():
        entries = []
        for _ in range(count):
            entries.append(_wall(folder, split, number, views))
            number += 1
        write_index(folder, split, entries, INPUT, "true distance", "test", {})
    return folder


def _wall(folder: Path, split: str, seed: int, views: int) -> dict:
    pixels, poses, twists = views_of(seed, views)
    images = [PosedImage(f"{k}.png", CAMERA, poses[k], "map", black) for k in range(views)]
    references = np.arange(views - views // 3)
    queries = np.arange(len(references), views)
    away = np.linalg.norm(twists[queries, None, :3] - twists[references, :3], axis=2)
    file, options = folder / split / f"wall{seed}.h5", GraphSetOptions(INPUT)
    scene = store_scene(file, images, pixels, Roles(references, queries), -away, options)
    about = {"name": f"wall{seed}", "file": f"{split}/wall{seed}.h5", "metric": True, "licence": "CC0-1.0"}
    return {**about, **scene.counts}


def black() -> np.ndarray:
    """What nobody looks at: the scene is stored from its pixels."""
    return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


def views_of(seed: int, views: int) -> tuple[np.ndarray, Rigid, np.ndarray]:
    """Pictures (V, H, W, 3) of wall `seed`, map_from_camera (V,), and their twists (V, 6)."""
    rng = np.random.default_rng(seed)
    cells = rng.uniform(0, 255, (12, 16, 3)).astype(np.float32)
    wall = np.clip(cv2.resize(cells, (160, 120), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    twists = rng.uniform(-SPREAD, SPREAD, (views, 6))
    poses = Rigid.from_rotation_vector(twists[:, 3:], twists[:, :3])
    return np.stack([_seen(wall, poses[k]) for k in range(views)]), poses, twists


def _seen(wall: np.ndarray, map_from_camera: Rigid) -> np.ndarray:
    """The wall, whose pixels lie 1 / FOCAL metres apart on z = 1, its middle at x = y = 0."""
    metres = np.array([[1 / FOCAL, 0, -79.5 / FOCAL], [0, 1 / FOCAL, -59.5 / FOCAL], [0, 0, 1.0]])
    metres[:, 2] -= map_from_camera.translation
    image_from_wall = CAMERA.matrix @ map_from_camera.rotation.T @ metres
    return cv2.warpPerspective(wall, image_from_wall, (WIDTH, HEIGHT))
