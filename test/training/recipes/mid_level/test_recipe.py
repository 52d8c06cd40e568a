"""Depth, normals and classes: what is learned, what is measured, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import load_network, read_info
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.networks.scene_coordinates.normals import angles_of_vectors, logits_of_angles
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.journal import read_metrics
from relpose_training.engine.loop import train
from relpose_training.losses.depth import depth_loss
from relpose_training.recipes.mid_level.labels import mean_label
from relpose_training.recipes.mid_level.module import MODULES, per_image

TASKS = ("depth", "normal", "semantics")


def device():
    return TorchDevice("cpu", Place())


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_is_learned(recipe, batch, task):
    made = recipe(task=task)
    torch.manual_seed(0)
    module, one = made.module().train(), batch(made)
    made.start(module)
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    errors = []
    for step in range(15):
        values = module(one, step)
        errors.append(float(values["errors"].mean()))
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
    assert np.mean(errors[-3:]) < 0.8 * errors[0]


def test_depth_of_a_room_is_learned_in_a_moment(recipe, tmp_path):
    assert train(recipe(steps=60, validate_every=60, learning_rate=3e-4), device()) == 0
    scores = [x for x in read_metrics(tmp_path / "run" / "metrics.jsonl") if x["split"] == "validation"][-1]
    assert scores["absolute_relative"] < 0.21, "guessing the mean is 0.25 off"
    assert scores["error"] == scores["absolute_relative"] and np.isfinite(scores["nll"])


@pytest.mark.parametrize("task", TASKS)
def test_a_run_leaves_a_checkpoint_that_says_what_it_is(recipe, tmp_path, task):
    assert train(recipe(task=task, licence="CC0-1.0"), device()) == 0
    info = read_info(tmp_path / "run" / "best.safetensors")
    assert (info.network, info.licence, info.data) == (f"scene_coordinates.{task}", "CC0-1.0", "room")
    network = load_network(tmp_path / "run" / "best.safetensors")[0]
    out = network(torch.zeros(1, 3, 32, 40))[0]
    assert out.shape == {"depth": (1, 2, 4, 5), "normal": (1, 3, 4, 5), "semantics": (1, 6, 32, 40)}[task]


@pytest.mark.parametrize("task", TASKS)
def test_the_truth_has_no_error(recipe, batch, task):
    made = recipe(task=task)
    one = batch(made)
    module = MODULES[task](None, made.config)
    truth = {
        "depth": lambda: one["depth"][:, None],
        "normal": lambda: logits_of_angles(angles_of_vectors(one["normals"])),
        "semantics": lambda: (
            50.0 * torch.nn.functional.one_hot(one["semantics"].clamp(min=0), 6).permute(0, 3, 1, 2).float()
        ),
    }[task]()
    scores = module.scores(truth, one)
    metrics = made.summarise({name: value.double().numpy() for name, value in scores.items()})
    assert metrics["error"] < (0.1 if task == "normal" else 1e-6)
    wrong = module.scores(truth.roll(1, 0), one)
    assert made.summarise({n: v.double().numpy() for n, v in wrong.items()})["error"] > 0.05


def test_images_without_labels_count_for_nothing(recipe, batch):
    made = recipe()
    one = batch(made)
    one["depth"][0] = 0
    module = MODULES["depth"](None, made.config)
    prediction = torch.full((4, 1, 4, 5), 2.0, requires_grad=True)
    scores = module.scores(prediction, one)
    assert torch.isnan(scores["absolute_relative"]).tolist() == [True, False, False, False]
    metrics = made.summarise({n: v.detach().numpy() for n, v in scores.items()})
    assert np.isfinite(metrics["rms_m"])
    loss, _ = module.losses(prediction, prediction[:, :0], one)
    loss.sum().backward()
    assert not prediction.grad[0].any() and prediction.grad[1:].abs().max() > 0


def test_the_loss_is_the_published_one_and_heeds_weights(recipe, batch):
    made = recipe(uncertainty="none", loss="transpose")
    module, one = made.module().eval(), batch(made)
    said = module.predict(one["image"])[0]
    known = one["inside"] & (one["depth"] > 0)
    expected = depth_loss(said, one["depth"][:, None], known, None, variant="transpose")[0]
    assert torch.allclose(module(one, 0)["loss"], expected.mean())
    weight = torch.tensor([1.0, 0.0, 0.5, 0.0])
    weighted = module({**one, "weight": weight}, 0)["loss"]
    assert torch.allclose(weighted, (weight * expected).mean())


def test_the_network_starts_from_the_mean_label(recipe):
    for task in TASKS:
        made = recipe(task=task)
        views = made.validation_data(Place())
        mean = mean_label(views, task, 50)
        if task == "depth":
            samples = [views.sample(g, i, None)["depth"] for g in range(2) for i in range(3)]
            known = np.concatenate([s[s > 0] for s in samples])
            assert mean == [pytest.approx(known.mean(), rel=1e-4)]
        assert len(mean) == {"depth": 1, "normal": 2, "semantics": 6}[task] and np.isfinite(mean).all()


def test_a_run_goes_on_from_the_weights_of_another_set(recipe, tmp_path):
    train(recipe(), device())
    best = tmp_path / "run" / "last.safetensors"
    module = (made := recipe(start_from=best)).module()
    made.start(module)
    before = load_network(best)[0].state_dict()
    assert all(torch.equal(value, before[name]) for name, value in module.network.state_dict().items())
    other = recipe(start_from=best, task="normal")
    with pytest.raises(CheckpointError):
        other.start(other.module())


def test_prioritised_replay_runs_and_can_be_stopped(recipe, tmp_path, interrupt_at):
    settings = {"replay_every": 2, "steps": 6, "save_every": 3}
    train(recipe(out=tmp_path / "whole", **settings), device())
    interrupt_at(5)
    parts = recipe(out=tmp_path / "parts", **settings)
    with pytest.raises(KeyboardInterrupt):
        train(parts, device())
    assert train(parts, device()) == 0
    whole, again = (
        load_network(tmp_path / n / "last.safetensors")[0].state_dict() for n in ("whole", "parts")
    )
    assert all(torch.equal(value, again[name]) for name, value in whole.items())


def test_settings_that_do_not_fit_are_refused(recipe):
    bad = (
        {"task": "semantics", "uncertainty": "isotropic"},
        {"canvas": (30, 40)},
        {"contrastive_weight": 1.0},
        {"contrastive_weight": 1.0, "similarity": "x.h5", "positives_same": 0, "positives_other": 0},
    )
    for values in bad:
        with pytest.raises(ConfigurationError):
            recipe(**values)


def test_per_image_means_leave_out_the_unknown():
    values = torch.tensor([[[1.0, 5.0]], [[3.0, float("nan")]], [[7.0, 7.0]]])
    mask = torch.tensor([[[True, True]], [[True, False]], [[False, False]]])
    means = per_image(values, mask)
    assert means[:2].tolist() == [3.0, 3.0] and torch.isnan(means[2])


def test_balanced_replay_knows_the_domains(recipe, two_rooms):
    made = recipe(replay_every=5, replay_balance=True)
    assert made.replay().balance
    data = made.training_data(Place())
    rng = np.random.default_rng(0)
    domains = [int(data.sample(g, i, rng)["domain"]) for g in range(2) for i in range(8)]
    assert data.kinds().tolist() == domains and sorted(domains) == [0] * 8 + [1] * 8
