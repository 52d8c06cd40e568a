"""AtLoc with its loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from relpose_ros.networks.absolute_pose.atloc import AtLoc
from relpose_training.engine.recipe import TrainingModule
from relpose_training.losses.absolute_pose import absolute_pose_l1
from relpose_training.losses.quaternions import (
    conjugate,
    multiply,
    quaternion_of_rotation_vector,
    rotation_vector_of_quaternion,
)
from relpose_training.losses.relative_pose_l1 import LearnedWeights


class AtLocModule(TrainingModule):
    """Logged are `loss`, `translation` (in deviations of the training poses), `rotation` (in half radians)
    and the log weights `beta` and `gamma`."""

    network: AtLoc

    def __init__(self, network: AtLoc, beta: float, gamma: float) -> None:
        super().__init__()
        self.network = network
        self.weights = LearnedWeights(beta, gamma)

    def forward(self, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        translation, log = self.network(batch["image"])
        found, truth = self._in_units(translation.float()), self._in_units(batch["vector"][:, :3])
        loss = absolute_pose_l1(
            torch.cat([found, log.float()], dim=1),
            torch.cat([truth, batch["vector"][:, 3:]], dim=1),
            self.weights,
        )
        return {
            "loss": loss.total,
            "translation": loss.translation,
            "rotation": loss.rotation,
            "beta": self.weights.sax.sum(),
            "gamma": self.weights.saq.sum(),
        }

    def score(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        translation, log = self.network(batch["image"])
        far = (translation.float() - batch["vector"][:, :3]).norm(dim=1)
        return {"translation_m": far, "rotation_deg": turned_deg(log.float(), batch["vector"][:, 3:])}

    def _in_units(self, translation: Tensor) -> Tensor:
        return (translation - self.network.unit_mean) / self.network.unit_deviation


def turned_deg(first: Tensor, second: Tensor) -> Tensor:
    """Angles (B,) in degrees between rotations given as logarithms of quaternions (B, 3)."""
    a, b = (quaternion_of_rotation_vector(2 * log) for log in (first, second))
    return torch.rad2deg(rotation_vector_of_quaternion(multiply(conjugate(a), b)).norm(dim=1))
