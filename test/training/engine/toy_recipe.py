"""A recipe that trains in a moment: a line through points. `relpose train toy_recipe:LineRecipe`."""

from __future__ import annotations

import time

import numpy as np
import torch
from pydantic.dataclasses import dataclass

from relpose_ros.networks.base import Network
from relpose_training.data.stream import Dataset
from relpose_training.engine.configuration import STRICT, EngineConfig
from relpose_training.engine.recipe import Recipe, TrainingModule


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LineConfig(EngineConfig):
    """A line."""

    slope: float = 2.0
    """What is to be found."""
    batchnorm: bool = True
    """Statistics of a batch."""
    dropout: float = 0.02
    """Draws from the global generator."""
    noise: float = 0.01
    """Draws from the sample's generator."""
    samples: tuple[int, ...] = (7, 5)
    """In each group."""
    pause: float = 0.0
    """Seconds in every step."""
    nan_at: int | None = None
    """The loss is not a number from this step on."""


class Line(Network):
    input_names = ("x",)
    output_names = ("y",)

    def __init__(self, batchnorm: bool = True) -> None:
        super().__init__()
        norm = torch.nn.BatchNorm1d(8) if batchnorm else torch.nn.Tanh()
        self.layers = torch.nn.Sequential(torch.nn.Linear(1, 8), norm, torch.nn.Linear(8, 1))

    def forward(self, x):
        return (self.layers(x),)


class Points(Dataset):
    def __init__(self, config: LineConfig, groups: list[int]) -> None:
        self.config, self.groups = config, groups

    def group_sizes(self):
        return [self.config.samples[group] for group in self.groups]

    def sample(self, group, item, generator):
        x = np.array([self.groups[group] + item / 10], np.float32)
        x += np.float32(self.config.noise * generator.normal())
        return {"x": x, "y": self.config.slope * x}


class LineModule(TrainingModule):
    def __init__(self, config: LineConfig) -> None:
        super().__init__()
        self.config = config
        self.network = Line(config.batchnorm)
        self.dropout = torch.nn.Dropout(config.dropout)

    def forward(self, batch, step):
        time.sleep(self.config.pause)
        found = self.network(self.dropout(batch["x"]))[0]
        loss = (found - batch["y"]).square().mean()
        if self.config.nan_at is not None and step >= self.config.nan_at:
            loss = loss * float("nan")
        return {"loss": loss}

    def score(self, batch):
        return {"error": (self.network(batch["x"])[0] - batch["y"]).abs()[:, 0]}


class LineRecipe(Recipe):
    name = "line"
    config_class = LineConfig
    best = ("error", "min")

    def module(self):
        return LineModule(self.config)

    def training_data(self, place):
        groups = range(len(self.config.samples))
        return Points(self.config, list(groups)[place.rank :: place.world])

    def validation_data(self, place):
        return Points(self.config, [0])

    def summarise(self, scores):
        return {"error": float(scores["error"].mean())}

    def checkpoint(self):
        return {"network": "line"}
