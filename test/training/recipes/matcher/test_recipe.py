"""The recipe through the engine: from shards to a checkpoint that is a matcher."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from relpose_ros.checkpoints.format import load_network
from relpose_ros.errors import CheckpointError, DatasetError
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
    settings = {"data": str(pairs), "out": out, "device": "cpu", "n_min_tokens": 8, "start_as_nearest": True}
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
