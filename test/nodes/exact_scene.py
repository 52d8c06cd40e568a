"""A scene whose network is right: it knows `POSE` and gives every image the coordinates seen from there.

`exact_scene_node.py` runs it in a node.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from relpose_ros.checkpoints.format import CheckpointInfo
from relpose_ros.checkpoints.scene import CoordinateMap, SceneInfo
from relpose_ros.checkpoints.scene_arrays import cell_rays
from relpose_ros.geometry.rigid import Rigid

POSE = Rigid.from_quaternion([0.5, -0.5, 0.5, -0.5], [1.0, 2.0, 3.0])
DEVIATION = 0.005
CELL = 2


class ExactPredictor:
    """Stands in for `ScenePredictor`: a rough surface two to three metres before the camera."""

    path = Path("exact.safetensors")
    identity = "0" * 64
    info = CheckpointInfo("exact")
    scene = SceneInfo(frame="office", bounds=((-9.0, -9.0, -9.0), (9.0, 9.0, 9.0)), height=48, cell=CELL)

    def predict(self, image, camera) -> CoordinateMap:
        """The truth, and five millimetres of noise that it admits."""
        shape = (camera.height // CELL, camera.width // CELL)
        pixels, rays = cell_rays(camera, shape, CELL)
        generator = np.random.default_rng(0)
        depth = 2.5 + 0.5 * np.sin(pixels @ [0.3, 0.2])[:, None] + generator.normal(0, 0.1, (len(rays), 1))
        points = POSE.apply(np.concatenate([rays, np.ones_like(depth)], axis=1) * depth)
        points += generator.normal(0, DEVIATION, points.shape)
        covariances = np.broadcast_to(DEVIATION**2 * np.eye(3), (len(points), 3, 3))
        return CoordinateMap(points, covariances, rays, pixels, shape, camera.focal)


def load(settings: dict[str, Any]) -> Any:
    from relpose_ros.localization.scene_coordinates import SceneLocalizer
    from relpose_ros.nodes.loading import LoadedScene

    predictor = ExactPredictor()
    name = predictor.path.name
    return LoadedScene(SceneLocalizer(predictor), predictor.scene, name, predictor.identity)


def make() -> Any:
    from relpose_ros.nodes.scene_coordinate import SceneCoordinateNode

    return SceneCoordinateNode(load=load)
