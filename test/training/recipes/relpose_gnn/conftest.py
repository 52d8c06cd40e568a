"""Walls to slide along, and a network that learns to in a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from relpose_training.recipes.relpose_gnn.config import RelposeGnnConfig
from relpose_training.recipes.relpose_gnn.recipe import RelposeGnnRecipe

sys.path.insert(0, str(Path(__file__).parent))

from walls import write_walls

SETTINGS = {
    "device": "cpu", "channels": (16, 16, 24, 24), "keys": 12, "values": 8, "dimension": 32, "rounds": 1,
    "neighbours": 3, "period": 1, "halving": True, "light": False, "steps": 4, "batch_size": 4,
    "save_every": 1000, "validate_every": 1000, "log_every": 1, "licence": "CC0-1.0",
}  # fmt: skip

OF_CELLS = ("channels", "keys", "values")


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Sums come out in other bits with another number of threads."""


@pytest.fixture(scope="session")
def walls(tmp_path_factory):
    """A folder with train (12 walls) and val (3 other ones)."""
    return write_walls(tmp_path_factory.mktemp("walls"), {"train": 12, "val": 3})


@pytest.fixture
def recipe(walls, tmp_path, monkeypatch):
    """Make a recipe: `recipe(steps=3)`; `published=True` for a network of the published shape, tiny."""
    monkeypatch.setattr("relpose_training.engine.loop.plot_curves", lambda _: None)

    def make(published=False, **values):
        own = {"network": "release", "dimension": 16, "rounds": 3, "loss": "l1"} if published else {}
        settings = {"out": tmp_path / "run", "data": str(walls), **SETTINGS, **own}
        if published:
            settings = {name: value for name, value in settings.items() if name not in OF_CELLS}
        return RelposeGnnRecipe(RelposeGnnConfig(**(settings | values)))

    return make
