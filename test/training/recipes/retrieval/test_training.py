"""The recipe in the engine: what it learns, that nothing stops it, what it refuses."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import load_network
from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.engine.configuration import load_config
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.journal import read_metrics
from relpose_training.engine.loop import Meter, Trainer, train
from relpose_training.engine.states import load_state
from relpose_training.recipes.retrieval.config import RetrievalConfig
from relpose_training.recipes.retrieval.recipe import RetrievalRecipe

sys.path.insert(0, str(Path(__file__).parent))

from toy_places import SETTINGS, write_places  # type: ignore[import-not-found]

SFRS = {
    "loss": "sfrs", "temperatures": (0.07, 0.07, 0.06), "first_generation": 2, "steps": 8, "positives": 2,
    "positive_pool": 2,
}  # fmt: skip
MOBILE = {"network": "mobile", "trunk_width": 0.35, "dimension": 16, "channels": None, "clusters": 64}


def device():
    return TorchDevice("cpu", Place())


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """As in the processes that tests start: sums come out in other bits with another number of threads."""
    monkeypatch.setattr("relpose_training.engine.loop.plot_curves", lambda _: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def places(tmp_path_factory):
    return write_places(tmp_path_factory.mktemp("places"))


@pytest.fixture
def recipe(places, tmp_path):
    def make(out="run", **values):
        settings = {"data": places, "dataset": "custom", **SETTINGS, **values}
        return RetrievalRecipe(RetrievalConfig(out=tmp_path / out, **settings))

    return make


def weights(folder):
    return read_container(folder / "last.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@torch.no_grad()
def mean_loss(module, batches):
    return np.mean([float(module(batch, 0)["loss"]) for batch in batches])


def test_loss_goes_down_and_recall_goes_up(recipe, tmp_path):
    made = recipe(
        steps=60, validate_every=60, save_every=60, refresh=24, batch_size=4, learning_rate=3e-3,
        temperature=0.07,
    )  # fmt: skip
    trainer = Trainer(made, device())
    before = made.validate(trainer.module, device())
    batches = list(itertools.islice(trainer.training_batches(), 6))
    first = mean_loss(trainer.module, batches)
    assert train(made, device()) == 0
    network, info = load_network(tmp_path / "run/last.safetensors")
    after = [x for x in read_metrics(tmp_path / "run/metrics.jsonl") if x["split"] == "validation"][-1]
    assert after["recall@1"] >= before["recall@1"] + 0.2
    trainer.module.network.load_state_dict(network.state_dict())
    assert mean_loss(trainer.module, batches) < 0.9 * first
    assert (info.network, info.licence, info.data) == ("retrieval.netvlad_vgg16", "CC0-1.0", "toy")
    fed = RetrievalInfo.of(info)
    assert (fed.height, fed.width, fed.output, fed.dimension) == (32, 32, "vlad", 48)
    assert network(torch.zeros(2, 3, 32, 32))[1].shape == (2, 48)


@pytest.mark.parametrize(
    "options",
    [
        {"mined_gallery": 12, "loss": "triplet", "accumulate": 2},
        {**SFRS, "teacher_average": 0.5, "accumulate": 2, "steps": 6},
        {"loss": "sare_joint", "share_negatives": True, "crop": 0.4, "batch_size": 4},
        SFRS,
    ],
)
def test_a_run_that_is_interrupted_inside_chunks_equals_a_whole_one(recipe, tmp_path, interrupt_at, options):
    """State is saved at every step; chunks have four steps (two where batches are accumulated)."""
    options = {"steps": 6, "jitter": 0.5, "jitter_hue": 0.2, **options}
    train(recipe("whole", **options), device())
    interrupt_at(2, 6)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(recipe("parts", **options), device())
    assert train(recipe("parts", **options), device()) == 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    states = [load_state(tmp_path / name) for name in ("whole", "parts")]
    assert same(states[0]["module"], states[1]["module"]), "teacher and initial weights too"
    mined = [state["rounds"][0] for state in states]
    assert torch.equal(mined[0]["tuples"], mined[1]["tuples"])
    assert mined[0]["miner"]["random"] == mined[1]["miner"]["random"]


def words(folder, data, **values):
    settings = {**SETTINGS, "data": data, "dataset": "custom", "out": folder, **values}
    return [f"{k}={list(v) if isinstance(v, tuple) else v}" for k, v in settings.items()]


def start(*command, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *command]
    return subprocess.Popen(words, env=environment, text=True, stderr=subprocess.PIPE, **options)


def test_sigkill_inside_a_chunk_changes_nothing(recipe, places, tmp_path):
    options = {"steps": 40, "refresh": 24, "save_every": 1, "validate_every": 40}
    process = start("-m", "relpose_ros.cli", "train", "retrieval", *words(tmp_path / "k", places, **options))
    while len(read_metrics(tmp_path / "k/metrics.jsonl")) < 5 and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL, process.stderr.read()
    state = load_state(tmp_path / "k")
    assert 4 <= state["step"] < 40 and state["step"] % 12, "killed inside a chunk of twelve steps"
    assert train(recipe("k", **options), device()) == 0
    train(recipe("whole", **options), device())
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "k"))


def test_two_processes_mine_and_learn_what_one_does(recipe, places, tmp_path):
    """SFRS up to its second generation: hard negatives, and positives by re-ranking."""
    options = {**SFRS, "steps": 4, "temperatures": (0.07, 0.07), "jitter": 0.0, "optimizer": "sgd"}
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "relpose_ros.cli")
    two = start(*launcher, "train", "retrieval", *words(tmp_path / "two", places, **options, batch_size=1))
    said = two.communicate(timeout=300)[1]
    assert two.returncode == 0, said
    train(recipe("one", **options, batch_size=2), device())
    one, two = (load_state(tmp_path / name) for name in ("one", "two"))
    assert len(two["rounds"]) == 2 and one["rounds"][0]["start"] == 2
    for found in two["rounds"]:
        assert torch.equal(found["tuples"], one["rounds"][0]["tuples"])
        assert found["miner"]["random"] == one["rounds"][0]["miner"]["random"]
    a, b = one["module"], two["module"]
    assert all(torch.allclose(a[k], b[k], rtol=1e-4, atol=1e-6) for k in a)
    recalls = [read_metrics(tmp_path / name / "metrics.jsonl")[-1]["recall@5"] for name in ("one", "two")]
    assert recalls[0] == recalls[1]


@pytest.mark.parametrize("average", [None, 0.5])
def test_a_generation_begins_with_the_first_weights_and_a_teacher(recipe, average):
    trainer = Trainer(recipe(**SFRS, optimizer="sgd", teacher_average=average), device())
    module, data = trainer.module, trainer.training_batches()
    first = {k: v.clone() for k, v in module.network.state_dict().items()}
    assert same(module.teacher.state_dict(), first)
    for _ in range(2):
        trainer.train_step(data, Meter(0.0))
        trainer.step += 1
    student = {k: v.clone() for k, v in module.network.state_dict().items()}
    assert not same(student, first) and same(module.teacher.state_dict(), first)
    assert trainer.optimizer.state
    trainer._enter_stage()
    assert same(module.network.state_dict(), first)
    assert same(module.teacher.state_dict(), student) == (average is None)
    assert not same(module.teacher.state_dict(), first)
    assert not trainer.optimizer.state
    trainer.train_step(data, Meter(0.0))
    assert not same(module.network.state_dict(), first), "it learns again"
    trainer.step += 1
    teacher = {k: v.clone() for k, v in module.teacher.state_dict().items()}
    trainer._enter_stage()
    assert same(module.teacher.state_dict(), teacher), "inside a generation nothing happens"


@pytest.mark.parametrize(
    "options",
    [
        {"precision": "bfloat16", "channels_last": True, **SFRS, "steps": 4},
        {"network": "mobile_netvlad", "trunk_width": 0.35, "dimension": 16, "channels": None},
        {**MOBILE, **SFRS, "height": 64, "width": 64},
        {**SFRS, "hard": "triplet", "squared": True},
    ],
)
def test_other_networks_and_precisions(recipe, options):
    trainer = Trainer(recipe(**{**options, "refresh": 4}), device())
    data = trainer.training_batches()
    values = trainer.train_step(data, Meter(0.0))
    assert all(bool(torch.isfinite(v)) for v in values.values())
    score = trainer.module.eval().score(next(data))["descriptor"]
    assert torch.allclose(score.norm(dim=1), torch.ones(len(score)), atol=1e-5)


def test_what_does_not_fit_is_said(recipe, tmp_path):
    with pytest.raises(DatasetError, match="expected 30 negatives, 22 of 24"):
        train(recipe(negatives=30, pool=100), device())
    empty = write_places(tmp_path / "empty", train=0)
    with pytest.raises(DatasetError, match="train"):
        train(recipe(data=empty), device())
    with pytest.raises(ConfigurationError, match="multiples of 32"):
        recipe(loss="sfrs", height=40)
    with pytest.raises(ConfigurationError, match="multiples of 64"):
        recipe(**{**MOBILE, **SFRS}, stride=32, height=96, width=64)
    with pytest.raises(ConfigurationError, match="generation"):
        recipe(loss="sfrs", steps=3)
    with pytest.raises(ConfigurationError, match="these are random"):
        recipe(train_from="conv5")
    with pytest.raises(ConfigurationError, match="blocks"):
        recipe(**MOBILE, train_from="conv5", start_from=tmp_path / "x").module()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"dimension": 16},
            "dimension is no setting of network=netvlad_vgg16, but of: mobile, mobile_netvlad",
        ),
        ({"trunk_width": 0.5}, "trunk_width .*but of: mobile"),
        ({"stride": 32}, "stride .*but of: mobile"),
        ({"freeze_statistics": False}, "freeze_statistics .*but of: mobile"),
        ({**MOBILE, "channels": (6, 6, 8, 8, 12)}, "channels .*network=mobile, but of: netvlad_vgg16"),
        ({"loss": "triplet", "share_negatives": True}, "share_negatives .*loss=triplet, but of: sare_ind"),
        ({**MOBILE, "clusters": 4}, "clusters .*network=mobile, but of: netvlad_vgg16, mobile_netvlad"),
        ({**MOBILE, "centres": "centres.safetensors"}, "centres .*but of: netvlad_vgg16, mobile_netvlad"),
        (
            {"loss": "triplet", "temperature": 0.07},
            "temperature .*loss=triplet, but of: sare_ind, sare_joint",
        ),
        ({**SFRS, "temperature": 0.07}, "temperature is no .*temperature=null"),
        ({"margin": 0.2}, "margin .*loss=sare_ind, but of: triplet, sfrs with hard=triplet"),
        ({**SFRS, "squared": True}, "squared .*loss=sfrs with hard=sare_ind, but of: triplet"),
        ({"positives": 2}, "positives .*loss=sare_ind, but of: sfrs"),
        ({"hard": "triplet"}, "hard .*but of: sfrs"),
    ],
)
def test_what_would_be_ignored_is_refused(recipe, options, said):
    with pytest.raises(ConfigurationError, match=said):
        recipe(**options)


@pytest.mark.parametrize(("squared", "margin"), [(False, 0.1**0.5), (True, 0.1)])
def test_the_hard_triplets_of_sfrs_are_those_of_triplets(recipe, squared, margin):
    options = recipe(**SFRS, hard="triplet", squared=squared).module().options
    assert (options.hard, options.squared, options.margin) == ("triplet", squared, margin)


@pytest.mark.parametrize("loss", ["robot", "sare_ind", "sare_joint", "sfrs", "triplet"])
def test_the_files_of_settings_can_be_read(loss):
    file = Path(__file__).parents[4] / f"config/training/retrieval_{loss}.yaml"
    assert load_config(RetrievalConfig, file, ["data=places", "out=run"]).steps


def test_the_average_follows_once_a_step(recipe):
    """However many batches a step has; of two runs with the same tuples and no learning but one step's."""
    trainer = Trainer(
        recipe(**SFRS, optimizer="sgd", teacher_average=0.5, accumulate=3, batch_size=1), device()
    )
    module, data = trainer.module, trainer.training_batches()
    first = {k: v.clone() for k, v in module.network.state_dict().items()}
    trainer.train_step(data, Meter(0.0))
    assert same(module.averaged.state_dict(), first), "the weights before the first step"
    trainer.step += 1
    student = {k: v.clone() for k, v in module.network.state_dict().items()}
    trainer.train_step(data, Meter(0.0))
    found = module.averaged.state_dict()
    assert not same(student, first)
    assert all(torch.equal(found[k], first[k].lerp(student[k], 0.5)) for k in found)


def test_a_missing_image_is_said_before_anything_is_written(recipe, tmp_path):
    data = write_places(tmp_path / "broken")
    next((data / "raw/val").iterdir()).unlink()
    with pytest.raises(DatasetError, match=r"1 of \d+ images .* missing"):
        train(recipe(data=data), device())
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_generations_share_the_steps(recipe):
    made = recipe(loss="sfrs", steps=160, positives=2)
    assert made.config.generation_starts == (0, 10, 60, 110)
    assert [made.stage(step) for step in (0, 9, 10, 159)] == [
        range(10), range(10), range(10, 60), range(110, 160)
    ]  # fmt: skip
    assert not made.config.can_be_longer and recipe().config.can_be_longer
    assert (made.config.tuple_positives, recipe().config.tuple_positives) == (2, 0)
