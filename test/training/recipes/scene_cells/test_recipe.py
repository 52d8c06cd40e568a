"""The small network of a scene: it learns a room, what it says of itself is right, and runs go on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scene_fixture import room_images, write_room

from relpose_ros.checkpoints.format import load_network
from relpose_ros.checkpoints.scene import ScenePredictor
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train
from relpose_training.recipes.scene_cells.config import SceneCellsConfig
from relpose_training.recipes.scene_cells.fitting import fit_scene
from relpose_training.recipes.scene_cells.recipe import SceneCellsRecipe

SETTINGS = {
    "height": 96,
    "steps": 60,
    "anchors": 32,
    "width": 48,
    "blocks": 1,
    "components": 48,
    "copies": 1,
    "stored_cells": 150,
    "step_cells": 100,
    "warmup_steps": 5,
    "learning_rate": 5e-3,
    "batch_size": 4,
    "save_every": 1000,
    "validate_every": 1000,
    "log_every": 10,
    "threshold": 5.0,
    "draws": 256,
    "hypotheses": 8,
    "device": "cpu",
}
"""Of a run that takes some seconds."""


def recipe(folder, data, **values):
    return SceneCellsRecipe(SceneCellsConfig(out=folder, data=str(data), **{**SETTINGS, **values}))


def run(made):
    return train(made, TorchDevice("cpu", Place()))


@pytest.fixture(scope="module")
def trained(room_set, tmp_path_factory):
    """A run of some hundred steps in the room."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        made = recipe(tmp_path_factory.mktemp("run") / "run", room_set, steps=300)
        assert run(made) == 0
    return made.config.out / "best.safetensors"


def test_it_learns_the_room_much_better_than_its_mean(trained, room_set):
    views = SceneCellsRecipe(SceneCellsConfig(out=trained.parent, data=str(room_set), **SETTINGS))
    network, info = load_network(trained)
    errors, truths = [], []
    for item in range(4):
        sample = views.validation_data(Place()).sample(0, item, np.random.default_rng(0))
        known = sample["known"]
        with torch.no_grad():
            said = network(torch.from_numpy(sample["image"])[None])[0][0].numpy()
        truths.append(sample["coordinates"][:, known])
        errors.append(np.linalg.norm(said[:3, known] - truths[-1], axis=0))
    truth = np.concatenate(truths, axis=1)
    guess = np.linalg.norm(truth - truth.mean(axis=1, keepdims=True), axis=0)
    assert np.median(np.concatenate(errors)) < 0.25 * np.median(guess)
    assert info.metrics["validation/failures"] < 1


def test_cells_that_are_surer_are_nearer(trained, room_set):
    views = SceneCellsRecipe(SceneCellsConfig(out=trained.parent, data=str(room_set), **SETTINGS))
    network, _ = load_network(trained)
    errors, deviations = [], []
    for item in range(4):
        sample = views.validation_data(Place()).sample(0, item, np.random.default_rng(0))
        with torch.no_grad():
            said = network(torch.from_numpy(sample["image"])[None])[0][0].numpy()
        known = sample["known"]
        errors.append(np.linalg.norm(said[:3] - sample["coordinates"], axis=0)[known])
        deviations.append(said[3][known])
    error, deviation = np.concatenate(errors), np.concatenate(deviations)
    sure = deviation <= np.median(deviation)
    assert np.median(error[sure]) < 0.6 * np.median(error[~sure])


def test_the_checkpoint_says_where_its_coordinates_lie(trained):
    predictor = ScenePredictor(trained, backend="torch")
    image = room_images(3, seed=7)[1]
    cells = predictor.predict(image.load(), image.camera)
    # The room lies a kilometre from zero: the origin has to be added again.
    assert np.median(np.abs(cells.points - [1000, -500, 20]).max(axis=1)) < 4
    assert cells.covariances is not None
    assert predictor.scene.channels == 1
    assert predictor.scene.mean == (0.0,)
    assert predictor.scene.spread == (1.0,)


def test_descriptors_are_computed_once_and_again_for_other_images(room_set, tmp_path, cache):
    first = recipe(tmp_path / "a", room_set).training_data(Place())
    made = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    again = recipe(tmp_path / "b", room_set, anchors=16).training_data(Place())
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")} == made
    assert again.folder == first.folder
    assert first.group_sizes() == [96]  # 48 images, and a copy of each
    other = recipe(tmp_path / "b", room_set, copies=0).training_data(Place())
    assert other.folder != first.folder
    assert other.group_sizes() == [48]


def test_samples_are_of_one_shape_and_follow_from_the_generator(room_set, tmp_path):
    cells = recipe(tmp_path / "a", room_set).training_data(Place())
    one, same, other = (cells.sample(0, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one["descriptors"].shape == (100, 320)
    assert one["descriptors"].dtype == np.uint8
    assert np.array_equal(one["coordinates"], same["coordinates"])
    assert not np.array_equal(one["coordinates"], other["coordinates"])


def test_anchors_and_components_are_fitted_to_the_scene(room_set, tmp_path):
    cells = recipe(tmp_path / "a", room_set).training_data(Place())
    fitted = fit_scene(cells, 20, 32, seed=0)
    points = cells.coordinates.reshape(-1, 3)
    nearest = np.linalg.norm(points[:, None] - fitted.anchors, axis=2).min(axis=1)
    assert np.median(nearest) == pytest.approx(fitted.unit, rel=0.1)
    described = (cells.descriptors.reshape(-1, 320) / 255 - fitted.mean) @ fitted.projection.T
    spread = described.std(axis=0)
    assert (spread > 0.5).all()
    assert (spread < 1.1).all()  # whitened, the weak ones left a little smaller
    assert np.array_equal(fit_scene(cells, 20, 32, seed=0).anchors, fitted.anchors)


def test_an_interrupted_run_ends_with_the_same_weights(room_set, tmp_path):
    assert run(recipe(tmp_path / "whole", room_set, steps=12, schedule="constant")) == 0
    assert run(recipe(tmp_path / "parts", room_set, steps=5, schedule="constant")) == 0
    assert run(recipe(tmp_path / "parts", room_set, steps=12, schedule="constant")) == 0
    whole, parts = (
        load_network(tmp_path / n / "last.safetensors")[0].state_dict() for n in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_set_without_coordinates_is_refused_in_words(tmp_path):
    data = write_room(tmp_path / "blind", train=3, val=2, labels="none")
    with pytest.raises(DatasetError, match="no image has 16 cells with a known coordinate"):
        run(recipe(tmp_path / "run", data))


def test_more_anchors_than_points_and_more_cells_than_stored_are_refused(room_set, tmp_path):
    with pytest.raises(ConfigurationError, match="step_cells up to stored_cells"):
        recipe(tmp_path / "run", room_set, step_cells=151)
    with pytest.raises(ConfigurationError, match="fewer anchors than points"):
        run(recipe(tmp_path / "run", room_set, anchors=100_000))
