"""What benchmarks/training_throughput.py trains: PointCN that labels correspondences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor

from relpose_ros.networks.one_to_one.ltfgc import LTFGC
from relpose_training.data.shard_dataset import ShardDataset
from relpose_training.data.shards import ShardSet
from relpose_training.data.stream import Dataset
from relpose_training.engine.configuration import STRICT, EngineConfig
from relpose_training.engine.device import Place
from relpose_training.engine.recipe import Recipe, Scores, TrainingModule


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SubjectConfig(EngineConfig):
    """The subject of the benchmark."""

    data: Path
    """Folder of its shards."""
    blocks: int = 4
    """Residual blocks."""


class SubjectModule(TrainingModule):
    """PointCN with the cross entropy of its labels."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.network = LTFGC(width=4, blocks=blocks)

    def forward(self, batch: Any, step: int) -> dict[str, Tensor]:
        logits = self.network(batch["xs"])[0]
        labels = batch["ys"].reshape(logits.shape)
        return {"loss": torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)}


class Subject(Recipe[SubjectConfig]):
    """Shards of pairs of 2000 correspondences."""

    name = "throughput"
    config_class = SubjectConfig
    best = ("loss", "min")

    def module(self) -> TrainingModule:
        return make_module(self.config.blocks)

    def training_data(self, place: Place) -> Dataset:
        shards = ShardSet(self.config.data, "train")
        return ShardDataset(shards, shards.of_rank(place.rank, place.world))

    def validation_data(self, place: Place) -> Dataset:
        return self.training_data(place)

    def summarise(self, scores: Scores) -> dict[str, float]:
        return {}

    def checkpoint(self) -> dict[str, Any]:
        return {"network": "one_to_one.ltfgc"}


def make_module(blocks: int) -> TrainingModule:
    """The network with random weights, and its loss."""
    torch.manual_seed(0)
    return SubjectModule(blocks)


def make_recipe(folder: Path, batch_size: int, blocks: int, workers: int) -> Subject:
    """The recipe over the shards in `folder`."""
    return Subject(
        SubjectConfig(
            out=folder / "run",
            data=folder,
            batch_size=batch_size,
            blocks=blocks,
            workers=workers,
            device="cpu",
        )
    )
