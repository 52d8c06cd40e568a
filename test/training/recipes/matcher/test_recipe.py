"""The recipe through the engine: from shards to a checkpoint that is a matcher."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest

from relpose_ros.checkpoints.format import load_network
from relpose_ros.errors import CheckpointError, ConfigurationError, DatasetError
from relpose_training.data.correspondence_set import Target, prepare_correspondences
from relpose_training.data.matching_options import MatchingOptions
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train
from relpose_training.recipes.matcher.config import MatcherConfig
from relpose_training.recipes.matcher.recipe import MatcherRecipe


@dataclass(frozen=True)
class Walls:
    wall: object
    name: str

    def images(self):
        return self.wall(5)


@pytest.fixture(scope="module")
def pairs(wall, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    options = MatchingOptions(max_keypoints=120, pairs=6, least_keypoints=40, most_overlap=1.0)
    sources = [Walls(wall, "one"), Walls(wall, "two")]
    prepare_correspondences(sources, {"train": 0.5, "val": 0.5}, Target(folder, 1), options)
    return folder


def recipe(pairs, out, **values) -> MatcherRecipe:
    small = {"iterations": 5, "keypoints": 64, "min_inliers": 8, "max_inliers": 40, "batch_size": 2}
    run = {"steps": 4, "validate_every": 4, "save_every": 2, "log_every": 2, "model": "adagmn"}
    settings = {"out": out, "device": "cpu", "n_min_tokens": 8, "start_as_nearest": True}
    settings |= {"data": pairs and str(pairs)}
    return MatcherRecipe(MatcherConfig(**{**small, **run, **settings, **values}))


def test_a_checkpoint_is_a_matcher_that_knows_its_data(pairs, tmp_path):
    assert train(recipe(pairs, tmp_path / "run"), TorchDevice("cpu", Place())) == 0
    network, info = load_network(tmp_path / "run/last.safetensors")
    assert info.network == "imp.adagmn"
    assert network.descriptor_size == 64
    assert network.iterations == 5
    assert "rootsift64" in info.data
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    found = next(line for line in lines if line["split"] == "validation")
    assert {"precision", "recall", "f_score", "matching"} <= set(found)
    assert 0 < found["f_score"] <= 1, "nearest neighbours are a start on clean images"


def test_a_second_training_begins_with_the_weights_of_the_first(pairs, tmp_path):
    train(recipe(pairs, tmp_path / "run"), TorchDevice("cpu", Place()))
    second = recipe(
        pairs, tmp_path / "again", start_from=tmp_path / "run/last.safetensors", start_as_nearest=False
    )
    module = second.module()
    second.start(module)
    network, _ = load_network(tmp_path / "run/last.safetensors")
    for name, value in network.state_dict().items():
        assert (module.network.state_dict()[name] == value).all(), name
    smaller = recipe(
        pairs,
        tmp_path / "x",
        start_from=tmp_path / "run/last.safetensors",
        start_as_nearest=False,
        iterations=3,
    )
    with pytest.raises(CheckpointError, match="do not fit"):
        smaller.start(smaller.module())


def test_shards_of_something_else_are_refused(tmp_path, pairs):
    (tmp_path / "train.json").write_text(
        (pairs / "train.json").read_text().replace("descriptor_size", "other")
    )
    with pytest.raises(DatasetError, match="expected shards of matching pairs"):
        recipe(tmp_path, tmp_path / "run").module()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for k in range(5):
        blocks = np.random.default_rng(k).integers(0, 255, (14, 18)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{k}.png"), blocks.repeat(8, 0).repeat(8, 1))
    return folder


def test_plain_images_are_enough_to_train(photos, tmp_path):
    made = recipe(None, tmp_path / "run", data=None, images=(str(photos),), max_keypoints=100, steps=2)
    assert train(made, TorchDevice("cpu", Place())) == 0
    network, info = load_network(tmp_path / "run/last.safetensors")
    assert network.descriptor_size == 64
    assert f"warped images of {photos}" in info.data and "rootsift64" in info.data


def test_images_held_out_are_not_trained_on_and_every_process_has_its_own(photos, tmp_path):
    made = recipe(None, tmp_path, data=None, images=(str(photos),), holdout=0.4)

    def names(dataset):
        return [image.name for group in dataset.groups for image in group]

    assert names(made.training_data(Place())) == ["0.png", "1.png", "2.png"]
    assert names(made.validation_data(Place())) == ["3.png", "4.png"]
    both = [names(made.training_data(replace(Place(), rank=rank, world=2))) for rank in (0, 1)]
    assert both == [["0.png", "2.png"], ["1.png"]]


def test_images_can_be_validated_on_stored_pairs_of_the_same_features(photos, pairs, tmp_path):
    made = recipe(pairs, tmp_path, images=(str(photos),))
    assert made.training_data(Place()).group_sizes() == [5], "none is held out"
    assert made.validation_data(Place()).shards.url == str(pairs)
    with pytest.raises(DatasetError, match=r"expected pairs of rootsift128.*got rootsift64"):
        recipe(pairs, tmp_path, images=(str(photos),), features="rootsift128").validation_data(Place())


def test_something_to_train_on_is_needed(tmp_path, photos):
    with pytest.raises(ConfigurationError, match=r"expected data.*or images"):
        recipe(None, tmp_path, data=None)
    with pytest.raises(ConfigurationError, match="expected holdout between 0 and 1"):
        recipe(None, tmp_path, data=None, images=(str(photos),), holdout=0)
    one = tmp_path / "one"
    one.mkdir()
    (one / "0.png").write_bytes((photos / "0.png").read_bytes())
    with pytest.raises(DatasetError, match="for training and for validation, found too few"):
        recipe(None, tmp_path, data=None, images=(str(one),)).validation_data(Place())
