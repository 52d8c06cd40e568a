"""`relpose prepare scene` as a person types it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from relpose_ros.cli.main import make_parser
from relpose_ros.datasets.bag_from_source import source_to_bag
from relpose_ros.datasets.open import open_source
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.maps.bundle import Map
from relpose_training.commands import prepare
from relpose_training.data.scene_views import SceneViews
from relpose_training.data.shards import ShardSet


def run(*words):
    args = make_parser({"prepare": prepare}).parse_args(["prepare", "scene", *map(str, words)])
    return prepare.run(args)


def sizes(folder):
    return {file.stem: sum(ShardSet(folder, file.stem).sizes) for file in sorted(folder.glob("*.json"))}


def test_a_folder_becomes_train_val_and_test(tmp_path, wall_folder, capsys):
    source, out = wall_folder(tmp_path / "wall", 12), tmp_path / "set"
    lines = [f"{k:03d}.png {'query' if k >= 10 else 'map'}" for k in range(12)]
    (source / "split.txt").write_text("\n".join(lines) + "\n")
    assert run(source, "--out", out, "--split", "train=0.8,val=0.2", "--frame", "world") == 0
    assert sizes(out) == {"train": 8, "val": 2, "test": 2}
    assert f"{out / 'train.json'}: 8 images (8 real)" in capsys.readouterr().out
    meta = ShardSet(out, "train").index.meta
    assert meta["frame"] == "world" and not meta["known"] and meta["source"] == str(source)
    assert set(ShardSet(out, "test").index.meta["names"]) == {"010.png", "011.png"}
    with pytest.raises(ConfigurationError, match="has a split train already"):
        run(source, "--out", out)
    with pytest.raises(ConfigurationError, match="origin of another train split"):
        run(source, "--out", out, "--queries", "none", "--force")
    assert run(source, "--out", out, "--force", "--every", "2") == 0
    assert sizes(out) == {"train": 4, "val": 1, "test": 1}


def test_landmarks_of_a_colmap_model(tmp_path, wall_folder, wall, capsys):
    source, model = wall_folder(tmp_path / "wall", 4), tmp_path / "model"
    model.mkdir()
    point = np.array([0.1, 0.05, 2.0])
    (model / "cameras.txt").write_text("1 PINHOLE 200 150 150 150 100 75\n")
    (model / "images.txt").write_text("1 1 0 0 0 0 0 0 1 000.png\n5 5 3\n2 1 0 0 0 0 0 0 1 other.png\n\n")
    (model / "points3D.txt").write_text(f"3 {point[0]} {point[1]} {point[2]} 0 0 0 1 1 0\n")
    assert run(source, "--landmarks", model, "--out", tmp_path / "set", "--split", "train") == 0
    assert "landmarks of 1 of 4 images" in capsys.readouterr().err
    views = SceneViews(ShardSet(tmp_path / "set", "train"), height=150)
    samples = [views.sample(0, k, np.random.default_rng(0)) for k in range(4)]
    assert [int(sample["known"].sum()) for sample in samples] == [1, 0, 0, 0]
    found = samples[0]["coordinates"][:, samples[0]["known"]][:, 0] + np.array(views.meta["origin"])
    np.testing.assert_allclose(found, point, atol=1e-6)
    (model / "images.txt").write_text("2 1 0 0 0 0 0 0 1 other.png\n\n")
    with pytest.raises(DatasetError, match=re.escape("none of its 1 images ('other.png', ...)")):
        run(source, "--landmarks", model, "--out", tmp_path / "more", "--split", "train")


def test_a_simulated_world_in_both_domains(tmp_path):
    words = ["simulate:corridor", "--world", "5", "--domains", "real,simulated", "--views", "4"]
    words += ["--query-views", "2", "--size", "96x72", "--split", "train=0.5,val=0.5"]
    assert run(*words, "--out", tmp_path) == 0
    assert sizes(tmp_path) == {"train": 4, "val": 4, "test": 2}
    views = SceneViews(ShardSet(tmp_path, "train"), height=72, extras=["normals", "semantics"])
    samples = [views.sample(0, k, np.random.default_rng(0)) for k in range(4)]
    assert [int(sample["domain"]) for sample in samples] == [0, 0, 1, 1]
    assert all(sample["known"].mean() > 0.9 and sample["semantics"].max() <= 5 for sample in samples)
    poses = np.stack([sample["pose"] for sample in samples])
    assert not np.allclose(poses[0], poses[2], atol=0.01)  # other places in the same world
    bounds = np.array(views.meta["bounds"])
    assert (np.ptp(bounds, axis=0)[:2] > 1).all() and views.meta["licence"] == "CC0-1.0"
    with pytest.raises(ConfigurationError, match="each domain once"):
        run("simulate:", "--domains", "real,real", "--out", tmp_path / "no")
    with pytest.raises(ConfigurationError, match="640x480"):
        run("simulate:", "--size", "big", "--out", tmp_path / "no")


def test_queries_alone_make_a_validation_split(tmp_path, wall_folder):
    source = wall_folder(tmp_path / "wall", 6)
    (source / "split.txt").write_text("\n".join(f"{k:03d}.png query" for k in range(6)) + "\n")
    with pytest.raises(ConfigurationError, match="--queries mixed"):
        run(source, "--out", tmp_path / "set")
    assert run(source, "--out", tmp_path / "set", "--split", "val", "--queries", "mixed") == 0
    assert sizes(tmp_path / "set") == {"val": 6}


@pytest.mark.parametrize("compressed", [False, True])
def test_a_bag(tmp_path, wall_folder, compressed):
    folder = open_source(wall_folder(tmp_path / "wall", 6))
    bag = source_to_bag(folder, None, tmp_path / "bag", compressed=compressed)
    out = tmp_path / "set"
    assert run(bag, "--out", out, "--split", "train=0.5,val=0.5", "--jpeg", "0") == 0
    assert sizes(out) == {"train": 3, "val": 3}
    views = SceneViews(ShardSet(out, "train"), height=150)
    sample, image = views.sample(0, 0, np.random.default_rng(0)), folder.images[0]
    np.testing.assert_allclose(sample["pose"][:3, :3], image.map_from_camera.rotation, atol=1e-6)
    np.testing.assert_allclose(
        sample["pose"][:3, 3] + views.meta["origin"], image.map_from_camera.translation, atol=1e-6
    )
    grey = image.load() if image.load().ndim == 2 else image.load()[..., 0]
    np.testing.assert_allclose(sample["image"][0, :150] * 0.25 + 0.4, grey / 255, atol=0.006)


def test_landmarks_of_a_map(tmp_path, small_world):
    out = tmp_path / "set"
    words = ["--landmarks", small_world.map, "--labels", "landmarks", "--out", out, "--split", "train"]
    assert run(small_world.folder, *words) == 0
    assert sizes(out) == {"train": 24, "test": 12}
    views = SceneViews(ShardSet(out, "train"), height=240)
    origin, points = np.array(views.meta["origin"]), Map.open(small_world.map).landmark_points
    for k in range(0, 24, 6):
        sample = views.sample(0, k, np.random.default_rng(0))
        found = sample["coordinates"][:, sample["known"]].T + origin
        assert len(found) > 10
        assert np.linalg.norm(found[:, None] - points, axis=2).min(axis=1).max() < 1e-5


def test_landmarks_of_visualsfm_by_names_without_endings(tmp_path, wall_folder, capsys):
    source, model = wall_folder(tmp_path / "wall", 3), tmp_path / "reconstruction.nvm"
    cameras = "".join(f"{k:03d}.jpg 150 1 0 0 0 0 0 0 0 0\n" for k in range(2))
    model.write_text(f"NVM_V3\n\n2\n{cameras}\n1\n0.1 0.05 2 0 0 0 2 0 0 0 0 1 0 0 0\n")
    assert run(source, "--landmarks", model, "--out", tmp_path / "set", "--split", "train") == 0
    views = SceneViews(ShardSet(tmp_path / "set", "train"), height=150)
    samples = [views.sample(0, k, np.random.default_rng(0)) for k in range(3)]
    assert [int(sample["known"].sum()) for sample in samples] == [1, 1, 0]
    assert "landmarks of 2 of 3 images" in capsys.readouterr().err
