"""Views of a room, and a regressor that trains on them in a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from relpose_training.recipes.atloc.config import AtLocConfig
from relpose_training.recipes.atloc.recipe import AtLocRecipe

sys.path.insert(0, str(Path(__file__).parents[2] / "data"))

from scene_fixture import write_room


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Sums come out in other bits with another number of threads."""


@pytest.fixture(scope="session")
def room_set(tmp_path_factory):
    """A folder with train (8 views of a room, all around) and val (4)."""
    return write_room(tmp_path_factory.mktemp("room"), 8, 4)


@pytest.fixture
def recipe(room_set, tmp_path, monkeypatch):
    """Make a recipe: `recipe(steps=3)`."""
    monkeypatch.setattr("relpose_training.engine.loop.plot_curves", lambda _: None)

    def make(**values):
        settings = {
            "out": tmp_path / "run", "data": str(room_set), "height": 32, "crop": (32, 40), "steps": 4,
            "batch_size": 4, "save_every": 100, "validate_every": 100, "log_every": 1,
        }  # fmt: skip
        return AtLocRecipe(AtLocConfig(**(settings | values)))

    return make
