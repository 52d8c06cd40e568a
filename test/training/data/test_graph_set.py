"""Sets of graph scenes from folders and worlds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from graph_fixture import INPUT, flat_images

from relpose_ros.datasets.open import open_source
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.retrieval.graph_images import GraphInput, graph_pixels
from relpose_training.data.graph_dataset import read_graphs
from relpose_training.data.graph_parts import GraphSetOptions, ScenePart
from relpose_training.data.graph_roles import divided_roles, usable, whole_roles
from relpose_training.data.graph_set import prepare_graphs
from relpose_training.data.graph_worlds import GraphWorld, camera_to_render, graph_worlds
from relpose_training.data.graphs import GraphOptions
from relpose_training.data.sequences import SourceSequence

OPTIONS = GraphSetOptions(GraphInput("canonical", 48, 36, 40.0), keypoints=150)


def snapshot(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def with_split(folder, queries, count):
    rows = [f"{k:03d}.png {'query' if k in queries else 'map'}" for k in range(count)]
    (folder / "split.txt").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory, wall_folder):
    root = tmp_path_factory.mktemp("walls")
    return [with_split(wall_folder(root / f"w{k}", 12, k), {3, 7, 11}, 12) for k in range(3)]


def test_whole_sources_and_what_they_hold(folders, tmp_path):
    sequences = [SourceSequence(folder) for folder in folders]
    said = []
    counts = prepare_graphs(
        sequences, tmp_path / "g", {"train": 0.7, "val": 0.3}, OPTIONS, made="w", report=said.append
    )
    assert counts == {"train": 24, "val": 3} and len(said) == 3 and "9 references, 8 ranked" in said[0]
    train, val = (read_graphs(tmp_path / "g", split) for split in counts)
    assert len(train.names) == 2 and len(val.names) == 1 and not {*train.names} & {*val.names}
    assert train.input == OPTIONS.input and train.about["retrieval"].startswith("VLAD") and val.metric
    scene, source = train.scenes[0], open_source(folders[int(train.names[0][1])])
    assert scene.names == tuple(image.name for image in source.images)
    assert np.flatnonzero(scene.role).tolist() == [3, 7, 11] and scene.query.tolist() == [*range(12)]
    image = source.images[5]
    assert (scene.pixels[5] == graph_pixels(image.load(), image.camera, OPTIONS.input)).all()
    np.testing.assert_allclose(scene.map_from_camera[5].matrix, image.map_from_camera.matrix, atol=1e-9)
    assert val.scenes[0].query.tolist() == [3, 7, 11] and val.scenes[0].ranked.shape == (3, 9)
    assert snapshot(tmp_path / "g") == {
        "train.json", "val.json", *(f"train/{n}.h5" for n in train.names), f"val/{val.names[0]}.h5"
    }  # fmt: skip


def test_one_source_is_divided_as_published(folders, tmp_path):
    published = GraphSetOptions(
        GraphInput.published(60), keypoints=150, drawn=GraphOptions(2, 1, seed=7), images=1000
    )
    counts = prepare_graphs([SourceSequence(folders[0])], tmp_path, {"train": 1.0}, published, "images")
    assert counts == {"train": 9, "test": 3}
    train, test = (read_graphs(tmp_path, split).scenes[0] for split in counts)
    assert train.counts == {"images": 9, "references": 9, "queries": 9, "ranked": 8}
    assert test.counts == {"images": 12, "references": 9, "queries": 3, "ranked": 9}
    assert train.neighbours.shape == (9, 2) and test.neighbours.shape == (3, 2)
    assert train.pixels.shape == (9, 60, 80, 3)
    assert {*train.names} == {test.names[k] for k in test.references}
    shares = {"train": 0.7, "val": 0.3}
    with pytest.raises(ConfigurationError, match="is there already"):
        prepare_graphs([SourceSequence(folders[0])], tmp_path, shares, OPTIONS, "images")
    divided = prepare_graphs([SourceSequence(folders[0])], tmp_path, shares, OPTIONS, "images", force=True)
    assert divided["test"] == 3 and divided["train"] + divided["val"] == 9
    val = read_graphs(tmp_path, "val").scenes[0]
    assert not set(val.query.tolist()) & set(val.references.tolist())


def test_an_interrupted_run_goes_on(folders, tmp_path, monkeypatch):
    sequences = [SourceSequence(folder) for folder in folders]
    calls = []
    look = ScenePart._look

    def counted(self, *rest):
        calls.append(self.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return look(self, *rest)

    monkeypatch.setattr(ScenePart, "_look", counted)
    with pytest.raises(KeyboardInterrupt):
        prepare_graphs(sequences, tmp_path / "g", {"train": 1.0}, OPTIONS)
    assert not (tmp_path / "g" / "train.json").exists()
    said = []
    prepare_graphs(sequences, tmp_path / "g", {"train": 1.0}, OPTIONS, report=said.append)
    assert calls == ["w0", "w1", "w1", "w2"] and said[0] == "1 of 3 sequences were made before"
    prepare_graphs(sequences, tmp_path / "whole", {"train": 1.0}, OPTIONS)
    for k in range(3):
        assert same(tmp_path / "g" / "train" / f"w{k}.h5", tmp_path / "whole" / "train" / f"w{k}.h5")


def same(one, other):
    import h5py

    with h5py.File(one) as a, h5py.File(other) as b:
        return all((a[name][()] == b[name][()]).all() for name in a) and {*a} == {*b}


def test_a_scene_of_other_options_is_made_again(folders, tmp_path):
    sequence = SourceSequence(folders[0])
    part, other = (ScenePart(tmp_path, sequence, o, "w0", "train") for o in (OPTIONS, GraphSetOptions(INPUT)))
    part.make()
    assert part.done() and not other.done()
    other.make()
    assert other.done() and not part.done(), "its file is the other's now"


def test_processes_give_the_same(folders, tmp_path):
    sequences = [SourceSequence(folder) for folder in folders[:2]]
    for workers in (1, 2):
        prepare_graphs(sequences, tmp_path / str(workers), {"train": 1.0}, OPTIONS, workers=workers)
    for name in ("w0", "w1"):
        assert same(*(tmp_path / w / "train" / f"{name}.h5" for w in ("1", "2")))
    indices = [json.loads((tmp_path / w / "train.json").read_text()) for w in ("1", "2")]
    assert indices[0] == indices[1]


def test_sources_that_cannot_be_used(folders, tmp_path):
    with pytest.raises(ConfigurationError, match="given twice"):
        prepare_graphs([SourceSequence(folders[0])] * 2, tmp_path, {"train": 1.0}, OPTIONS)
    with pytest.raises(DatasetError, match="two images with poses or more, got 1"):
        usable(flat_images(1), 10, "x")
    with pytest.raises(DatasetError, match="same name"):
        usable(flat_images(2) * 2, 10, "x")
    assert len(usable(flat_images(50), 7, "x")) == 7
    for wrong in ({"images": 1}, {"ranked": 101}, {"ranked": 0}, {"keypoints": 1}):
        with pytest.raises(ConfigurationError, match="expected"):
            GraphSetOptions(**wrong)


@pytest.mark.parametrize(
    ("queries", "split", "references", "asking"),
    [("auto", "train", [0, 1, 2], [0, 1, 2, 3, 4]), ("auto", "val", [0, 1, 2], [3, 4]),
     ("each_other", "val", [0, 1, 2], [0, 1, 2]), ("all", "test", [0, 1, 2], [0, 1, 2, 3, 4]),
     ("split", "train", [0, 1, 2], [3, 4])],
)  # fmt: skip
def test_who_asks_whom(queries, split, references, asking):
    images = [*flat_images(3), *flat_images(2, "query")]
    found = whole_roles(images, split, queries, "x")
    assert found.references.tolist() == references and found.queries.tolist() == asking
    plain = whole_roles(flat_images(4), "val", "auto", "x")
    assert plain.references.tolist() == plain.queries.tolist() == [0, 1, 2, 3]
    with pytest.raises(DatasetError, match="--queries each_other"):
        whole_roles(flat_images(4), "val", "split", "x")
    with pytest.raises(ConfigurationError, match="--queries of auto"):
        whole_roles(images, "val", "some", "x")  # type: ignore[arg-type]


def test_a_divided_source_needs_a_train_split():
    with pytest.raises(ConfigurationError, match="a split train"):
        divided_roles(flat_images(9), {"val": 1.0})
    with pytest.raises(ConfigurationError, match="a split train"):
        divided_roles(flat_images(9), {"train": 1.0}, "all")


def test_worlds_are_seen_by_the_networks_camera():
    camera = camera_to_render(INPUT)
    worlds = graph_worlds("office", range(3, 5), 12, 0.0, camera)
    assert [world.name for world in worlds] == ["simulate:office:3", "simulate:office:4"]
    images = worlds[0].images()
    assert all(image.camera == INPUT.graph_camera.camera for image in images)
    assert [image.split for image in images] == ["map"] * 8 + ["query"] * 4
    assert graph_worlds("corridor,world=7", range(9), 12, 0.0, None)[0] == GraphWorld(7, "corridor", 12)
    several = graph_worlds("rooms,world=3-5", range(9), 12, 0.0, None)
    assert [world.name for world in several] == [f"simulate:rooms:{k}" for k in (3, 4, 5)]
    assert len({w.images()[0].camera for w in graph_worlds("", range(4), 12, 0.0, None)}) == 4
    published = camera_to_render(GraphInput.published()).camera
    assert GraphInput.published().size_of(published) == (256, 341) == (published.height, published.width)
    for words in ("moon", "office,seed=3", "office,world=x", "office,world=5-", "office,world=5-3"):
        with pytest.raises(ConfigurationError, match="expected"):
            graph_worlds(words, range(1), 12, 0.0, None)


@pytest.mark.slow
def test_a_simulated_world_becomes_a_scene(tmp_path):
    options = GraphSetOptions(GraphInput("canonical", 160, 120, 120.0))
    world = GraphWorld(2, "corridor", 12, 0.0, options.input.graph_camera)
    assert prepare_graphs([world], tmp_path, {"train": 1.0}, options) == {"train": 12}
    split = read_graphs(tmp_path, "train")
    assert split.metric and split.about["scenes"][0]["licence"] == "CC0-1.0"
    assert split.scenes[0].pixels.std() > 20
