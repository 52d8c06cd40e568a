"""Views of a room in two appearances, and runs small enough for a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from relpose_training.data.seen_views import scene_shards, views_of_set
from relpose_training.data.similarity import SimilarityOptions, similarity_table
from relpose_training.data.similarity_table import write_table
from relpose_training.data.stream import batches
from relpose_training.engine.device import Place
from relpose_training.recipes.mid_level.config import MidLevelConfig
from relpose_training.recipes.mid_level.recipe import MidLevelRecipe

sys.path.insert(0, str(Path(__file__).parents[2] / "data"))

from scene_fixture import write_room

SETTINGS = {
    "size": "tiny",
    "extra_blocks": 0,
    "height": 32,
    "canvas": (32, 40),
    "batch_size": 4,
    "steps": 2,
    "save_every": 1000,
    "validate_every": 1000,
    "log_every": 1,
    "learning_rate": 5e-4,
    "augment_scale": 1.0,
    "augment_angle_deg": 0.0,
}


@pytest.fixture(autouse=True)
def _light(monkeypatch):
    """Sums come out in other bits with another number of threads; a picture takes longer than a run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr("relpose_training.engine.loop.plot_curves", lambda _: None)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def two_rooms(tmp_path_factory):
    """A folder with train (8 places) and val (3), each real and simulated, in two shards."""
    folder = tmp_path_factory.mktemp("rooms")
    return write_room(folder, 8, 3, domains=("real", "simulated"), shards=2)


@pytest.fixture(scope="session")
def similarity(two_rooms):
    """The file of its table."""
    views = list(views_of_set(scene_shards(two_rooms, "train"), 100))
    return write_table(two_rooms / "similarity.h5", similarity_table(views, SimilarityOptions()))


@pytest.fixture
def recipe(two_rooms, tmp_path):
    """Make a recipe: `recipe(task="normal", steps=3)`."""

    def make(**values):
        if values.get("task") == "semantics":
            values = {"uncertainty": "none", **values}
        given = {"out": tmp_path / "run", "data": str(two_rooms)}
        return MidLevelRecipe(MidLevelConfig(**(SETTINGS | given | values)))

    return make


@pytest.fixture
def batch():
    """The first batch of a recipe's training data."""
    return lambda recipe: next(iter(batches(recipe.training_data(Place()), recipe.config.batch_size, seed=3)))
