"""The toy recipe, here and in processes that tests start."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from relpose_ros.checkpoints.containers import read_container

HERE = Path(__file__).parent
SETTINGS = {
    "steps": 30,
    "batch_size": 4,
    "save_every": 5,
    "validate_every": 10,
    "log_every": 5,
    "learning_rate": 0.05,
}


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """As in the processes that tests start: sums come out in other bits with another number of threads."""


@pytest.fixture
def toy(monkeypatch):
    """The module of the toy recipe, importable by its name."""
    monkeypatch.syspath_prepend(HERE)
    return importlib.import_module("toy_recipe")


@pytest.fixture
def line(toy, monkeypatch):
    """Make the recipe: `line(tmp_path, steps=30)`. Its runs draw no picture: that takes longer than they."""
    monkeypatch.setattr("relpose_training.engine.loop.plot_curves", lambda _: None)
    return lambda out, **values: toy.LineRecipe(toy.LineConfig(out=out, **{**SETTINGS, **values}))


@pytest.fixture
def command():
    """The command line of `relpose train` for the toy: `command(out, steps=30)`, and its environment."""

    def make(out, *, launcher=(), **values):
        given = {**SETTINGS, "out": out, **values}
        words = [f"{key}={value}" for key, value in given.items()]
        start = [sys.executable, *launcher, "-m", "relpose_ros.cli", "train", "toy_recipe:LineRecipe"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])
        return {"args": [*start, *words], "env": environment}

    return make


@pytest.fixture
def zygote(command):
    """See zygote.py: a line of settings in, the number of a child and then its wait status out."""
    environment = command("unused")["env"]
    started = [sys.executable, str(HERE / "zygote.py")]
    with subprocess.Popen(
        started, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.fixture
def weights():
    """The last weights of a run."""
    return lambda folder: read_container(folder / "last.safetensors")
