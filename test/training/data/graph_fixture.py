"""Scenes for graphs that cost nothing: each image one colour, its number; poses in a row."""

from __future__ import annotations

import numpy as np

from relpose_ros.datasets.base import PosedImage
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.retrieval.graph_images import GraphInput
from relpose_training.data.graph_parts import GraphSetOptions, store_scene
from relpose_training.data.graph_roles import Roles

INPUT = GraphInput("canonical", 16, 12, 20.0)
CAMERA = Camera("pinhole", 20.0, 20.0, 7.5, 5.5, 16, 12)


def flat_images(count, split="map"):
    return [
        PosedImage(
            f"{k}.png",
            CAMERA,
            Rigid.from_rotation_vector([0.1 * (k % 7), 0, 0.2], [k, 1.0, 0]),
            split,
            lambda k=k: np.full((12, 16, 3), k, np.uint8),
        )
        for k in range(count)
    ]


def flat_scene(path, references=30, queries=0, options=None, seed=0):
    """Without queries, the references query each other. Neighbours in number are similar."""
    images = flat_images(references + queries)
    asked = np.arange(references)
    asking = references + np.arange(queries) if queries else asked
    noise = np.random.default_rng(seed).random((len(asking), references))
    similarity = 0.2 * noise - np.abs(asking[:, None] % references - asked)
    pixels = np.stack([image.load() for image in images])
    options = options or GraphSetOptions(INPUT)
    return store_scene(path, images, pixels, Roles(asked, asking), similarity, options)
