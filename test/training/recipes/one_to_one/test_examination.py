"""`relpose test one_to_one` on invented pairs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.cli.main import make_parser
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.evaluation.two_view_poses import pose_by_ransac
from relpose_ros.networks.registry import build_network
from relpose_training.commands import test as command
from relpose_training.data.shards import ShardSet
from relpose_training.recipes.one_to_one.dataset import stored_pair
from relpose_training.recipes.one_to_one.estimators import (
    ESTIMATORS,
    describe_estimator,
    different,
    make_estimator,
    plain_filters,
)
from relpose_training.recipes.one_to_one.examination import PairResult, Protocol, examine_pairs
from relpose_training.recipes.one_to_one.judgement import Judgement, pose_errors_deg
from relpose_training.recipes.one_to_one.subject import load_subject
from relpose_training.recipes.one_to_one.summary import group_results, summarise_group

TRAINED = ["hall", "stairs"]


@pytest.fixture
def checkpoint(tmp_path):
    """Make a checkpoint of a network with its first weights."""

    def make(name="one_to_one.ltfgc", config=None, **parameters):
        torch.manual_seed(0)
        network = build_network(name, **parameters)
        recipe = {"name": "one_to_one", "config": config} if config else {}
        info = CheckpointInfo(name, parameters, recipe=recipe)
        return write_checkpoint(tmp_path / f"{name}.safetensors", network.state_dict(), info)

    return make


def run(*words):
    args = make_parser({"test": command}).parse_args(["test", "one_to_one", *map(str, words)])
    return command.run(args)


def raw_pairs(shards, split="test"):
    found = ShardSet(shards, split)
    return [stored_pair(found.shard(k).sample(i)) for k, size in enumerate(found.sizes) for i in range(size)]


def truth_as_network(pair):
    """What a network that knows everything says of a pair."""
    logits = torch.where(torch.from_numpy(pair.distances) < 1e-4, 1.0, -1.0)
    return Judgement(logits[None], torch.from_numpy(pair.essential())[None])


def test_the_true_matrix_has_no_error_and_none_at_all_the_greatest(shards):
    for pair in raw_pairs(shards):
        judged = truth_as_network(pair)
        arguments = [torch.from_numpy(x)[None] for x in (pair.points, pair.rotation, pair.direction)]
        # float32 of the truth
        assert pose_errors_deg(judged, *arguments).max() < 0.1
        broken = Judgement(judged.logits, judged.essential * np.nan)
        assert (pose_errors_deg(broken, *arguments) == 180).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_find_the_pose_of_inliers(shards, name):
    estimate = make_estimator(name)
    for pair in raw_pairs(shards):
        right = pair.points[pair.distances < 1e-4].astype(float)
        pose = estimate(right)
        assert np.degrees(np.arccos(np.clip(pose.translation @ pair.direction, -1, 1))) < 5
        assert np.abs(pose.rotation - pair.rotation).max() < 0.05
        assert estimate(right[:3]) is None
    assert "0.002" in describe_estimator(name, 2e-3)


def test_an_unknown_estimator_is_refused():
    with pytest.raises(ConfigurationError, match="poselib, opencv, magsac"):
        make_estimator("gauss")


def test_plain_filters_are_what_they_are_called(shards):
    pair = raw_pairs(shards)[0]
    kept = plain_filters(pair, 0.7)
    assert kept["all"].all()
    assert (pair.ratios[kept["ratio"]] < 0.7).all()
    assert np.array_equal(kept["mutual, ratio"], kept["mutual"] & kept["ratio"])
    assert 0 < kept["mutual, ratio"].sum() < kept["mutual"].sum() < len(pair)


def test_repeated_correspondences_count_once():
    rows = np.array([[3.0, 0, 0, 0], [1, 0, 0, 0], [3, 0, 0, 0], [2, 0, 0, 0]])
    assert different(rows)[:, 0].tolist() == [3, 1, 2]
    assert different(rows[:0]).shape == (0, 4)


def test_pairs_are_sorted_into_trained_and_new_places(checkpoint, shards):
    subject = load_subject(checkpoint(blocks=1), "cpu")
    protocol = Protocol(estimators=("poselib",))
    results = list(examine_pairs(subject, ShardSet(shards, "test"), TRAINED, protocol))
    groups = group_results(results)
    assert {name: len(members) for name, members in groups.items()} == {
        "all": 6, "in-sample": 3, "out-of-sample": 3, "sequence attic": 3, "sequence hall": 3,
    }  # fmt: skip
    assert list(results[0].errors) == [
        "network", *(f"{x} + poselib" for x in ("network", "all", "mutual", "ratio", "mutual, ratio")),
    ]  # fmt: skip
    assert "in-sample" not in group_results([r for r in results if not r.trained])
    found = summarise_group(results)["methods"]["mutual + poselib"]
    assert found["accuracy_5"] > 0.6  # nine inliers of ten


def test_the_same_seed_gives_the_same_results(checkpoint, shards):
    subject = load_subject(checkpoint(blocks=1), "cpu")
    runs = [
        [r.errors for r in examine_pairs(subject, ShardSet(shards, "test"), [], Protocol(pairs=2))]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) == 2


def test_numbers_are_those_of_the_definitions():
    def result(rotation, translation):
        return PairResult("s", True, 8, 10, 16, 100, 0.01, {"network": (rotation, translation)})

    results = [result(1.0, 4.0), result(9.0, 2.0), result(180.0, 180.0), result(12.0, 1.0)]
    group = summarise_group(results)
    found = group["methods"]["network"]
    assert [found[f"accuracy_{t}"] for t in (5, 10, 20)] == [0.25, 0.5, 0.75]
    assert [found[f"oanet_map_{t}"] for t in (5, 10, 20)] == [0.25, 0.375, 0.5625]  # 1, 2, 3, 3 of 4
    assert found["auc_5"] == pytest.approx(0.25 * (0.5 * 4 + 1) / 5)
    assert (found["no_pose"], found["median_rotation_deg"]) == (1, 10.5)
    assert found["rotation"]["accuracy_10"] == 0.5
    assert found["translation"]["accuracy_5"] == 0.75
    assert group["labels"] == pytest.approx({"precision": 0.8, "recall": 0.5, "f1": 8 / 13, "inliers": 0.16})


CANDIDATES = {"channels": [8, 12, 16, 16, 24]}


def test_a_checkpoint_is_asked_as_it_was_trained(checkpoint):
    trained = {"model": "cnn_disparity", "correspondences": 16, "candidates": 4, "label_threshold": 1e-3}
    subject = load_subject(checkpoint("one_to_one.cnn_0", trained, **CANDIDATES), "cpu")
    assert (subject.size, subject.order, subject.candidates) == (16, "disparity", 4)
    assert (subject.width, subject.label_threshold) == (6, 1e-3)


def test_imported_weights_are_asked_as_published(checkpoint):
    subject = load_subject(checkpoint("one_to_one.eot_21", **CANDIDATES), "cpu")
    assert (subject.size, subject.order, subject.layout) == (16, "given", "one_to_one")
    subject = load_subject(checkpoint("one_to_one.ltfgc_w4", blocks=1), "cpu")
    assert (subject.size, subject.order, subject.width) == (2048, "permuted", 4)


def test_a_network_of_another_kind_is_refused(checkpoint):
    with pytest.raises(ConfigurationError, match="no network of the recipe"):
        load_subject(checkpoint("scene_coordinates.dsacstar_tiny"), "cpu")


def test_the_command_leaves_tables_json_and_plots(checkpoint, shards, tmp_path, capsys):
    path = checkpoint("one_to_one.oanet_iter_w4", blocks=1, clusters=8)
    words = ("--checkpoint", path, "--data", shards, "--out", tmp_path / "report", "--split", "val", "test")
    assert run(*words, "--pairs", 2, "--estimator", "poselib", "--device", "cpu") == 0
    printed = capsys.readouterr().out
    assert "network + poselib" in printed
    assert "all: 4 pairs" in printed
    content = json.loads((tmp_path / "report/results.json").read_text())
    assert content["checkpoint"]["network"] == "one_to_one.oanet_iter_w4"
    assert "threshold 0.001" in content["estimators"]["poselib"]
    assert content["groups"]["all"]["pairs"] == len(content["pairs"]) == 4
    assert "sequence attic" in (tmp_path / "report/table.txt").read_text()
    for name in ("errors.png", "sequences.png"):
        assert (tmp_path / "report" / name).read_bytes().startswith(b"\x89PNG")


def test_a_split_that_is_not_there_is_named(checkpoint, shards, tmp_path):
    words = ("--checkpoint", checkpoint(blocks=1), "--data", shards, "--out", tmp_path)
    with pytest.raises(DatasetError, match=r"nights\.json"):
        run(*words, "--split", "nights")


def test_the_opencv_estimator_is_the_protocol_of_oanet(shards):
    for pair in raw_pairs(shards):
        logits = np.where(pair.distances < 1e-4, 1.0, -1.0)
        published = pose_by_ransac(pair.points, logits)
        ours = make_estimator("opencv")(different(pair.points[logits >= 0].astype(float)))
        assert np.array_equal(published.rotation, ours.rotation)
        assert np.array_equal(published.translation, ours.translation)
