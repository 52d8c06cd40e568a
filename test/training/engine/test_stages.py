"""Stages of a recipe: where one begins, weights may change and the optimizer's past, rate and average end."""

from __future__ import annotations

import pytest
import torch

from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.journal import read_metrics
from relpose_training.engine.loop import Meter, Trainer, train

STARTS = (0, 8, 20)


def device():
    return TorchDevice("cpu", Place())


@pytest.fixture
def staged(line):
    """The recipe of the line in three stages: each begins with the network at half its weights."""

    def make(out, **values):
        recipe = line(out, **values)

        def stage(step):
            ends = (*STARTS[1:], recipe.config.steps)
            return next(range(a, b) for a, b in zip(STARTS, ends, strict=True) if step < b)

        def begin(module, step):
            recipe.begun.append(step)
            with torch.no_grad():
                for value in module.parameters():
                    value.mul_(0.5)

        recipe.begun, recipe.stage, recipe.begin_stage = [], stage, begin
        return recipe

    return make


def test_a_stage_begins_once_and_forgets(staged, tmp_path):
    recipe = staged(tmp_path, ema=0.9, schedule="cosine")
    trainer = Trainer(recipe, device())
    data = trainer.training_batches()
    while trainer.step < 8:
        trainer.train_step(data, Meter(0.0))
        trainer.step += 1
    before = {k: v.clone() for k, v in trainer.module.named_parameters()}
    assert trainer.optimizer.state and trainer.average.updates == 8 and not recipe.begun
    assert trainer._learning_rate(7) < 0.05 * trainer.config.learning_rate
    trainer._enter_stage()
    assert recipe.begun == [8]
    assert not trainer.optimizer.state and trainer.average.updates == 0
    for name, value in trainer.module.named_parameters():
        assert torch.equal(value, before[name] / 2)
        assert torch.equal(trainer.average.values[name], value)
    assert trainer._learning_rate(8) == trainer.config.learning_rate
    trainer.train_step(data, Meter(0.0))
    trainer.step += 1
    trainer._enter_stage()
    assert trainer.optimizer.state and len(recipe.begun) == 2, "train_step entered it itself, then none"


def test_an_interrupted_run_in_stages_equals_a_whole_one(staged, tmp_path, interrupt_at, weights):
    options = {"ema": 0.9, "schedule": "linear", "save_every": 4}
    train(staged(tmp_path / "whole", **options), device())
    interrupt_at(9, 14, 27)  # the first just where a stage begins
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train(staged(tmp_path / "parts", **options), device())
    assert train(staged(tmp_path / "parts", **options), device()) == 0
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(a[name], b[name]) for name in a)
    rates = [x["learning_rate"] for x in read_metrics(tmp_path / "whole/metrics.jsonl") if "loss" in x]
    assert rates[4] > rates[3] > 0, "the rate begins anew in the last stage"
