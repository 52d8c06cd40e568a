"""How good maps of scene coordinates are: cell by cell, and by the poses that come of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.geometry.scene_coordinate_ransac import estimate_scene_pose
from relpose_training.losses.reprojection import full_precision, reprojection_error, to_camera
from relpose_training.losses.uncertainty import factored_nll, gaussian_nll
from relpose_training.recipes.scene_coordinates.targets import Batch, as_array, ray_targets, true_poses

Array = NDArray[np.float64]

FAILED_M, FAILED_DEG = 1000.0, 180.0
"""Errors of an image without a pose: the median of mostly such images is still a number."""
NEAR_PX, MIN_DEPTH = 10.0, 0.1


@full_precision
def score_maps(
    coordinates: Tensor, deviation: Tensor, batch: Batch, options: SceneRansacOptions
) -> dict[str, Tensor]:
    """Scores (B,) of maps (B, 3, h, w) with deviations (B, 0, 1 or 6, h, w).

    `translation_m`, `rotation_deg`: of the pose from the map; where there is none FAILED_M, and up to a metre
    more the fewer cells fit, so that of two maps without a pose one is better, and FAILED_DEG. `within_10px`:
    share of cells whose coordinate, seen by the true pose, is that near to their pixel. `coordinate_m`:
    median distance to the known coordinates; `nll`: mean likelihood there; NaN where nothing is known (or
    said).
    """
    shares = near_shares(coordinates, batch)
    poses = pose_errors(coordinates, batch, options)
    poses[:, 0] += np.where(poses[:, 0] >= FAILED_M, 1 - shares, 0)
    known = batch["known"] & batch["inside"]
    error = (coordinates - batch["coordinates"]).float()
    return {
        "translation_m": torch.from_numpy(poses[:, 0]),
        "rotation_deg": torch.from_numpy(poses[:, 1]),
        "within_10px": torch.from_numpy(shares),
        "coordinate_m": torch.from_numpy(_per_image(error.norm(dim=1), known, np.median)),
        "nll": torch.from_numpy(_per_image(likelihood(error, deviation), known, np.mean)),
    }


def likelihood(error: Tensor, deviation: Tensor) -> Tensor:
    """Negative log-likelihood (B, h, w) of errors (B, 3, h, w), without its constant; NaN if none is said."""
    if deviation.shape[1] == 0:
        return torch.full_like(error[:, 0], torch.nan)
    if deviation.shape[1] == 1:
        return gaussian_nll(error.square().sum(1), deviation[:, 0], dimension=3)
    return factored_nll(error, deviation)


def near_shares(coordinates: Tensor, batch: Batch) -> Array:
    """Share (B,) of cells inside the image within 10 px of their pixel, and before the camera."""
    local = to_camera(coordinates.float(), batch["pose"])
    error = reprojection_error(local, batch["matrix"], torch.nan_to_num(batch["pixels"]), MIN_DEPTH)
    near = (error < NEAR_PX) & (local[:, 2] >= MIN_DEPTH)
    return _per_image(near, batch["inside"], np.mean, none=0.0)


def pose_errors(coordinates: Tensor, batch: Batch, options: SceneRansacOptions) -> Array:
    """Errors (B, 2) of the estimated poses, metres and degrees; FAILED_M and FAILED_DEG without one."""
    maps = as_array(coordinates).reshape(len(coordinates), 3, -1).transpose(0, 2, 1)
    truth = true_poses(batch)
    errors = np.tile([FAILED_M, FAILED_DEG], (len(maps), 1))
    for b, (points, targets) in enumerate(zip(maps, ray_targets(batch), strict=True)):
        usable = np.isfinite(targets.rays).all(axis=1) & np.isfinite(points).all(axis=1)
        if usable.sum() < 4:
            continue
        found = estimate_scene_pose(points[usable], targets[usable], options).map_from_camera
        if found is not None:
            errors[b] = np.minimum(pose_difference(found, truth[b]), errors[b])
    return errors


def pose_difference(estimate: Rigid, truth: Rigid) -> tuple[float, float]:
    """Distance of the camera centres and angle of the rotations, in degrees."""
    twist = estimate.error_to(truth)
    return float(np.linalg.norm(twist[:3])), float(np.degrees(np.linalg.norm(twist[3:])))


def summarise(scores: Mapping[str, NDArray[np.floating[Any]]]) -> dict[str, float]:
    """Metrics of the scores (M,) of all images; without those that nothing is known of."""
    metres, degrees = scores["translation_m"], scores["rotation_deg"]
    metrics = {
        "median_translation_m": float(np.median(metres)),
        "median_rotation_deg": float(np.median(degrees)),
        "within_5cm_5deg": float(((metres < 0.05) & (degrees < 5)).mean()),
        "failures": float((metres >= FAILED_M).mean()),
        "within_10px": float(scores["within_10px"].mean()),
        "median_coordinate_m": _of_known(scores["coordinate_m"], np.median),
        "nll": _of_known(scores["nll"], np.mean),
    }
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _of_known(values: NDArray[np.floating[Any]], of: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(of(finite)) if len(finite) else float("nan")


def _per_image(values: Tensor, mask: Tensor, of: Any, none: float = float("nan")) -> Array:
    """`of` the values (h, w) of each image where the mask is True; `none` where it is True nowhere."""
    pairs = zip(as_array(values), mask.cpu().numpy(), strict=True)
    return np.array([float(of(v[m])) if m.any() else none for v, m in pairs])
