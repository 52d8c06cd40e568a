"""The loop on XLA's own CPU device: `make test-xla`, in an environment of its own.

What runs here: one process through torch_xla.launch, and SPMD over four virtual devices. Several XLA
processes and pods do not run without TPUs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from relpose_ros.checkpoints.containers import read_container
from relpose_training.engine.journal import read_metrics

SCRIPT = Path(__file__).with_name("runs.py")
STILL = {"dropout": 0.0, "batchnorm": "false"}
"""Nothing that draws on the device (it has generators of its own), and no statistics of a batch (XLA keeps
the biased variance)."""


def run(out, devices=1, **values):
    settings = {"steps": 60, "save_every": 10, "validate_every": 10, "log_every": 10, "learning_rate": 0.03}
    words = [f"{key}={value}" for key, value in {**settings, **values}.items()]
    environment = {
        **os.environ,
        "PJRT_DEVICE": "CPU",
        "CPU_NUM_DEVICES": str(devices),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(out), *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def done(out, devices=1, **values):
    finished = run(out, devices, **values)
    assert finished.returncode == 0, finished.stderr
    return json.loads((out / "facts.json").read_text())


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A run with all that the loop can do, on one device."""
    out = tmp_path_factory.mktemp("everything")
    options = {"schedule": "cosine", "warmup_steps": 5, "clip_norm": 1, "ema": 0.9, "accumulate": 2}
    return out, {**options, "device": "xla"}, done(out, **options, device="xla")


@pytest.fixture(scope="module")
def agreeing(tmp_path_factory):
    """The same run on the CPU, on one XLA device, and on four by SPMD."""
    folder = tmp_path_factory.mktemp("agreeing")
    facts = {
        "cpu": done(folder / "cpu", device="cpu", batch_size=12, **STILL),
        "xla": done(folder / "xla", device="xla", batch_size=12, **STILL),
        "spmd": done(folder / "spmd", 4, device="xla-spmd", batch_size=3, **STILL),
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


def test_mixed_precision(tmp_path):
    done(tmp_path, device="xla", precision="bfloat16", **STILL)
    losses = series(tmp_path, "train", "loss")
    assert losses[-1] < 0.3 * losses[0]


def test_messages_between_processes_have_few_sizes():
    from relpose_training.engine.xla import LEAST_MESSAGE, pack, unpack

    values = [None, True, {"a": 1.5, "b": [1, "x"]}, {"t": torch.arange(5000)}]
    for value in values:
        message = pack(value)
        assert len(message) >= LEAST_MESSAGE
        assert len(message).bit_count() == 1
        assert str(unpack(message)) == str(value)
