"""One run: what it leaves behind, and what stops it."""

from __future__ import annotations

import json

import pytest
import torch

from relpose_ros.checkpoints.format import read_info
from relpose_ros.errors import ConfigurationError
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.journal import read_metrics
from relpose_training.engine.loop import Meter, Trainer, train
from relpose_training.engine.states import load_state


def device():
    return TorchDevice("cpu", Place())


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_the_error_goes_down_and_everything_is_left_behind(line, tmp_path):
    run = tmp_path / "run"
    assert train(line(run, steps=300), device()) == 0
    lines = read_metrics(run / "metrics.jsonl")
    errors = [x["error"] for x in lines if x["split"] == "validation"]
    assert errors[-1] < 0.2 * errors[0]
    assert {"loss", "learning_rate", "samples_per_second", "waiting_for_data"} <= lines[0].keys()
    left = {path.name for path in run.iterdir() if path.is_file()}
    assert left == {
        ".lock",
        "best.safetensors",
        "config.yaml",
        "last.safetensors",
        "metrics.jsonl",
        "state.previous.pt",
        "state.pt",
    }
    assert any((run / "tensorboard").iterdir())


def test_the_best_checkpoint_is_that_of_the_best_validation(line, tmp_path):
    train(line(tmp_path, steps=60, learning_rate=0.3, schedule="constant"), device())
    errors = {
        x["step"]: x["error"] for x in read_metrics(tmp_path / "metrics.jsonl") if x["split"] == "validation"
    }
    info = read_info(tmp_path / "best.safetensors")
    assert info.recipe["step"] == min(errors, key=errors.get)
    assert info.metrics["validation/error"] == min(errors.values())
    assert read_info(tmp_path / "last.safetensors").recipe["step"] == 60


def test_the_same_seed_gives_the_same_run(line, tmp_path, weights):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(line(tmp_path / name, seed=seed), device())
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


OPTIONS = [
    {},
    {"ema": 0.9},
    {"accumulate": 2, "clip_norm": 0.5},
    {"optimizer": "sgd", "schedule": "cosine", "warmup_steps": 7},
    {"optimizer": "adamw", "weight_decay": 0.1, "precision": "bfloat16"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_a_stopped_run_goes_on_as_if_nothing_had_been(line, tmp_path, options, interrupt_at, weights):
    train(line(tmp_path / "whole", **options), device())
    recipe = line(tmp_path / "parts", **options)
    interrupt_at(8, 19, 27)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, device())
    assert train(recipe, device()) == 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    steps, losses = (
        [[(x["split"], x["step"], x.get("loss")) for x in read_metrics(tmp_path / name / "metrics.jsonl")]]
        for name in ("whole", "parts")
    )
    assert steps == losses


def test_accumulated_batches_equal_one_of_their_size(line, tmp_path, weights):
    """All twelve samples in a step, at once or in parts, give the same gradients."""
    still = {"batchnorm": False, "dropout": 0.0, "noise": 0.0, "steps": 5, "optimizer": "sgd"}
    train(line(tmp_path / "whole", batch_size=12, **still), device())
    train(line(tmp_path / "parts", batch_size=3, accumulate=4, **still), device())
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)


def test_gradients_are_clipped(line, tmp_path):
    """SGD without momentum moves by learning rate times norm at most."""
    recipe = line(tmp_path, clip_norm=0.01, optimizer="sgd", momentum=0.0, steps=1, slope=100.0)
    trainer = Trainer(recipe, device())
    before = torch.nn.utils.parameters_to_vector(trainer.module.parameters()).detach().clone()
    values = trainer.train_step(trainer.training_batches(), Meter(0.0))
    moved = torch.nn.utils.parameters_to_vector(trainer.module.parameters()).detach() - before
    assert values["gradient_norm"] > 0.01
    assert float(moved.norm()) == pytest.approx(0.01 * recipe.config.learning_rate, rel=1e-3)


def test_another_configuration_in_the_same_folder_is_refused(line, tmp_path):
    train(line(tmp_path), device())
    with pytest.raises(ConfigurationError, match="another configuration"):
        train(line(tmp_path, slope=3.0), device())


def test_a_run_is_made_longer_where_the_schedule_allows_it(line, tmp_path, weights):
    train(line(tmp_path / "long", steps=40), device())
    train(line(tmp_path / "twice", steps=30), device())
    train(line(tmp_path / "twice", steps=40, workers=0, save_every=7), device())
    assert same(weights(tmp_path / "long"), weights(tmp_path / "twice"))
    train(line(tmp_path / "cosine", schedule="cosine"), device())
    with pytest.raises(ConfigurationError, match="another configuration"):
        train(line(tmp_path / "cosine", schedule="cosine", steps=40), device())


def test_another_number_of_devices_is_refused(line, tmp_path):
    train(line(tmp_path), device())
    two = device()
    two.batch_factor = 2
    with pytest.raises(ConfigurationError, match="run of 1 devices, here are 2"):
        train(line(tmp_path), two)


def test_a_loss_that_is_no_number_stops_the_run_with_a_message(line, tmp_path):
    with pytest.raises(ConfigurationError, match=r"loss is nan at step 15\. The state of step 10 is kept"):
        train(line(tmp_path, nan_at=12), device())
    state = load_state(tmp_path)
    assert state["step"] == 10
    assert all(torch.isfinite(value).all() for value in state["module"].values())


def test_weights_that_are_no_numbers_are_never_saved(line, tmp_path):
    """The loss is looked at every 100 steps, the state saved every 5."""
    with pytest.raises(ConfigurationError, match=r"weights are not finite at step 15\. The state of step 10"):
        train(line(tmp_path, nan_at=12, log_every=100), device())
    assert load_state(tmp_path)["step"] == 10


def test_the_journal_is_json_even_where_a_metric_is_no_number(line, tmp_path, monkeypatch, toy):
    monkeypatch.setattr(toy.LineRecipe, "summarise", lambda *_: {"error": float("nan")})
    assert train(line(tmp_path), device()) == 0
    lines = [json.loads(x, parse_constant=pytest.fail) for x in (tmp_path / "metrics.jsonl").open()]
    assert [x["error"] for x in lines if x["split"] == "validation"] == [None, None, None]
    assert not (tmp_path / "best.safetensors").exists()


def test_progress_is_told(line, tmp_path):
    said = []
    train(line(tmp_path), device(), lambda *words: said.append(words))
    assert said[0][:2] == (0, 30)
    assert said[-1][:2] == (30, 30)
    assert "loss" in said[-1][2]


def test_validation_counts_every_sample_once(line, tmp_path, toy, monkeypatch):
    """Seven samples in batches of four: the filled last batch adds nothing."""
    seen = []
    monkeypatch.setattr(toy.LineRecipe, "summarise", lambda _, s: seen.append(s["error"]) or {"error": 1.0})
    train(line(tmp_path, steps=10), device())
    assert [len(x) for x in seen] == [7]


def test_the_backup_brings_a_run_to_a_new_machine(line, tmp_path, weights):
    backup = f"memory://{tmp_path.name}/run"
    train(line(tmp_path / "whole", steps=20), device())
    train(line(tmp_path / "old", steps=10, backup=backup), device())
    train(line(tmp_path / "new", steps=20, backup=backup), device())
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "new"))
    steps = [x["step"] for x in read_metrics(tmp_path / "new/metrics.jsonl") if x["split"] == "train"]
    assert steps == [5, 10, 15, 20]


def test_a_backup_that_cannot_be_says_so(line, tmp_path):
    with pytest.raises(ConfigurationError, match="backup=nosuch://bucket"):
        train(line(tmp_path, backup="nosuch://bucket"), device())
