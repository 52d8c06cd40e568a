"""A network of depth, normals or classes with its loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from relpose_ros.networks.scene_coordinates.crossloc import TransPoseNet
from relpose_ros.networks.scene_coordinates.normals import angles_of_logits, vectors_of_angles
from relpose_training.engine.recipe import TrainingModule
from relpose_training.engine.replay import weighted_mean
from relpose_training.losses.depth import DepthClamps, depth_loss
from relpose_training.losses.normal import NormalClamps, angle_between, normal_loss
from relpose_training.losses.semantics import semantics_loss
from relpose_training.losses.uncertainty import gaussian_nll
from relpose_training.recipes.mid_level.config import MidLevelConfig

Batch = Mapping[str, Tensor]


class MidLevelModule(TrainingModule):
    """Batches are those of `SceneViews`. Logged beside the loss: `valid`, the share of cells whose error is
    below the hard clamp (of semantics: of pixels classified rightly)."""

    network: TransPoseNet

    def __init__(self, network: TransPoseNet, config: MidLevelConfig) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        prediction, deviation = self.predict(batch["image"])
        loss, valid = self.losses(prediction, deviation, batch)
        hard = per_image(self.cell_errors(prediction.detach(), batch), self.known(batch))
        return {"loss": weighted_mean(loss, batch), "valid": valid.mean(), "errors": hard}

    def predict(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Images -> the task's map (B, K, h, w) and standard deviations (B, 0 or 1, h, w), float32."""
        return self.network.split(self.network(image)[0].float())

    def known(self, batch: Batch) -> Tensor:
        """Where there is a label: (B, h, w), of semantics (B, H, W)."""
        raise NotImplementedError

    def losses(self, prediction: Tensor, deviation: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss (B,) and share of valid cells (B,)."""
        raise NotImplementedError

    def cell_errors(self, prediction: Tensor, batch: Batch) -> Tensor:
        """How far off each cell is, in the task's unit: (B, h, w); anything where there is no label."""
        raise NotImplementedError

    def scores(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Values (B,) of the task; NaN of an image without labels."""
        raise NotImplementedError

    dimension: ClassVar[int] = 1
    """Of what the deviation is of."""

    def score(self, batch: Batch) -> dict[str, Tensor]:
        prediction, deviation = self.predict(batch["image"])
        scores = self.scores(prediction, batch)
        if deviation.shape[1]:
            squared = self.squared_errors(prediction, batch)
            nll = gaussian_nll(squared, deviation[:, 0], self.dimension)
            scores["nll"] = per_image(nll, self.known(batch))
        return scores

    def squared_errors(self, prediction: Tensor, batch: Batch) -> Tensor:
        """What the deviation speaks of, squared: (B, h, w)."""
        return self.cell_errors(prediction, batch).square()


class DepthModule(MidLevelModule):
    """Metres along the optical axis."""

    def known(self, batch: Batch) -> Tensor:
        return batch["inside"] & (batch["depth"] > 0)

    def losses(self, prediction: Tensor, deviation: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        config = self.config
        clamps = DepthClamps(config.min_depth, config.soft_clamp, config.hard_clamp)
        scale = deviation if deviation.shape[1] else None
        labels, known = batch["depth"][:, None], self.known(batch)
        return depth_loss(prediction, labels, known, scale, clamps, config.loss)

    def cell_errors(self, prediction: Tensor, batch: Batch) -> Tensor:
        return (prediction[:, 0] - batch["depth"]).abs()

    def scores(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        error, known = self.cell_errors(prediction, batch), self.known(batch)
        relative = error / torch.where(known, batch["depth"], torch.ones_like(error))
        return {
            "absolute_relative": per_image(relative, known),
            "squared_m2": per_image(error.square(), known),
        }


class NormalModule(MidLevelModule):
    """Unit vectors in the camera's axes, as azimuth and elevation."""

    dimension: ClassVar[int] = 2

    def known(self, batch: Batch) -> Tensor:
        return batch["inside"] & (batch["normals"].abs().sum(1) > 0)

    def losses(self, prediction: Tensor, deviation: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        config = self.config
        scale = deviation if deviation.shape[1] else None
        clamps = NormalClamps(config.soft_clamp, config.hard_clamp)
        return normal_loss(prediction, batch["normals"], self.known(batch), scale, clamps, config.loss)

    def cell_errors(self, prediction: Tensor, batch: Batch) -> Tensor:
        return angle_between(vectors_of_angles(angles_of_logits(prediction)), batch["normals"])

    def squared_errors(self, prediction: Tensor, batch: Batch) -> Tensor:
        return torch.deg2rad(self.cell_errors(prediction, batch)).square()

    def scores(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        angle, known = self.cell_errors(prediction, batch), self.known(batch)
        return {
            "angle_deg": per_image(angle, known),
            "within_11deg": per_image((angle < 11.25).float(), known),
        }


class SemanticsModule(MidLevelModule):
    """Classes of pixels."""

    def known(self, batch: Batch) -> Tensor:
        return batch["semantics"] >= 0

    def losses(self, prediction: Tensor, deviation: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        return semantics_loss(prediction, batch["semantics"])

    def cell_errors(self, prediction: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(prediction, batch["semantics"], reduction="none")

    def scores(self, prediction: Tensor, batch: Batch) -> dict[str, Tensor]:
        known, truth, said = self.known(batch), batch["semantics"], prediction.argmax(1)
        scores = {"accuracy": per_image((said == truth).float(), known)}
        for k in range(prediction.shape[1]):
            here, there = (said == k) & known, truth == k
            scores[f"shared_{k}"] = (here & there).sum((1, 2))
            scores[f"either_{k}"] = (here | there).sum((1, 2))
        return scores


MODULES: dict[str, type[MidLevelModule]] = {
    "depth": DepthModule,
    "normal": NormalModule,
    "semantics": SemanticsModule,
}


def per_image(values: Tensor, mask: Tensor) -> Tensor:
    """Mean (B,) of values (B, h, w) where the mask is True; NaN where it is nowhere."""
    kept = torch.where(mask, values, torch.zeros_like(values))
    return kept.sum((1, 2)) / mask.sum((1, 2))
