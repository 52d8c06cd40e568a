"""The parts of the loop: schedules, moving average, states, lock, journal, places, loading ahead."""

from __future__ import annotations

import math
import os
import threading

import numpy as np
import pytest
import torch

from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_training.data.ahead import loaded_ahead
from relpose_training.engine.averaging import MovingAverage
from relpose_training.engine.device import Place, find_place, run_on_device
from relpose_training.engine.journal import Journal, plot_curves, read_metrics
from relpose_training.engine.lock import folder_lock
from relpose_training.engine.schedules import learning_rate
from relpose_training.engine.states import (
    CONTENT,
    PREVIOUS,
    STATE,
    is_finite,
    load_state,
    random_state,
    restore_random_state,
    save_state,
)


@pytest.fixture
def rate(toy):
    def rates(at, **values):
        config = toy.LineConfig(out="x", learning_rate=2.0, **values)
        return [learning_rate(config, step) for step in at]

    return rates


def test_schedules(rate):
    assert rate([0, 9], steps=10) == [2, 2]
    assert rate([0, 1, 3, 4, 9], steps=10, warmup_steps=4) == [0.5, 1, 2, 2, 2]
    assert rate([0, 5, 10], steps=10, schedule="linear") == [2, 1, 0]
    assert rate([5, 10, 15], steps=15, schedule="linear", warmup_steps=5) == [2, 1, 0]
    assert rate([0, 5, 10], steps=10, schedule="cosine") == pytest.approx([2, 1, 0])
    assert rate([2], steps=8, schedule="cosine") == pytest.approx([1 + math.cos(math.pi / 4)])
    stairs = {"schedule": "step", "step_size": 3, "step_factor": 0.1}
    assert rate([0, 2, 3, 6], steps=10, **stairs) == pytest.approx([2, 2, 0.2, 0.02])
    stairs["step_start"] = 3
    assert rate([5, 6], steps=9, **stairs) == pytest.approx([2, 0.2])
    falling = {"schedule": "exponential", "step_size": 4, "step_factor": 0.25, "step_start": 2}
    assert rate([0, 2, 4, 6], steps=9, **falling) == pytest.approx([2, 2, 1, 0.5])


def test_the_moving_average_is_that_of_the_formula():
    module = torch.nn.Linear(1, 1, bias=False)
    average = MovingAverage(module, 0.5)
    expected = start = module.weight.item()
    for n in range(6):
        with torch.no_grad():
            module.weight.fill_(n)
        average.update(module)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    assert float(average.values["weight"]) == pytest.approx(expected)
    assert float(average.values["weight"]) != start
    again = MovingAverage(module, 0.5)
    again.load_state_dict(average.state_dict())
    assert again.updates == 6
    assert torch.equal(again.values["weight"], average.values["weight"])


def state(step):
    return {**dict.fromkeys(CONTENT), "step": step, "module": {"w": torch.full((1000,), float(step))}}


def test_the_newest_whole_state_is_taken(tmp_path):
    assert load_state(tmp_path) is None
    save_state(tmp_path, state(1))
    save_state(tmp_path, state(2))
    assert load_state(tmp_path)["step"] == 2
    whole = (tmp_path / STATE).read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / STATE).write_bytes(whole[:size])
        assert load_state(tmp_path)["step"] == 1
    (tmp_path / STATE).unlink()  # killed between the two renames
    assert load_state(tmp_path)["step"] == 1


def test_two_broken_states_are_named(tmp_path):
    save_state(tmp_path, state(1))
    save_state(tmp_path, state(2))
    (tmp_path / STATE).write_bytes(b"nothing of the kind")
    torch.save({"weights": torch.zeros(2)}, tmp_path / PREVIOUS)
    with pytest.raises(CheckpointError) as error:
        load_state(tmp_path)
    text = str(error.value)
    assert all(word in text for word in (STATE, PREVIOUS, "state of a run", "Remove them to start anew"))


def test_generators_are_put_back():
    import random

    def draw():
        legacy = np.random.normal()  # noqa: NPY002 (which code of others draws from)
        return (random.random(), random.gauss(0, 1), legacy, float(torch.rand(())))

    draw()
    kept = random_state()
    first = draw()
    torch.rand(1000)
    restore_random_state(kept)
    assert draw() == first


def test_finiteness_looks_everywhere():
    good = {"a": [torch.ones(2), {"b": torch.tensor([1, 2])}], "c": None, "d": "x"}
    assert is_finite(good)
    assert not is_finite({**good, "e": (torch.tensor([1.0, float("inf")]),)})


def test_the_lock_names_its_holder_and_outlives_nobody(tmp_path):
    child = os.fork()
    if child == 0:
        with folder_lock(tmp_path / "run"):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    refused = pytest.raises(ConfigurationError, match=f"process {os.getpid()}")
    with folder_lock(tmp_path / "run"), refused, folder_lock(tmp_path / "run"):
        pass


def test_a_folder_in_which_nothing_was_written_goes_when_an_error_ends_it(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "run").mkdir()
    for folder, there in (("a/b", []), ("mine", ["mine"]), ("run/c", []), ("written", ["written", "file"])):
        with pytest.raises(ValueError, match="x"), folder_lock(tmp_path / folder):
            if folder == "written":
                (tmp_path / folder / "file").touch()
            raise ValueError("x")
        with folder_lock(tmp_path / folder, wanted=False):
            assert (tmp_path / folder).exists() == bool(there)
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("[!.]*")} == {
        "mine",
        "run",
        "written",
        "written/file",
    }
    with folder_lock(tmp_path / "a/b"):
        pass
    assert (tmp_path / "a/b").exists()


def test_the_journal_drops_what_will_be_written_again(tmp_path):
    journal = Journal(tmp_path, 0)
    for step in (5, 10, 15):
        journal.write(step, "train", {"loss": 1.0 / step})
    journal.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "spl')
    assert [x["step"] for x in read_metrics(tmp_path / "metrics.jsonl")] == [5, 10, 15]
    Journal(tmp_path, 10).close()
    assert [x["step"] for x in read_metrics(tmp_path / "metrics.jsonl")] == [5, 10]


def test_curves_are_drawn_of_anything(tmp_path):
    assert plot_curves(tmp_path).stat().st_size > 1000  # nothing was logged
    journal = Journal(tmp_path, 0)
    journal.write(1, "train", {"loss": float("nan"), "other": 2.0})
    journal.write(2, "validation", {"loss": 1.0})
    journal.close()
    assert plot_curves(tmp_path).read_bytes().startswith(b"\x89PNG")


def test_places():
    assert find_place({}) == Place()
    assert find_place({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == Place(5, 8, 1)
    srun = {
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_NTASKS": "4",
        "SLURM_PROCID": "3",
        "SLURM_LOCALID": "1",
        "MASTER_ADDR": "node0",
        "MASTER_PORT": "1",
    }
    assert find_place(srun) == Place(3, 4, 1)
    assert find_place({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) == Place()  # a batch script without srun
    with pytest.raises(ConfigurationError, match=r"WORLD_SIZE.*torchrun"):
        find_place({"RANK": "5"})
    with pytest.raises(ConfigurationError, match="torchrun"):
        find_place({**srun, "SLURM_PROCID": "many"})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigurationError, match="torch sees no GPU"):
        run_on_device("cuda", lambda _: 0)


def test_the_status_of_the_worker_comes_back():
    assert run_on_device("cpu", lambda device: 7 if device.is_main else 0) == 7


def test_loading_ahead_keeps_order_and_is_ahead():
    made = []

    def items():
        for number in range(6):
            made.append(number)
            yield number

    stream = loaded_ahead(items(), 2)
    assert next(stream) == 0
    while len(made) < 4:  # two waiting, one being put
        pass
    assert [*stream] == [1, 2, 3, 4, 5]


def test_loading_ahead_raises_what_the_loader_raises_and_leaves_no_thread():
    def broken():
        yield 1
        raise ValueError("no more")

    stream = loaded_ahead(broken())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="no more"):
        next(stream)
    endless = loaded_ahead(iter(int, 1))
    next(endless)
    endless.close()
    for thread in threading.enumerate():
        if thread.name == "loader":
            thread.join(5)
            assert not thread.is_alive()
