"""The small network of a scene and its loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.networks.scene_coordinates.cells import CellRegressor, laplace_nll
from relpose_training.engine.recipe import TrainingModule
from relpose_training.recipes.scene_cells.config import SceneCellsConfig
from relpose_training.recipes.scene_coordinates.scoring import score_maps

Batch = Mapping[str, Tensor]


class SceneCellsModule(TrainingModule):
    """Trains on batches of `DescribedCells`, is validated on those of `SceneViews`.

    loss = cross entropy of the anchor nearest to the true point + weighted likelihood of the place said for
    that anchor + weighted distance. Logged beside it: `chosen`, the share of cells that choose that anchor;
    `distance_m`, the mean distance of the place said for it.
    """

    network: CellRegressor

    def __init__(self, network: CellRegressor, config: SceneCellsConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        network, config = self.network, self.config
        truth = batch["coordinates"]
        with torch.no_grad():
            anchor = torch.cdist(truth, network.anchor_points[None]).argmin(dim=-1)
        known = network.understand(batch["descriptors"].to(truth.dtype) / 255, config.noise)
        choice = network.choose(known).float()
        classified = functional.cross_entropy(choice.flatten(0, 1), anchor.flatten())
        points, scale = network.refine(known, anchor)
        distance = (points.float() - truth).norm(dim=-1)
        likelihood = laplace_nll(distance / network.unit, scale.float() / network.unit).mean()
        loss = classified + config.likelihood_weight * likelihood
        loss = loss + config.distance_weight * distance.mean() / network.unit
        chosen = (choice.argmax(dim=-1) == anchor).float().mean()
        return {"loss": loss, "chosen": chosen, "distance_m": distance.mean(), "nll": likelihood}

    def score(self, batch: Batch) -> dict[str, Tensor]:
        """See `score_maps`."""
        said = self.network(batch["image"])[0]
        config = self.config
        options = SceneRansacOptions(
            config.threshold, 10 * config.threshold, hypotheses=config.hypotheses, max_draws=config.draws
        )
        return score_maps(said[:, :3], said[:, 3:], batch, options)
