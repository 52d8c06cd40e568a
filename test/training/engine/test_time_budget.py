"""`--minutes`: as many steps as there is time for, chosen once."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
import yaml

from relpose_ros.checkpoints.format import read_info
from relpose_ros.cli.main import main
from relpose_ros.errors import ConfigurationError
from relpose_training.engine import time_budget
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.journal import read_metrics
from relpose_training.engine.loop import Trainer, train
from relpose_training.engine.time_budget import Budget, Costs, choose_steps, measure, within

TOY = "toy_recipe:LineRecipe"
WORDS = ["device=cpu", "schedule=cosine", "pause=0.02", "save_every=50", "validate_every=100", "log_every=10"]


def device():
    return TorchDevice("cpu", Place())


@pytest.fixture(autouse=True)
def _short_ending(monkeypatch, line):
    """`line` leaves out the picture, for which the time at the end is."""
    monkeypatch.setattr(time_budget, "ENDING", 0.3)


def test_the_most_steps_are_chosen_that_fit_with_validations_and_savings(line):
    config = line("x", validate_every=10, save_every=4).config
    costs = Costs(start=100, step=1.0, validation=7.0, saving=0.5)
    assert costs.of(10, config) == 10 + 7 + 3 * 0.5
    assert costs.of(11, config) == 11 + 14 + 3 * 0.5
    for seconds in (0.5, 8.4, 8.5, 18.5, 24, 26.5, 1000):
        steps = choose_steps(costs, config, seconds)
        assert steps == 0 or costs.of(steps, config) <= seconds
        assert costs.of(steps + 1, config) > seconds
    assert choose_steps(costs, config, -3) <= 0
    assert choose_steps(costs, config, 1000) > 500


def test_what_is_measured_is_what_the_run_does(line, tmp_path, monkeypatch, toy):
    """Steps sleep for 20 ms each, and every validation for 150 ms."""
    score = toy.LineModule.score
    monkeypatch.setattr(toy.LineModule, "score", lambda *words: time.sleep(0.075) or score(*words))
    recipe = line(tmp_path / "run", pause=0.02, accumulate=2)
    costs = measure(recipe, device(), Budget(0.3, time.monotonic()))
    assert 0.04 < costs.step < costs.validation
    assert costs.validation > 0.15
    assert costs.start > costs.step
    assert costs.saving > 0
    assert not list(tmp_path.iterdir())


def test_a_run_ends_in_time_and_its_schedule_spans_its_steps(toy, tmp_path, capsys):
    started = time.monotonic()
    assert main(["train", TOY, f"out={tmp_path / 'run'}", *WORDS, "--minutes", "0.1"]) == 0
    took = time.monotonic() - started
    assert 3 < took < 60, "about 6 s; a busy machine may become busier"
    steps = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["steps"]
    assert f"{steps} steps fit into 0.1 minutes" in capsys.readouterr().err
    assert 50 < steps < 300
    lines = [x for x in read_metrics(tmp_path / "run/metrics.jsonl") if x["split"] == "train"]
    assert lines[-1]["step"] == steps
    assert lines[-1]["learning_rate"] < 1e-3 * lines[0]["learning_rate"]
    assert 0 < read_info(tmp_path / "run/last.safetensors").recipe["minutes"] <= took / 60


def test_a_run_that_goes_on_keeps_its_steps(toy, line, tmp_path, monkeypatch, capsys, weights):
    """With another time, and with a machine that has become slower: the weights are those of the steps."""
    words = ["train", TOY, f"out={tmp_path / 'run'}", *WORDS]
    step = Trainer.train_step

    def interrupted(self, data, meter):
        if (tmp_path / "run/config.yaml").exists() and self.step == 20:
            raise KeyboardInterrupt
        return step(self, data, meter)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    assert main([*words, "--minutes", "0.08"]) == 130
    steps = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["steps"]
    monkeypatch.setattr(Trainer, "train_step", step)
    monkeypatch.setattr(time_budget, "measure", lambda *_: pytest.fail("measured again"))
    assert main([*words, "--minutes", "7"]) == 0
    assert f"{steps} steps, as the run in" in capsys.readouterr().err
    recipe = toy.LineRecipe(
        replace(
            line(tmp_path / "whole", schedule="cosine", steps=steps).config,
            learning_rate=1e-3,
            batch_size=8,
            validate_every=100,
        )
    )
    assert train(recipe, device()) == 0
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "run")
    assert all(torch.equal(expected[k], found[k]) for k in expected)


def test_a_new_machine_takes_the_steps_of_the_backup(line, tmp_path):
    options = {"backup": f"memory://{tmp_path.name}/run", "schedule": "cosine", "steps": 17}
    train(line(tmp_path / "old", **options), device())
    other = line(tmp_path / "new", **{**options, "steps": 1000})
    found, why = within(other, device(), Budget(9, time.monotonic()))
    assert found.config.steps == 17
    assert "17 steps, as the run" in why


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--minutes", "0.001"], "there is time for not a single step"),
        (["--minutes", "0.03", "warmup_steps=4000"], "but warmup_steps=4000"),
        (["--minutes", "1", "steps=30"], "not both"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(toy, tmp_path, capsys, words, message):
    assert main(["train", TOY, f"out={tmp_path / 'a/run'}", "device=cpu", *words]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("minutes", ["0", "-3", "nan", "inf", "soon"])
def test_minutes_are_a_number_above_zero(toy, tmp_path, minutes):
    with pytest.raises(SystemExit) as stop:
        main(["train", TOY, f"out={tmp_path / 'run'}", "--minutes", minutes])
    assert stop.value.code == 2


def test_nothing_fits_is_the_same_for_all_processes(line, tmp_path):
    with pytest.raises(ConfigurationError, match=r"there is time for not a single step .*; give it more"):
        within(line(tmp_path / "run"), device(), Budget(1e-4, time.monotonic()))


def test_a_rehearsal_shows_the_steps_and_writes_nothing(toy, tmp_path, capsys):
    words = [f"out={tmp_path / 'run'}", *WORDS, f"backup={tmp_path / 'copy'}"]
    assert main(["train", TOY, *words, "--minutes", "0.1", "--dry-run"]) == 0
    said = capsys.readouterr()
    settings = yaml.safe_load(said.out.split("\n\n", 1)[0])
    assert f"{settings['steps']} steps fit" in said.err
    assert not list(tmp_path.iterdir())
