"""A regressor learns its views by heart, goes on where it stopped, and says what it is not for."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scene_fixture import CENTRE, room_images

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import load_network, read_info
from relpose_ros.checkpoints.scene import SceneInfo, ScenePredictor
from relpose_ros.cli.parser import CommandParser
from relpose_ros.errors import CheckpointError, ConfigurationError, DatasetError
from relpose_ros.geometry.pose_vectors import PoseVectors
from relpose_ros.networks.relpose_gnn.resnet34 import ResNet34
from relpose_training.data.stream import batches
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train
from relpose_training.recipes.atloc import command
from relpose_training.recipes.atloc.config import AtLocConfig
from relpose_training.recipes.atloc.examination import examine, load_subject
from relpose_training.recipes.atloc.recipe import AtLocRecipe
from relpose_training.recipes.scene_coordinates.sources import open_tested

HEART = {
    "dropout": 0.0, "augment": False, "batch_size": 8, "steps": 80, "schedule": "cosine",
    "learning_rate": 2e-3, "gamma": -1.0, "validate_every": 80, "log_every": 10,
}  # fmt: skip


def run(recipe):
    assert train(recipe, TorchDevice("cpu", Place())) == 0
    return recipe.config.out


def images_of(split_seed, count, **changes):
    return room_images(count, split_seed, **changes)


@pytest.fixture(scope="module")
def learnt(room_set, tmp_path_factory):
    """A run that saw its eight views 80 times."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relpose_training.engine.loop.plot_curves", lambda _: None)
        out = tmp_path_factory.mktemp("learnt")
        config = AtLocConfig(out=out, data=str(room_set), height=32, crop=(32, 40), **HEART)
        return run(AtLocRecipe(config))


def test_eight_views_are_learnt_by_heart(learnt):
    lines = [json.loads(line) for line in (learnt / "metrics.jsonl").read_text().splitlines()]
    first, *_, last = (line for line in lines if line["split"] == "train")
    assert last["loss"] < first["loss"] - 0.5
    assert last["translation"] < first["translation"] / 4
    results = examine(load_subject(learnt / "last.safetensors"), images_of(0, 8))
    assert np.median([r.translation for r in results]) < 0.12  # the cameras are spread over 1.2 m
    assert np.median([r.rotation_deg for r in results]) < 15  # and look all around


def test_it_says_where_in_the_map_and_that_it_is_no_robots(learnt):
    info = read_info(learnt / "last.safetensors")
    scene = SceneInfo.of(info)
    assert np.abs(np.array(scene.origin) - CENTRE).max() < 1.5
    assert (scene.height, scene.channels, scene.metric) == (32, 3, True)
    assert "not for a robot" in info.data
    subject = load_subject(learnt / "last.safetensors")
    assert np.abs(subject.locate(images_of(0, 8)[0])[0].translation - CENTRE).max() < 2


def test_a_robot_cannot_take_it_for_scene_coordinates(learnt):
    image = images_of(0, 1)[0]
    with pytest.raises(CheckpointError, match="expected"):
        ScenePredictor(learnt / "last.safetensors", "torch").predict(image.load(), image.camera)


def test_a_run_that_was_interrupted_ends_with_the_same_weights(recipe, tmp_path):
    whole = run(recipe(out=tmp_path / "whole", steps=4))
    run(recipe(out=tmp_path / "parts", steps=2))
    parts = run(recipe(out=tmp_path / "parts", steps=4))
    first, second = (read_container(out / "last.safetensors") for out in (whole, parts))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_is_the_published_one(recipe):
    chosen = recipe(beta=0.5, gamma=-2.0, dropout=0.0, augment=False)
    torch.manual_seed(0)
    module = chosen.module().eval()
    batch = next(iter(batches(chosen.training_data(Place()), 4, seed=0)))
    values = {name: float(value.detach()) for name, value in module(batch, 0).items()}
    with torch.no_grad():
        translation, log = module.network(batch["image"])
    far = ((translation - batch["vector"][:, :3]) / module.network.unit_deviation).abs().mean()
    turned = (log - batch["vector"][:, 3:]).abs().mean()
    expected = np.exp(-0.5) * float(far) + 0.5 + np.exp(2.0) * float(turned) - 2.0
    assert values["loss"] == pytest.approx(expected, rel=1e-5)
    assert (values["beta"], values["gamma"]) == (0.5, -2.0)


def test_a_turned_image_has_a_turned_pose(recipe):
    """The camera's centre and axis stay; its pose turns by the angle by which the image did."""
    data = recipe(turn_deg=90.0, brightness=0.0, tint=0.0).training_data(Place())
    plain = recipe(augment=False).training_data(Place())
    for item in range(4):
        turned = PoseVectors().read(data.sample(0, item, np.random.default_rng(item))["vector"])
        still = PoseVectors().read(plain.sample(0, item, np.random.default_rng(0))["vector"])
        assert np.allclose(turned.translation, still.translation, atol=1e-5)
        assert np.allclose(turned.rotation[:, 2], still.rotation[:, 2], atol=1e-5)
    assert np.degrees(turned.distance_to(still)[1]) > 1


def test_validation_is_not_changed_at_random(recipe):
    data = recipe().validation_data(Place())
    a, b = (data.sample(0, 1, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.array_equal(a["image"], b["image"]) and a["image"].shape == (3, 32, 40)


def test_torchvisions_backbone_is_loaded(recipe, tmp_path):
    torch.manual_seed(3)
    published = {name: value for name, value in ResNet34(1000).state_dict().items() if "tracked" not in name}
    torch.save(published, tmp_path / "resnet34.pth")
    chosen = recipe(network="atloc", backbone=tmp_path / "resnet34.pth")
    module = chosen.module()
    chosen.start(module)
    loaded = module.network.feature_extractor.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in published.items() if "fc." not in name)
    assert loaded["fc.weight"].shape == (2048, 512)


def test_another_backbone_is_refused(recipe, tmp_path):
    torch.save({"layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3)}, tmp_path / "other.pth")
    chosen = recipe(network="atloc", backbone=tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"ResNet-34: \d+ missing"):
        chosen.start(chosen.module())
    with pytest.raises(ConfigurationError, match="network=atloc"):
        recipe(network="atloc_small", backbone=tmp_path / "other.pth")


def test_a_run_starts_from_anothers_weights(recipe, learnt):
    chosen = recipe(start_from=learnt / "last.safetensors")
    module = chosen.module()
    chosen.start(module)
    network, _ = load_network(learnt / "last.safetensors")
    assert torch.equal(module.network.fc_xyz.weight, network.fc_xyz.weight)


def test_the_test_command_prints_the_columns_and_leaves_files(learnt, room_set, tmp_path, capsys):
    parser = CommandParser()
    command.add_arguments(parser)
    words = [str(learnt / "last.safetensors"), str(room_set), "--split", "val", "--out", str(tmp_path / "r")]
    assert command.run(parser.parse_args(words)) == 0
    said = capsys.readouterr().out
    assert "5 cm, 5°" in said and "1 cm, 1°" in said and "(val)" in said
    results = json.loads((tmp_path / "r" / "results.json").read_text())
    assert results["queries"] == 4 and len(results["images"]) == 4
    told = [image["translation"] for image in results["images"]]
    assert results["median_translation_m"] == pytest.approx(np.median(told))


def test_the_command_agrees_with_validation(learnt, room_set):
    """The same images, cropped and normalised by the trainer and by the test."""
    source = open_tested(room_set, "val")
    results = examine(load_subject(learnt / "last.safetensors"), source.queries)
    validated = read_info(learnt / "last.safetensors").metrics
    for key, found in (("translation_m", "translation"), ("rotation_deg", "rotation_deg")):
        median = np.median([getattr(result, found) for result in results])
        assert median == pytest.approx(validated[f"validation/median_{key}"], rel=1e-3)


def test_an_image_without_a_pose_is_refused(learnt):
    image = replace(images_of(0, 1)[0], map_from_camera=None)
    with pytest.raises(DatasetError, match="without"):
        examine(load_subject(learnt / "last.safetensors"), [image])


@pytest.mark.parametrize("values", [{"crop": (30, 40)}, {"dropout": 1.0}, {"brightness": 1.0}])
def test_settings_that_cannot_be_are_refused(recipe, values):
    with pytest.raises((ConfigurationError, ValueError)):
        recipe(**values)


def test_grey_images_are_taken_too(learnt):
    """As a camera without colour gives them."""
    image = images_of(0, 1)[0]
    grey = replace(image, load=lambda: cv2.cvtColor(image.load(), cv2.COLOR_BGR2GRAY))
    assert np.isfinite(load_subject(learnt / "last.safetensors").locate(grey)[0].translation).all()
