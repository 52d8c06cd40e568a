"""One run, killed or not, gives the same weights."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.errors import ConfigurationError
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.journal import read_metrics
from relpose_training.engine.loop import train


def device():
    return TorchDevice("cpu", Place())


def weights(folder):
    return read_container(folder / "last.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_the_loss_goes_down_and_everything_is_left_behind(line, tmp_path):
    assert train(line(tmp_path / "run", steps=60), device()) == 0
    lines = read_metrics(tmp_path / "run/metrics.jsonl")
    losses = [x["loss"] for x in lines if x["split"] == "train"]
    assert losses[-1] < 0.2 * losses[0]
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert {
        "best.safetensors",
        "last.safetensors",
        "metrics.jsonl",
        "curves.png",
        "config.yaml",
        "state.pt",
    } <= names


def test_the_same_seed_gives_the_same_run(line, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(line(tmp_path / name, seed=seed), device())
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


@pytest.mark.parametrize(
    "options", [{}, {"ema": 0.9}, {"accumulate": 2}, {"optimizer": "sgd", "schedule": "cosine"}]
)
def test_a_stopped_run_goes_on_as_if_nothing_had_been(line, tmp_path, options, monkeypatch):
    train(line(tmp_path / "whole", **options), device())
    recipe = line(tmp_path / "parts", **options)
    from relpose_training.engine import loop

    calls = []
    original = loop.Trainer.train_step

    def interrupted(self, data, meter):
        calls.append(self.step)
        if len(calls) in (8, 19, 27):
            raise KeyboardInterrupt
        return original(self, data, meter)

    monkeypatch.setattr(loop.Trainer, "train_step", interrupted)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, device())
    assert train(recipe, device()) == 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    steps = [(x["split"], x["step"]) for x in read_metrics(tmp_path / "parts/metrics.jsonl")]
    assert steps == [(x["split"], x["step"]) for x in read_metrics(tmp_path / "whole/metrics.jsonl")]


def test_another_configuration_in_the_same_folder_is_refused(line, tmp_path):
    train(line(tmp_path / "run"), device())
    with pytest.raises(ConfigurationError, match="another configuration"):
        train(line(tmp_path / "run", slope=3.0), device())


def test_workers_change_nothing(line, tmp_path):
    from relpose_training.data.stream import batches

    data = line(tmp_path).training_data(Place())
    streams = [batches(data, 4, seed=1, workers=w, start=2) for w in (0, 2)]
    a, b = ([next(it) for _ in range(6)] for it in map(iter, streams))
    assert all(torch.equal(x["x"], y["x"]) for x, y in zip(a, b, strict=True))
