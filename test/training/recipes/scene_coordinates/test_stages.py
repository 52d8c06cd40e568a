"""The three stages on one small room: each improves what it is for; a checkpoint says what it is of."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import load_network, read_info
from relpose_ros.checkpoints.scene import SceneInfo
from relpose_ros.errors import CheckpointError
from relpose_training.data.stream import batches
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train
from relpose_training.engine.optimizers import make_optimizer
from relpose_training.recipes.scene_coordinates.scoring import likelihood

CPU = TorchDevice("cpu", Place())


def coordinate_error(module, batch):
    """Median distance to the known coordinates."""
    with torch.no_grad():
        coordinates, _ = module.maps(batch["image"])
    return float((coordinates - batch["coordinates"]).norm(dim=1)[batch["known"]].median())


def trained(recipe, **values):
    """A module with the weights of a run."""
    module = recipe(**values).module()
    module.network.load_state_dict(load_network(values["start_from"])[0].state_dict())
    return module.eval()


def steps(recipe, count, rate):
    """So many steps of a new run, always on the same batch; the losses before each."""
    torch.manual_seed(0)
    module = recipe.module()
    recipe.start(module)
    optimizer = make_optimizer(recipe.config, module.parameters())
    for group in optimizer.param_groups:
        group["lr"] = rate
    batch = next(iter(batches(recipe.training_data(Place()), recipe.config.batch_size, seed=3)))
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = module(batch, 0)["loss"]
        losses.append(float(loss.detach()))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), recipe.config.clip_norm)
        optimizer.step()
    return module, losses


def test_a_few_dozen_steps_are_worth_more_than_the_mean(recipe, batch, learned):
    chosen = recipe(start_from=learned / "last.safetensors")
    seen = batch(chosen)
    middle = seen["coordinates"].movedim(1, -1)[seen["known"]].mean(dim=0)
    guess = float((seen["coordinates"].movedim(1, -1)[seen["known"]] - middle).norm(dim=1).median())
    module = trained(recipe, start_from=learned / "last.safetensors")
    assert coordinate_error(module, seen) < 0.35 * guess


def test_the_journal_has_poses_and_cells(learned):
    lines = [json.loads(line) for line in (learned / "metrics.jsonl").read_text().splitlines()]
    last = next(line for line in reversed(lines) if line["split"] == "validation")
    assert {
        "median_translation_m",
        "within_5cm_5deg",
        "failures",
        "within_10px",
        "median_coordinate_m",
    } <= set(last)
    assert "nll" not in last and 0 < last["within_10px"] <= 1  # it says nothing of its errors
    assert 0 <= min(line["valid"] for line in lines if line["split"] == "train") <= 1


def test_the_checkpoint_knows_its_scene(learned, room_set):
    info = read_info(learned / "best.safetensors")
    scene = SceneInfo.of(info)
    meta = json.loads((room_set / "train.json").read_text())["meta"]
    assert scene.origin == tuple(meta["origin"]) and max(np.abs(scene.origin)) > 900
    assert (scene.height, scene.channels, scene.mean, scene.spread) == (48, 1, (0.4,), (0.25,))
    assert len(scene.views) == 8 and np.abs(np.asarray(scene.bounds)).max() < 10
    assert info.network == "scene_coordinates.dsacstar_tiny" and "room" in info.data


def test_end_to_end_steps_lower_the_expected_error_and_repeat_to_the_bit(recipe, learned):
    chosen = recipe(
        stage="end_to_end", start_from=learned / "last.safetensors", batch_size=2, optimizer="adam"
    )
    first, losses = steps(chosen, 8, 3e-5)
    again, same = steps(chosen, 8, 3e-5)
    assert losses[-1] < 0.8 * losses[0] and np.isfinite(losses).all()
    assert losses == same
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_every_step_draws_other_hypotheses(recipe, batch, learned):
    chosen = recipe(stage="end_to_end", start_from=learned / "last.safetensors", batch_size=2)
    module, seen = trained(recipe, start_from=learned / "last.safetensors"), batch(chosen)
    module.config = chosen.config
    values = [float(module(seen, step)["expected"].detach()) for step in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("uncertainty", ["isotropic", "anisotropic"])
def test_the_last_stage_begins_with_the_error_of_the_first_and_learns_where_it_errs(
    recipe, batch, learned, uncertainty
):
    chosen = recipe(
        stage="uncertainty", uncertainty=uncertainty, loss="kfnet", start_from=learned / "last.safetensors"
    )
    seen = batch(chosen)
    begun = chosen.module().eval()
    chosen.start(begun)
    before = trained(recipe, start_from=learned / "last.safetensors")
    with torch.no_grad():
        coordinates, deviation = begun.maps(seen["image"])
        torch.testing.assert_close(coordinates, before.maps(seen["image"])[0])
    error = coordinate_error(before, seen)
    diagonal = deviation[:, [0] if uncertainty == "isotropic" else [0, 2, 5]]
    assert diagonal.std() < 1e-6 and 0.4 < float(diagonal.mean()) * 3**0.5 / error < 2.5
    module, losses = steps(chosen, 12, 3e-4)
    assert losses[-1] < losses[0] - 0.3
    with torch.no_grad():
        coordinates, deviation = module.eval().maps(seen["image"])
    nll = likelihood(coordinates - seen["coordinates"], deviation)[seen["known"]].mean()
    assert nll < losses[0] - 0.3 and deviation.std() > 0


def test_a_run_that_was_stopped_ends_with_the_same_weights(recipe, learned, tmp_path, monkeypatch):
    monkeypatch.setattr("relpose_training.engine.loop.plot_curves", lambda _: None)
    values = {"stage": "end_to_end", "start_from": learned / "last.safetensors", "batch_size": 2}
    values |= {"learning_rate": 1e-4, "save_every": 2, "validate_every": 4, "augment_light": 0.1}
    assert train(recipe(**values, out=tmp_path / "whole", steps=4), CPU) == 0
    assert train(recipe(**values, out=tmp_path / "parts", steps=2), CPU) == 0
    assert train(recipe(**values, out=tmp_path / "parts", steps=4), CPU) == 0
    whole, parts = (read_container(tmp_path / name / "last.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_weights_of_another_network_are_refused(recipe, learned):
    other = recipe(network="coord_tiny", loss="crossloc", start_from=learned / "last.safetensors")
    with pytest.raises(CheckpointError, match="expected weights of a TransPoseNet"):
        other.start(other.module())
    larger = recipe(network="dsacstar", start_from=learned / "last.safetensors")
    with pytest.raises(CheckpointError, match="do not fit"):
        larger.start(larger.module())
