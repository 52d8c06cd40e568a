"""Graphs drawn from rankings: anew in each epoch, from the seed alone."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from graph_fixture import INPUT, flat_scene

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.relative_vectors import InSourceFrame, VectorDifference
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.graph_borders import narrowed
from relpose_training.data.graph_dataset import GraphScenes, drawn, ranked_needed, read_graphs
from relpose_training.data.graph_index import write_index
from relpose_training.data.graph_parts import GraphSetOptions
from relpose_training.data.graphs import GraphOptions
from relpose_training.data.stream import batches

OPTIONS = GraphOptions(neighbours=3, period=2, halving=True, shuffle=True)


@pytest.fixture
def folder(tmp_path):
    drawn_once = GraphSetOptions(INPUT, drawn=GraphOptions(3, 2))
    scenes = {"one": flat_scene(tmp_path / "train" / "one.h5", 30, options=drawn_once),
              "two": flat_scene(tmp_path / "train" / "two.h5", 25, 7, drawn_once)}  # fmt: skip
    entries = [{"name": n, "file": f"train/{n}.h5", **s.counts, "metric": True} for n, s in scenes.items()]
    write_index(tmp_path, "train", entries, INPUT, "VLAD", "made", {})
    return tmp_path


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_sample_is_the_query_then_its_references(folder):
    data = GraphScenes(read_graphs(folder, "train"), GraphOptions(3, 2, halving=False))
    assert data.group_sizes() == [30, 7]
    sample = data.sample(1, 4, rng())
    scene = data.split.scenes[1]
    nodes = [29, *scene.ranked[4, [0, 2, 4]].tolist()]
    assert sample["query"] == 29 and sample["scene"] == 1 and sample["mask"].tolist() == [True] * 4
    assert sample["map_from_node"][:, 0].tolist() == nodes, "poses are in a row"
    grey = (np.array(nodes) / 255 - INPUT.mean[0]) / INPUT.deviation[0]
    np.testing.assert_allclose(sample["images"][:, 0, 3, 3], grey, atol=1e-6)
    assert {k: (v.shape, v.dtype.name) for k, v in sample.items()} == {
        "images": ((4, 3, 12, 16), "float32"), "map_from_node": ((4, 7), "float64"),
        "pairs": ((4, 4, 6), "float32"), "mask": ((4,), "bool"), "scene": ((), "int64"),
        "query": ((), "int64"),
    }  # fmt: skip


@pytest.mark.parametrize("way", [InSourceFrame(), VectorDifference()])
def test_targets_lead_from_source_to_target(folder, way):
    sample = GraphScenes(read_graphs(folder, "train"), OPTIONS, way, training=True).sample(0, 3, rng())
    poses = Rigid.from_quaternion(sample["map_from_node"][:, 3:], sample["map_from_node"][:, :3])
    found = way.read_target(poses[2], sample["pairs"][2, 0])
    np.testing.assert_allclose(found.matrix, poses[0].matrix, atol=1e-5)


def test_training_draws_anew_and_testing_does_not(folder):
    split = read_graphs(folder, "train")
    training, testing = (GraphScenes(split, OPTIONS, training=t) for t in (True, False))
    drawn_ = {tuple(training.sample(0, 5, rng(k))["map_from_node"][:, 0]) for k in range(30)}
    assert len(drawn_) > 20 and all(row[0] == 5 and 5 not in row[1:] for row in drawn_)
    once = [testing.sample(0, 5, rng(k))["map_from_node"] for k in range(3)]
    assert (once[0] == once[1]).all() and (once[0] == once[2]).all()


def test_epochs_differ_and_repeat_whatever_the_workers(folder):
    data = GraphScenes(read_graphs(folder, "train"), OPTIONS, training=True, light=True)

    def first(workers, start=0):
        stream = iter(batches(data, 5, seed=3, workers=workers, start=start))
        return [next(stream) for _ in range(3)]

    plain, parallel = first(0), first(1)
    for one, other in zip(plain, parallel, strict=True):
        assert all((one[name] == other[name]).all() for name in one)
    assert (first(0, start=2)[0]["images"] == plain[2]["images"]).all()


def test_light_changes_images_alone(folder):
    split = read_graphs(folder, "train")
    plain, lit = (
        GraphScenes(split, OPTIONS, training=True, light=on).sample(0, 1, rng()) for on in (False, True)
    )
    assert (plain["images"] != lit["images"]).any()
    testing = GraphScenes(split, OPTIONS, light=True, narrow=True)
    assert not testing.light and not testing.narrow, "never in a test"
    narrow = GraphScenes(split, OPTIONS, training=True, narrow=True)
    images = [narrow.sample(0, 1, rng(k))["images"] for k in range(8)]
    assert any((image[:, 0, 0] == image[0, 0, 0, 0]).all() for image in images)


def test_narrower_cameras_leave_borders_in_all_images_alike():
    full = np.full((4, 60, 80, 3), 200, np.uint8)
    seen = [narrowed(full, rng(k)) for k in range(200)]
    assert 70 < sum(bool((image == full).all()) for image in seen) < 130
    for images in seen:
        assert (images == images[:1]).all() and images[0, 30, 40, 0] == 200
        rows, columns = (images[0, :, :, 0].any(axis) for axis in (1, 0))
        assert (np.diff(rows.astype(int)) != 0).sum() <= 2, "one rectangle"
        assert rows.mean() > 0.5 and columns.mean() > 0.5
        assert (images[0, rows][:, columns] == 200).all()


def test_fixed_neighbours_are_those_of_the_file(folder):
    split = read_graphs(folder, "train")
    data = GraphScenes(split, GraphOptions(3, 5, shuffle=True), fixed=True)
    assert data.nodes(split.scenes[0], 4).tolist() == [4, *split.scenes[0].neighbours[4].tolist()]
    with pytest.raises(DatasetError, match="expected 4 references drawn"):
        GraphScenes(split, GraphOptions(4), fixed=True)


def test_processes_share_the_queries(folder):
    split = read_graphs(folder, "train")
    parts = [GraphScenes(split, OPTIONS, rank=k, world=3) for k in range(3)]
    seen = [int(p.sample(g, i, rng())["query"]) + 100 * g for p in parts
            for g, size in enumerate(p.group_sizes()) for i in range(size)]  # fmt: skip
    assert sorted(seen) == [*range(30), *range(125, 132)]


def test_scenes_are_chosen_by_name(folder):
    split = read_graphs(folder, "train")
    assert split.chosen(only=["two"]).names == split.chosen(leave_out=["one"]).names == ("two",)
    assert split.chosen(only=["two"]).about["scenes"][0]["name"] == "two" and split.metric
    for wrong in ({"only": ["three"]}, {"leave_out": ["one", "two"]}):
        with pytest.raises(ConfigurationError, match="it has one, two"):
            split.chosen(**wrong)


@pytest.mark.parametrize("training", [True, False])
def test_scenes_with_too_few_references_are_refused(folder, training):
    with pytest.raises(DatasetError, match=r"train\.json, (one|two): expected \d+ references ranked"):
        GraphScenes(read_graphs(folder, "train"), GraphOptions(7, 5), training=training)


def test_scenes_of_two_sizes_are_refused(folder):
    from dataclasses import replace

    split = read_graphs(folder, "train")
    vars(split.scenes[1])["pixels"] = np.zeros((32, 10, 10, 3), np.uint8)
    with pytest.raises(DatasetError, match="images of 2 sizes"):
        GraphScenes(replace(split), OPTIONS)


def test_halving_keeps_the_order_and_starts_anywhere():
    rows = np.stack([drawn(40, OPTIONS, rng(k)) for k in range(300)])
    assert (np.diff(rows, axis=1) >= 2).all() and rows.min() == 0 and rows.max() < 40
    assert 0.2 < (rows[:, 0] == 0).mean() < 0.3, (
        "the best: kept by a half, where it starts at 0: another half"
    )
    assert drawn(40, GraphOptions(3, 2, False)).tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    "options", [GraphOptions(7, 5), GraphOptions(4, 1), GraphOptions(3, 3, halving=False)]
)
def test_what_is_said_to_be_enough_is_enough(options):
    for training in (True, False):
        needed = ranked_needed(options, training)
        for k in range(50):
            assert len(drawn(needed, options, rng(k) if training else None)) == options.neighbours
    with pytest.raises(DatasetError, match="too few"):
        drawn(options.neighbours - 1, options, rng())


def test_an_index_that_is_none_is_refused(folder):
    with pytest.raises(DatasetError, match="relpose prepare graphs"):
        read_graphs(folder, "val")
    good = json.loads((folder / "train.json").read_text())
    bad = [
        {**good, "format": "relpose.shards/1"}, {**good, "scenes": []}, {**good, "scenes": [{"name": "x"}]},
        {**good, "input": {}}, [], {**good, "scenes": [{"name": "x", "file": "../one.h5"}]},
    ]  # fmt: skip
    for content in bad:
        (folder / "train.json").write_text(json.dumps(content))
        with pytest.raises(DatasetError, match=r"train\.json"):
            read_graphs(folder, "train")
    (folder / "train.json").write_text(json.dumps(good))
    shutil.move(folder / "train" / "one.h5", folder / "gone.h5")
    with pytest.raises(DatasetError, match=r"one\.h5"):
        read_graphs(folder, "train")
