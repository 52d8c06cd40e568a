"""`relpose prepare graphs` as a person types it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from relpose_ros.cli.main import make_parser
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.commands import graphs, prepare
from relpose_training.data.graph_dataset import GraphScenes, read_graphs
from relpose_training.data.graph_worlds import GraphWorld
from relpose_training.data.graphs import GraphOptions


def parse(*words):
    return make_parser({"prepare": prepare}).parse_args(["prepare", "graphs", *map(str, words)])


def run(*words):
    return prepare.run(parse(*words))


@pytest.fixture(scope="module")
def walls(tmp_path_factory, wall_folder):
    root = tmp_path_factory.mktemp("walls")
    return [wall_folder(root / f"w{k}", 9, k) for k in range(2)]


def test_folders_become_scenes(walls, tmp_path, capsys):
    out = tmp_path / "g"
    assert run(*walls, "--out", out, "--split", "train=0.5,val=0.5", "--size", "64x48", "--field", 80) == 0
    said = capsys.readouterr()
    assert f"{out / 'train'}.json: 9 queries" in said.out and "9 references, 8 ranked" in said.err
    split = read_graphs(out, "train")
    assert (split.input.width, split.input.height) == (64, 48)
    assert abs(2 * np.degrees(np.arctan(32 / split.input.focal)) - 80) < 1e-9
    sample = GraphScenes(split, GraphOptions(4, 1), training=True).sample(0, 0, np.random.default_rng(0))
    assert sample["images"].shape == (5, 3, 48, 64)
    with pytest.raises(ConfigurationError, match="is there already"):
        run(*walls, "--out", out)
    assert run(walls[0], "--out", out, "--split", "test") == 0
    assert read_graphs(out, "test").names == ("w0",) and read_graphs(out, "train").names
    assert run(walls[1], "--out", out, "--split", "test", "--force") == 0
    assert read_graphs(out, "test").names == ("w1",)


def test_as_published(walls, tmp_path):
    words = "--published", "--divide", "images", "--split", "train=0.99,val=0.01", "--period", 1
    with pytest.raises(DatasetError, match="w0, train: query 0: expected 7 references"):
        run(walls[0], "--out", tmp_path, *words)
    options = graphs.options_of(parse(walls[0], "--out", tmp_path, "--published"))
    assert options.drawn == GraphOptions() and options.input.height == 256 and options.images > 10**6
    assert graphs.options_of(parse(walls[0], "--out", tmp_path)).images == 2000


def test_short_side(walls, tmp_path):
    assert run(walls[0], "--out", tmp_path / "g", "--split", "test", "--short-side", 60) == 0
    split = read_graphs(tmp_path / "g", "test")
    assert split.scenes[0].height_and_width == (60, 80) and split.input.per_scene


def test_sources_are_recognised(tmp_path):
    args = parse(
        "simulate:office", "simulate:corridor,world=7", "--worlds", 2, "--views", 30, "--out", tmp_path
    )
    worlds = graphs.sequences_of(args, graphs.input_of(args))
    assert [world.name for world in worlds] == [
        "simulate:office:0",
        "simulate:office:1",
        "simulate:corridor:7",
    ]
    assert all(isinstance(world, GraphWorld) and world.views == 30 for world in worlds)
    own = graphs.sequences_of(parse("simulate:", "--own-cameras", "--out", tmp_path), graphs.input_of(args))
    assert own[0].seen_by is None and len(own) == 10
    lists = tmp_path / "heads"
    lists.mkdir()
    (lists / "train_frames.bin").write_bytes(pickle.dumps([]))
    found = graphs.sequences_of(
        parse(lists, "--images-root", tmp_path / "raw", "--out", tmp_path), graphs.input_of(args)
    )
    assert found[0].root == tmp_path / "raw"


def test_published_graphs_stay_among_themselves(walls, tmp_path):
    packed = tmp_path / "heads_fc8_sp5_test.tar"
    packed.write_bytes(b"")
    with pytest.raises(ConfigurationError, match="runs of their own"):
        run(packed, walls[0], "--out", tmp_path / "g")
    with pytest.raises(DatasetError, match="not a whole archive"):
        run(packed, "--out", tmp_path / "g")


@pytest.mark.parametrize(
    "words",
    [("--size", "64"), ("--size", "4x4"), ("--field", 0), ("--worlds", 0), ("--night", 2), ("--ranked", 500),
     ("--views", 2)],
)  # fmt: skip
def test_what_cannot_be_meant(tmp_path, words):
    with pytest.raises(ConfigurationError, match="expected"):
        run("simulate:office", "--out", tmp_path, *words)
    assert not list(tmp_path.iterdir())
