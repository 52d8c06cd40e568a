"""A recipe that trains in a moment: a line through points."""

from __future__ import annotations

import numpy as np
import pytest
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


class Line(Network):
    input_names = ("x",)
    output_names = ("y",)

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(1, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1)
        )

    def forward(self, x):
        return (self.layers(x),)


class Points(Dataset):
    def __init__(self, slope: float, groups: list[int]) -> None:
        self.slope, self.groups = slope, groups

    def group_sizes(self):
        return self.groups

    def sample(self, group, item, generator):
        x = np.array([group + item / 10 + generator.normal(0, 0.01)], np.float32)
        return {"x": x, "y": self.slope * x}


class LineModule(TrainingModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = Line()
        self.dropout = torch.nn.Dropout(0.02)

    def forward(self, batch, step):
        found = self.network(self.dropout(batch["x"]))[0]
        return {"loss": (found - batch["y"]).square().mean()}

    def score(self, batch):
        return {"error": (self.network(batch["x"])[0] - batch["y"]).abs()[:, 0]}


class LineRecipe(Recipe):
    name = "line"
    config_class = LineConfig
    best = ("error", "min")

    def module(self):
        return LineModule()

    def training_data(self, place):
        return Points(self.config.slope, [7, 5][place.rank :: place.world])

    def validation_data(self, place):
        return Points(self.config.slope, [3])

    def summarise(self, scores):
        return {"error": float(scores["error"].mean())}

    def checkpoint(self):
        return {"network": "line"}


@pytest.fixture
def line():
    """Make the recipe: `line(tmp_path, steps=30)`."""

    def make(out, **values):
        settings = {
            "steps": 30,
            "batch_size": 4,
            "save_every": 5,
            "validate_every": 10,
            "log_every": 5,
            "learning_rate": 0.05,
        }
        return LineRecipe(LineConfig(out=out, **{**settings, **values}))

    return make
