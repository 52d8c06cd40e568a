"""`relpose test scene_coordinates`: the table of known errors, files that others read, refusals."""

from __future__ import annotations

import argparse
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.checkpoints.scene import CoordinateMap
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.evaluation.trajectories import read_tum
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_training.recipes.scene_coordinates.command import add_arguments, pair_words, run
from relpose_training.recipes.scene_coordinates.examination import (
    Estimate,
    ImageResult,
    Protocol,
    examine_images,
    find_pose,
    measured_points,
)
from relpose_training.recipes.scene_coordinates.pose_files import published_line, write_poses
from relpose_training.recipes.scene_coordinates.sources import open_tested
from relpose_training.recipes.scene_coordinates.summary import format_table, group_results

ORIGIN = np.array([1000.0, -500.0, 20.0])


def result(name, metres, degrees, cell=0.01):
    truth = Rigid.from_rotation_vector([0, 0, 0.1], [1.0, 2, 3])
    found = math.isfinite(metres)
    estimate = Estimate(truth if found else None, "" if found else "12 of 48 cells agree")
    return ImageResult(name, 0.0, truth, estimate, metres, degrees, math.nan, cell, "m", 10.0, 20.0)


def arguments(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


class Perfect:
    """Predicts what the depth of an image says, with noise in the camera's axes or without."""

    def __init__(self, source, noise=0.0):
        self.images = {id(image.camera): image for image in source.images}
        self.source, self.noise = source, noise
        self.scene = type("Scene", (), {"origin": tuple(ORIGIN)})
        self.calls = 0

    def predict(self, pixels, camera):
        image = self.images[id(camera)]
        self.calls += 1
        depth = image.load_depth()
        y, x = np.mgrid[4:120:8, 4:160:8]
        pixels = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
        rays = camera.rays(pixels)
        local = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * depth[y, x].reshape(-1, 1)
        points = image.map_from_camera.apply(local)
        points += np.random.default_rng(0).normal(0, 1, points.shape) * self.noise
        return CoordinateMap(points, None, rays, pixels, x.shape, camera.focal)


def test_images_are_judged_against_their_true_poses(room_set):
    source = open_tested(room_set, "val")
    assert len(source.images) == 4 and source.images[0].map_from_camera.translation[0] > 900
    for estimator in ("robot", "dsacstar", "rgbd"):
        unit = {"threshold": 0.1, "max_error": 1.0} if estimator == "rgbd" else {}
        protocol = Protocol(estimator, SceneRansacOptions(max_draws=256, **unit))
        exact = list(examine_images(Perfect(source), source.images, protocol))
        assert max(r.translation_m for r in exact) < 0.01 and max(r.rotation_deg for r in exact) < 0.2
        assert max(r.cell_error for r in exact) < 2e-3 and {r.cell_unit for r in exact} == {"m"}
        assert all(r.estimate.pose is not None for r in exact)
    predictor = Perfect(source)
    list(examine_images(predictor, source.images, protocol))
    assert predictor.calls == 5  # the first of its size once more, before time is taken


def test_an_image_whose_cells_agree_with_nothing_is_a_failure_with_a_reason(room_set):
    source = open_tested(room_set, "val")
    protocol = Protocol(
        "robot", SceneRansacOptions(max_draws=256, threshold=3.0, max_error=30.0, min_share=0.2)
    )
    failed = list(examine_images(Perfect(source, noise=5.0), source.images, protocol))
    assert all(r.estimate.pose is None and r.translation_m == math.inf for r in failed)
    assert "are needed" in failed[0].estimate.reason


def test_the_origin_is_taken_off_before_anything_is_solved(room_set):
    image = open_tested(room_set, "val").images[0]
    source = open_tested(room_set, "val")
    cells = Perfect(source, 0.002).predict(None, source.images[0].camera)
    far = ORIGIN * 1e4
    moved = CoordinateMap(cells.points + far, None, cells.rays, cells.pixels, cells.shape, cells.focal)
    near = find_pose(cells, ORIGIN, Protocol()).pose
    there = find_pose(moved, ORIGIN + far, Protocol()).pose
    np.testing.assert_allclose(there.translation - far, near.translation, atol=1e-6)
    assert np.linalg.norm(near.translation - image.map_from_camera.translation) < 0.02


def test_the_table_has_the_published_columns():
    scenes = {
        "chess": [result("a", 0.01, 0.5), result("b", 0.04, 1.5), result("c", 0.05, 1.0)],
        "fire": [result("d", 0.009, 0.9), result("e", math.inf, math.inf, math.nan)],
    }
    groups = group_results(scenes)
    chess, everything = groups["chess"], groups["all"]
    assert chess["median_translation_m"] == 0.04 and chess["median_coordinate_m"] == 0.01
    assert [chess[f"recall_{k}"] for k in ("0.05m_5deg", "0.02m_2deg", "0.01m_1deg")] == pytest.approx(
        [2 / 3, 1 / 3, 0]  # strictly below: neither 5 cm nor 1 cm is within it
    )
    assert everything["recall_0.05m_5deg"] == pytest.approx(3 / 5) and everything["failures"] == 1
    assert groups["mean of scenes"]["recall_0.05m_5deg"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert groups["fire"]["median_translation_m"] == math.inf
    assert groups["fire"]["reasons"] == {"12 of 48 cells agree": 1}
    table = format_table(groups)
    assert "5 cm, 5°" in table and "1 cm, 1°" in table and "mean of scenes" in table
    assert len({len(line) for line in table.splitlines()}) == 1


def test_poses_are_files_that_others_read(tmp_path):
    results = [result("seq-01/frame 0.png", 0.01, 0.5), result("b.png", math.inf, math.inf)]
    stamps, poses = read_tum(write_poses(results, tmp_path / "poses.tum"))
    assert len(stamps) == 1
    np.testing.assert_allclose(poses.translation[0], [1, 2, 3], atol=1e-8)
    line = write_poses(results, tmp_path / "poses.txt").read_text().split()
    assert line[0] == "seq-01/frame_0.png" and len(line) == 10
    w, x, y, z, *translation = map(float, line[1:8])
    inverse = Rigid.from_quaternion([x, y, z, w], translation)  # camera_from_map, w first
    np.testing.assert_allclose(inverse.inverse().translation, [1, 2, 3], atol=1e-6)
    assert [float(v) for v in line[8:]] == [0.5, 0.01]
    level = result("a", 0.0, 0.0)
    level = ImageResult(**{**vars(level), "estimate": Estimate(Rigid.identity())})
    assert published_line(level).split()[1:5] == ["1", "0", "0", "0"]


def test_checkpoints_go_with_the_source_that_follows():
    words = ["a.safetensors", "b.safetensors", "room", "c.safetensors", "hall", "attic"]
    paired = [(str(checkpoint), source) for checkpoint, source in pair_words(words)]
    assert paired == [
        ("a.safetensors", "room"),
        ("b.safetensors", "room"),
        ("c.safetensors", "hall"),
        ("c.safetensors", "attic"),
    ]
    for wrong in (["room", "a.safetensors"], ["a.safetensors"], ["a.safetensors", "room", "b.safetensors"]):
        with pytest.raises(ConfigurationError, match="expected a"):
            pair_words(wrong)


def test_the_command_leaves_a_report(learned, room_set, tmp_path, capsys):
    shutil.copy(learned / "last.safetensors", tmp_path / "other.safetensors")
    given = arguments(
        learned / "last.safetensors", tmp_path / "other.safetensors", room_set,
        "--split", "train", "--images", 3,
        "--out", tmp_path / "report", "--backend", "torch", "--poses", tmp_path / "poses.tum",
        "--threshold", 4, "--draws", 256,
    )  # fmt: skip
    assert run(given) == 0
    report = json.loads((tmp_path / "report" / "results.json").read_text())
    assert report["ransac"]["threshold"] == 4 and report["estimator"]["name"] == "robot"
    assert len(report["images"]) == 6 and len(report["groups"]) == 4
    first, second = list(report["groups"].values())[:2]
    assert first["recall_0.05m_5deg"] == second["recall_0.05m_5deg"]  # the same weights
    assert 0 < first["median_coordinate_m"] < 2
    assert (tmp_path / "report" / "errors.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "failures" in printed and (tmp_path / "report" / "table.txt").read_text() in printed


def test_a_depth_camera_needs_depth(wall_folder, room_set, tmp_path):
    bare = open_tested(wall_folder(tmp_path / "wall", 1)).images
    room = open_tested(room_set, "val")
    cells = Perfect(room).predict(None, room.images[0].camera)
    with pytest.raises(DatasetError, match="expects images with depth"):
        measured_points(bare[0], cells)


def test_other_shards_are_refused(tmp_path):
    from relpose_training.data.shard_writer import write_shards

    write_shards([{"x": np.zeros(3)}], tmp_path, "test", 1)
    with pytest.raises(DatasetError, match="prepare scene"):
        open_tested(tmp_path)


def test_a_posed_folder_is_a_source(wall_folder, tmp_path):
    source = open_tested(wall_folder(tmp_path / "wall", 3), "val")
    assert len(source.images) == 3 and Path(source.path).name == "wall"
