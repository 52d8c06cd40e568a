"""The recipe that mines its tuples, on XLA's own CPU device."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import Meter, Trainer
from relpose_training.recipes.retrieval.config import RetrievalConfig
from relpose_training.recipes.retrieval.recipe import RetrievalRecipe

sys.path.insert(0, str(Path(__file__).parents[1] / "training" / "recipes" / "retrieval"))

from toy_places import SETTINGS, write_places  # type: ignore[import-not-found]

SFRS = {
    "loss": "sfrs", "temperatures": (0.07, 0.06), "first_generation": 6, "steps": 12, "optimizer": "sgd",
    "positives": 2, "positive_pool": 2,
}  # fmt: skip
"""At a rate at which rounding does not decide who is nearest."""


def run(device, config):
    """Losses of all steps, the last round's tuples, recall, and the programs compiled after each step."""
    from relpose_training.engine.xla import compilations

    recipe = RetrievalRecipe(config)
    trainer = Trainer(recipe, device)
    data, losses, counts = trainer.training_batches(), [], []
    while trainer.step < config.steps:
        losses.append(float(trainer.train_step(data, Meter(0.0))["loss"]))
        trainer.step += 1
        counts.append(compilations())
    return losses, trainer.order.rounds.tuples, recipe.validate(trainer.module, device), counts


def test_sfrs_is_that_of_the_cpu_and_compiles_once_a_generation(tmp_path, monkeypatch):
    monkeypatch.setenv("PJRT_DEVICE", "CPU")
    from relpose_training.engine.xla import XlaDevice

    data = write_places(tmp_path / "data")
    config = RetrievalConfig(
        out=tmp_path / "run", data=data, dataset="custom", **{**SETTINGS, **SFRS, "learning_rate": 1e-4}
    )
    there = run(XlaDevice(), config)
    here = run(TorchDevice("cpu", Place()), config)
    assert there[0] == pytest.approx(here[0], rel=2e-3)
    assert (there[1] == here[1]).all()
    assert there[2] == pytest.approx(here[2])
    counts = there[3]
    assert counts[2:6] == [counts[2]] * 4, "also where a round begins (step 4)"
    assert counts[8:] == [counts[8]] * 4, counts
    assert torch.isfinite(torch.tensor(there[0])).all()
