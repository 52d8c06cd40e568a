"""What speaks for and against a pose from scene coordinates, in the words of all roads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import CheckpointError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_pose import CELLS_A_PATCH, SceneEstimate
from relpose_ros.localization.evenly import evenly
from relpose_ros.localization.query import covered
from relpose_ros.types import Evidence

if TYPE_CHECKING:
    from pathlib import Path

    from relpose_ros.checkpoints.scene import SceneInfo

Array = NDArray[np.float64]

_SHOWN = 500
"""Cells that a debug picture and the report show."""

_MIN_RESIDUAL_PX = 0.1


def evidence_of(estimate: SceneEstimate, pixels: Array, camera: Camera, focal: float) -> Evidence:
    """Of an estimate whose cells lie at `pixels` (N, 2) of `camera`'s image; its errors count `focal` px.

    Cells are counted in patches, so that the numbers mean about what they mean on the other roads.
    """
    residual = max(estimate.residual_px, _MIN_RESIDUAL_PX) / focal
    return Evidence(
        inliers=int(estimate.support),
        matches=len(estimate.agreeing) // CELLS_A_PATCH,
        spread=covered(pixels[estimate.agreeing], camera),
        residual_px=estimate.residual_px / focal * camera.focal,
        rival_inliers=int(np.ceil(estimate.rival)),
        depth=estimate.depth,
        residual_angle=residual,
    )


def scene_box(scene: SceneInfo, margin: float) -> tuple[Array, Array]:
    """Low and high corner (3) of the scene and its training cameras, with a share of the diagonal around."""
    points = np.concatenate([scene.corners, scene.cameras[0]])
    low, high = points.min(axis=0), points.max(axis=0)
    around = margin * float(np.linalg.norm(high - low))
    return low - around, high + around


def outside_bounds(position: Array, scene: SceneInfo, margin: float) -> str:
    """Why a camera cannot be at `position` (3) in the map, in words; "" where it can."""
    low, high = scene_box(scene, margin)
    if ((position >= low) & (position <= high)).all():
        return ""
    away = float(np.linalg.norm(position - np.clip(position, *scene_box(scene, 0.0))))
    return f"the pose lies {away:.3g} map units outside the scene that the network knows"


def thinned(index: NDArray[np.integer]) -> NDArray[np.int64]:
    """Which of N cells a picture shows: evenly spread, in order."""
    return evenly(len(index), _SHOWN)


def check_fits(scene: SceneInfo, path: Path, metric: bool, cameras: Rigid, map_name: str) -> None:
    """Raises CheckpointError where a scene's coordinates cannot be those of the map used beside it.

    `cameras` are the map's reference poses (map_from_camera). Two things can be told: that only one of them
    is in metres, and that no reference lies anywhere near the scene, so that their frames differ.
    """
    if scene.metric != metric:
        units = {True: "in metres", False: "without scale"}
        raise CheckpointError(
            f"{path}: its scene is {units[scene.metric]}, the map {map_name} {units[metric]}; train it "
            "on the images that the map was built from"
        )
    low, high = scene_box(scene, margin=0.5)
    at = cameras.translation.reshape(-1, 3)
    if not ((at >= low) & (at <= high)).all(axis=1).any():
        raise CheckpointError(
            f"{path}: no reference of the map {map_name} lies where its scene (frame {scene.frame!r}) does, "
            f"{low.round(1)} to {high.round(1)}: their frames differ; train it on images posed in the map's"
        )
