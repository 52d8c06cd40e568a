"""The loop on XLA's own CPU device: `make test-xla`, in an environment of its own.

What runs here: one process through torch_xla.launch, with one thread or with two whose collectives go by the
host (exchange.py), and SPMD over four virtual devices. Several XLA processes and pods do not run without
TPUs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from relpose_ros.checkpoints.containers import read_container
from relpose_training.engine.journal import read_metrics
from relpose_training.engine.states import load_state

SCRIPT = Path(__file__).with_name("runs.py")
STILL = {"dropout": 0.0, "batchnorm": "false"}
"""Nothing that draws on the device (it has generators of its own), and no statistics of a batch (XLA keeps
the biased variance)."""

PARTS = {"clip_norm": 0.3, "ema": 0.9, "accumulate": 2}


def command(out, devices=1, **values):
    settings = {"steps": 60, "save_every": 10, "validate_every": 10, "log_every": 10, "learning_rate": 0.03}
    words = [f"{key}={value}" for key, value in {**settings, **values}.items()]
    environment = {
        **os.environ,
        "PJRT_DEVICE": "CPU",
        "CPU_NUM_DEVICES": str(devices),
        "OMP_NUM_THREADS": "1",
    }
    return {"args": [sys.executable, str(SCRIPT), str(out), *words], "env": environment, "text": True}


def run(out, devices=1, **values):
    return subprocess.run(**command(out, devices, **values), capture_output=True, timeout=600, check=False)


def done(out, devices=1, **values):
    finished = run(out, devices, **values)
    assert finished.returncode == 0, finished.stderr
    return json.loads((out / "facts.json").read_text())


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A run with all that the loop can do, on one device."""
    out = tmp_path_factory.mktemp("everything")
    options = {"schedule": "cosine", "warmup_steps": 5, "precision": "bfloat16", **PARTS}
    return out, {**options, "device": "xla"}, done(out, **options, device="xla")


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory):
    """The same run on the CPU, on one XLA device, and on four by SPMD: accumulated, clipped, averaged."""
    folder, options = tmp_path_factory.mktemp("agreeing"), {**STILL, **PARTS}
    facts = {
        "cpu": done(folder / "cpu", device="cpu", batch_size=12, **options),
        "xla": done(folder / "xla", device="xla", batch_size=12, **options),
        "spmd": done(folder / "spmd", 4, device="xla-spmd", batch_size=3, **options),
    }
    return folder, facts


def series(out, split, name):
    return [x[name] for x in read_metrics(out / "metrics.jsonl") if x["split"] == split]


def test_the_loss_goes_down(everything, agreeing):
    losses = series(everything[0], "train", "loss")
    assert losses[-1] < 0.5 * losses[0]
    losses = series(agreeing[0] / "spmd", "train", "loss")
    assert losses[-1] < 0.2 * losses[0]
    assert everything[2]["device"] == agreeing[1]["spmd"]["device"] == "xla"


def test_nothing_is_compiled_after_the_first_save_and_validation(everything, agreeing):
    """Both are at step 10; rates, steps and norms change all the time."""
    for facts in (everything[2], agreeing[1]["xla"], agreeing[1]["spmd"]):
        counts = facts["compilations"]
        assert counts[0] == 0
        assert 0 < counts[11] < 20
        assert set(counts[12:]) == {counts[12]}, counts


@pytest.mark.parametrize("kind", ["xla", "spmd"])
def test_devices_agree(agreeing, kind):
    folder, facts = agreeing
    assert facts["spmd"]["devices"] == 4
    for split, name in (("train", "loss"), ("validation", "error")):
        expected, found = (series(folder / k, split, name) for k in ("cpu", kind))
        assert len(found) == 6
        assert found == pytest.approx(expected, rel=2e-3, abs=1e-5)
    expected, found = (read_container(folder / k / "last.safetensors") for k in ("xla", kind))
    assert all(torch.allclose(expected[k], found[k], atol=2e-3) for k in expected)


def test_an_interrupted_run_goes_on_with_the_same_bits(everything, tmp_path):
    whole, options, _ = everything
    assert run(tmp_path, stop=27, **options).returncode != 0
    assert not (tmp_path / "facts.json").exists()
    done(tmp_path, **options)
    expected, found = (read_container(folder / "last.safetensors") for folder in (whole, tmp_path))
    assert all(torch.equal(expected[k], found[k]) for k in expected)
    assert series(whole, "train", "loss") == series(tmp_path, "train", "loss")


def test_mixed_precision_on_several_devices(tmp_path):
    """On one device it is that of `everything`."""
    facts = done(tmp_path, 4, device="xla-spmd", precision="bfloat16", batch_size=3, **STILL)
    losses = series(tmp_path, "train", "loss")
    assert losses[-1] < 0.3 * losses[0]
    counts = facts["compilations"]
    assert set(counts[12:]) == {counts[12]}, counts


TOGETHER = {"threads": 2, "samples": "[8,8]", "noise": 0, "batch_size": 8}
"""Two threads; every sample in every step, so that their order is nothing."""


def terminated(out, devices, group, **values):
    """Start a run, give it SIGTERM (itself alone, or all its processes as a scheduler does); its state."""
    start = command(out, devices, steps=100000, pause=0.02, **values)
    process = subprocess.Popen(**start, start_new_session=True)
    while not read_metrics(out / "metrics.jsonl") and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.2)
    (os.killpg if group else os.kill)(process.pid, signal.SIGTERM)
    assert process.wait(60) == 143
    return load_state(out)


OFTEN = {**STILL, "device": "xla", "save_every": 100000, "log_every": 5}


def test_sigterm_for_the_whole_group_saves_the_state(tmp_path):
    """What trains is a thread of a child; the child and Python's helpers get the signal too."""
    state = terminated(tmp_path, 1, group=True, **OFTEN)
    assert 5 <= state["step"] < 10000


def test_sigterm_for_the_parent_alone_saves_the_state_of_all_and_the_run_goes_on(tmp_path):
    interrupted, options = tmp_path / "interrupted", {**OFTEN, **TOGETHER}
    state = terminated(interrupted, 2, group=False, **options)
    assert state["step"] % 5 == 0
    assert len(state["random"]) == 2
    options |= {"steps": state["step"] + 10, "pause": 0.02}
    done(interrupted, 2, **options)
    done(tmp_path / "whole", 2, **options)
    expected, found = (read_container(tmp_path / k / "last.safetensors") for k in ("whole", "interrupted"))
    assert all(torch.equal(expected[k], found[k]) for k in expected)


def test_two_threads_agree_with_one_device_of_twice_the_batch(tmp_path):
    one = {**TOGETHER, "batch_size": 16}
    del one["threads"]
    done(tmp_path / "two", 2, device="xla", **STILL, **TOGETHER)
    done(tmp_path / "one", device="cpu", **STILL, **one)
    expected, found = (series(tmp_path / k, "train", "loss") for k in ("one", "two"))
    assert found == pytest.approx(expected, rel=2e-3, abs=1e-5)


def test_the_seed_decides_what_is_drawn_on_the_device(monkeypatch):
    monkeypatch.setenv("PJRT_DEVICE", "CPU")
    from relpose_training.engine.xla import XlaDevice

    device = XlaDevice()
    drawn = []
    for seed in (1, 1, 2):
        device.seed(seed)
        drawn.append(torch.rand(4, device=device.torch_device).tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_messages_between_processes_have_few_sizes():
    from relpose_training.engine.xla import LEAST_MESSAGE, pack, unpack

    values = [None, True, {"a": 1.5, "b": [1, "x"]}, {"t": torch.arange(5000)}]
    for value in values:
        message = pack(value)
        assert len(message) >= LEAST_MESSAGE
        assert len(message).bit_count() == 1
        assert str(unpack(message)) == str(value)
