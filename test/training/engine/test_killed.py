"""Runs that are killed, stopped, or started twice; runs of several processes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from itertools import pairwise

import pytest
import torch

from relpose_ros.cli.main import main
from relpose_training.engine.configuration import dump_config
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.journal import read_metrics
from relpose_training.engine.lock import folder_lock
from relpose_training.engine.loop import train
from relpose_training.engine.states import load_state


def device():
    return TorchDevice("cpu", Place())


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def lines(folder):
    return [(x["split"], x["step"], x.get("loss"), x.get("error")) for x in read_metrics(folder)]


def test_ten_sigkills_at_any_moment_change_nothing(line, zygote, tmp_path, weights):
    """Also in the middle of writing a state, which is what most of this run's time goes into."""
    options = {"steps": 400, "save_every": 2, "validate_every": 40, "ema": 0.9, "pause": 0.002}
    train(line(tmp_path / "whole", **options), device())
    recipe = line(tmp_path / "killed", **options)
    draw = random.Random(4)
    reached = [0]
    while len(reached) <= 10:
        print(json.dumps(dump_config(recipe.config)), file=zygote.stdin, flush=True)
        child = int(zygote.stdout.readline())
        while not _has_passed(recipe.config.out, reached[-1]):
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        status = int(zygote.stdout.readline())
        assert os.WIFSIGNALED(status), "the run was over before it was killed: make it longer"
        reached.append(load_state(recipe.config.out)["step"])
    assert all(later > earlier for earlier, later in pairwise(reached))
    assert train(recipe, device()) == 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))
    assert lines(tmp_path / "whole/metrics.jsonl") == lines(tmp_path / "killed/metrics.jsonl")


def _has_passed(folder, step):
    """Whether a state newer than that of `step` was written; asks the journal, which is cheap to read."""
    return any(x["step"] > step + 6 for x in read_metrics(folder / "metrics.jsonl"))


@pytest.mark.slow
def test_ten_sigkills_of_the_real_command_change_nothing(line, command, tmp_path, weights):
    options = {"steps": 300, "pause": 0.02, "ema": 0.9}
    train(line(tmp_path / "whole", **options), device())
    draw = random.Random(7)
    for _ in range(10):
        process = subprocess.Popen(
            **command(tmp_path / "killed", **options), stderr=subprocess.PIPE, text=True
        )
        before = len(read_metrics(tmp_path / "killed/metrics.jsonl"))
        while len(read_metrics(tmp_path / "killed/metrics.jsonl")) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.2))
        process.kill()
        assert process.wait() == -signal.SIGKILL, process.stderr.read()
    assert load_state(tmp_path / "killed")["step"] < 300
    finished = subprocess.run(**command(tmp_path / "killed", **options), timeout=120, check=False)
    assert finished.returncode == 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


def test_sigterm_saves_and_the_same_command_goes_on(line, command, tmp_path, weights):
    process = subprocess.Popen(
        **command(tmp_path / "run", steps=100000, pause=0.01, save_every=100000),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not read_metrics(tmp_path / "run/metrics.jsonl") and process.poll() is None:
        time.sleep(0.02)
    process.terminate()
    said = process.stderr.read()
    assert process.wait(60) == 143, said
    assert "the same command goes on" in said
    reached = load_state(tmp_path / "run")["step"]
    assert 5 <= reached < 1000
    options = {"steps": reached + 10, "pause": 0.01, "save_every": 100000}
    assert train(line(tmp_path / "run", **options), device()) == 0
    train(line(tmp_path / "whole", **options), device())
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


@pytest.mark.slow
def test_a_killed_run_leaves_no_loading_process_behind(command, tmp_path):
    process = subprocess.Popen(
        **command(tmp_path, steps=100000, pause=0.01, workers=2), start_new_session=True
    )
    while not read_metrics(tmp_path / "metrics.jsonl") and process.poll() is None:
        time.sleep(0.05)
    assert len(_session(process.pid)) >= 4  # itself, two workers, and the server that forks them
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while _session(process.pid) and time.monotonic() < end:
        time.sleep(0.1)
    assert not _session(process.pid)


def _session(leader):
    """The command lines of the living processes that a session leader started, itself too."""
    found = subprocess.run(
        ["ps", "-s", str(leader), "-o", "stat=,args="], capture_output=True, text=True, check=False
    )
    return [line for line in found.stdout.splitlines() if not line.startswith("Z")]


def test_a_second_process_in_the_same_folder_is_refused(toy, tmp_path, capsys):
    with folder_lock(tmp_path):
        status = main(["train", "toy_recipe:LineRecipe", f"out={tmp_path}", "device=cpu"])
    assert status == 2
    assert f"another run (process {os.getpid()}) writes here" in capsys.readouterr().err
    assert not (tmp_path / "metrics.jsonl").exists()
    with folder_lock(tmp_path):
        pass  # and it is free again


def test_two_processes_agree_with_one_of_twice_the_batch(line, command, tmp_path, weights):
    """Every sample in every step, so that the order is nothing; no statistics of a batch."""
    still = {"batchnorm": False, "dropout": 0.0, "noise": 0.0, "samples": [8, 8], "clip_norm": 1.0}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    both = subprocess.run(
        **command(tmp_path / "two", launcher=launcher, batch_size=8, device="cpu", **still),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert both.returncode == 0, both.stderr
    train(line(tmp_path / "one", batch_size=16, **{**still, "samples": (8, 8)}), device())
    a, b = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(a[k], b[k], rtol=1e-4, atol=1e-5) for k in a)
    losses = [[x[2] for x in lines(tmp_path / name / "metrics.jsonl") if x[2]] for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
