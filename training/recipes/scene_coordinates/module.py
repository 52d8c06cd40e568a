"""A network of a scene with its loss in each of the three stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.networks.base import Network
from relpose_training.engine.recipe import TrainingModule
from relpose_training.engine.replay import weighted_mean
from relpose_training.losses.coordinate import CoordinateClamps, coordinate_loss
from relpose_training.losses.expected_pose_error import ExpectedPoseOptions
from relpose_training.losses.expected_pose_loss import expected_pose_loss
from relpose_training.losses.kfnet import filtered_coordinate_loss, squared_coordinate_loss
from relpose_training.losses.pose_error import PoseErrorWeights
from relpose_training.losses.reprojection import full_precision, reprojection_error, to_camera
from relpose_training.losses.scene_coordinate_init import (
    InitialisationClamps,
    coordinate_initialisation_loss,
    reprojection_initialisation_loss,
)
from relpose_training.recipes.scene_coordinates.config import SceneCoordinatesConfig
from relpose_training.recipes.scene_coordinates.scoring import MIN_DEPTH, score_maps
from relpose_training.recipes.scene_coordinates.targets import point_targets, ray_targets, true_poses

Batch = Mapping[str, Tensor]

STEP_SEEDS = 4096
"""Between the seeds of two steps: more than there are images in a batch."""


class SceneCoordinateModule(TrainingModule):
    """Batches are those of `SceneViews`.

    Logged beside the loss: `valid`, the share of cells whose pixel error counted (of depth: with a label).
    """

    def __init__(self, network: Network, config: SceneCoordinatesConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def maps(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Images -> coordinates (B, 3, h, w) and their deviation (B, 0, 1 or 6, h, w), float32."""
        said = torch.cat(self.network(image), dim=1).float()
        return said[:, :3], said[:, 3:]

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        coordinates, deviation = self.maps(batch["image"])
        if self.config.stage != "end_to_end":
            loss, valid = self.dense_loss(coordinates, deviation, batch)
            errors = pixel_errors(coordinates.detach(), batch, self.config.soft_clamp)
            return {"loss": loss, "valid": valid, "errors": errors}
        each = self.expected_error(coordinates, batch, step)
        expected = weighted_mean(each, batch)
        if not self.config.anchor_weight:
            return {"loss": expected, "expected": each.mean(), "errors": each}
        anchor, valid = self.dense_loss(coordinates, deviation, batch)
        total = expected + self.config.anchor_weight * anchor
        return {"loss": total, "expected": each.mean(), "anchor": anchor, "valid": valid, "errors": each}

    def dense_loss(self, coordinates: Tensor, deviation: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of maps against labels or rays, and share of valid cells: scalars."""
        config = self.config
        labels, known = batch["coordinates"], batch["known"] & batch["inside"]
        scale = deviation if deviation.shape[1] else None
        if config.loss == "kfnet":
            share = known.float().mean()
            if scale is None:
                return squared_coordinate_loss(coordinates, labels, known), share
            limit = config.likelihood_limit
            return filtered_coordinate_loss(coordinates, scale, labels, known, limit), share
        if config.supervision == "depth":
            loss, valid = coordinate_initialisation_loss(coordinates, labels, known)
        elif config.loss == "dsacstar":
            given = None if config.supervision == "rgb" else labels
            loss, valid = reprojection_initialisation_loss(
                coordinates, batch["pose"], batch["matrix"], given, known, self.initial_clamps(),
                seen_pixels(batch), inside=batch["inside"],
            )  # fmt: skip
        else:
            loss, valid = coordinate_loss(
                coordinates, labels, known, batch["pose"], batch["matrix"], scale, self.clamps(),
                config.loss, seen_pixels(batch), inside=batch["inside"],
            )  # fmt: skip
        return weighted_mean(loss, batch), valid.mean()

    def expected_error(self, coordinates: Tensor, batch: Batch, step: int) -> Tensor:
        """Expected pose error (B,) of the robust estimator; other hypotheses in every step."""
        config = self.config
        ransac = replace(ransac_options(config), seed=(config.seed * 1_000_003 + step) * STEP_SEEDS)
        weights = PoseErrorWeights(config.rotation_weight, config.translation_weight, config.pose_clamp)
        targets = point_targets(batch) if config.supervision == "depth" else ray_targets(batch)
        options = ExpectedPoseOptions(ransac, weights)
        return expected_pose_loss(coordinates, targets, true_poses(batch), options)

    def score(self, batch: Batch) -> dict[str, Tensor]:
        """See `score_maps`. Poses are found by the rays of the cells, whatever the supervision."""
        coordinates, deviation = self.maps(batch["image"])
        options = SceneRansacOptions(hypotheses=self.config.hypotheses, max_draws=self.config.draws)
        if self.config.supervision != "depth":
            options = ransac_options(self.config)
        return score_maps(coordinates, deviation, batch, options)

    def initial_clamps(self) -> InitialisationClamps:
        """Those of DSAC*'s initialisation."""
        config = self.config
        return InitialisationClamps(
            config.tolerance or InitialisationClamps.tolerance,
            config.min_depth,
            config.max_depth,
            config.target_depth,
            config.soft_clamp,
            config.hard_clamp,
        )

    def clamps(self) -> CoordinateClamps:
        """Those of TransPose and CrossLoc."""
        config = self.config
        tolerance = config.tolerance or CoordinateClamps.tolerance
        return CoordinateClamps(tolerance, config.min_depth, config.soft_clamp, config.hard_clamp)


@full_precision
def pixel_errors(coordinates: Tensor, batch: Batch, most: float) -> Tensor:
    """Mean pixel error (B,) of the cells of each image, `most` at most: how hard an image still is."""
    error = reprojection_error(
        to_camera(coordinates, batch["pose"]), batch["matrix"], seen_pixels(batch), MIN_DEPTH
    )
    inside = batch["inside"]
    kept = torch.where(inside, error.clamp(max=most), torch.zeros_like(error))
    return kept.sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def seen_pixels(batch: Batch) -> Tensor:
    """Pixels (B, 2, h, w) of the cells; 0 where there is none, for a NaN would be in every gradient."""
    return torch.nan_to_num(batch["pixels"])


def ransac_options(config: SceneCoordinatesConfig) -> SceneRansacOptions:
    """The estimator as configured; an error ten times the threshold is as bad as any, as published."""
    return SceneRansacOptions(
        threshold=config.inlier_threshold,
        max_error=10 * config.inlier_threshold,
        sharpness=config.sharpness,
        hypotheses=config.hypotheses,
        max_draws=config.draws,
        seed=config.seed,
    )
