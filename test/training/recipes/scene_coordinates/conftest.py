"""Views of a room, and runs small enough for a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from relpose_training.data.stream import batches
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train
from relpose_training.recipes.scene_coordinates.config import SceneCoordinatesConfig
from relpose_training.recipes.scene_coordinates.recipe import SceneCoordinatesRecipe

sys.path.insert(0, str(Path(__file__).parents[2] / "data"))

from scene_fixture import write_room

SETTINGS = {
    "height": 48,
    "canvas": (48, 64),
    "steps": 2,
    "batch_size": 4,
    "save_every": 1000,
    "validate_every": 1000,
    "log_every": 1,
    "learning_rate": 1e-3,
    "clip_norm": 1.0,
    "threshold": 3.0,
    "draws": 256,
    "hypotheses": 8,
    "augment_scale": 1.0,
    "augment_angle_deg": 0.0,
}
"""Of a run that takes a tenth of a second a step."""


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Sums come out in other bits with another number of threads."""


@pytest.fixture(scope="session")
def room_set(tmp_path_factory):
    """A folder with train (8 views of a room, all around) and val (4)."""
    return write_room(tmp_path_factory.mktemp("room"), train=8)


@pytest.fixture
def configured(room_set, tmp_path):
    """Make a configuration: `configured(stage="init", steps=3)`."""

    def make(**values):
        settings = {"out": tmp_path / "run", "data": str(room_set)}
        return SceneCoordinatesConfig(**(SETTINGS | settings | values))

    return make


@pytest.fixture
def recipe(configured):
    """Make a recipe: `recipe(stage="init", steps=3)`."""
    return lambda **values: SceneCoordinatesRecipe(configured(**values))


@pytest.fixture
def batch():
    """The first batch of a recipe: `batch(recipe)`, of the validation split `batch(recipe, "val")`."""

    def take(recipe, split="train"):
        data = recipe.training_data(Place()) if split == "train" else recipe.validation_data(Place())
        return next(iter(batches(data, recipe.config.batch_size, seed=3, shuffle=split == "train")))

    return take


@pytest.fixture(scope="session")
def learned(room_set, tmp_path_factory):
    """The folder of a first stage that has seen the room: 90 steps."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("learned")
    config = SceneCoordinatesConfig(**(SETTINGS | {"out": out, "data": str(room_set), "steps": 90}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relpose_training.engine.loop.plot_curves", lambda _: None)  # longer than the run
        assert train(SceneCoordinatesRecipe(config), TorchDevice("cpu", Place())) == 0
    return out
