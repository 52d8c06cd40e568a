"""`relpose calibrate` from images to a map with evidence; what cannot be calibrated is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from relpose_ros.cli.main import main
from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.calibration import Calibration, Sample
from relpose_ros.localization.held_out import Found
from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Evidence, Hypothesis

LAW = Calibration(scale=9.0, translation_floor=2.0, rotation_floor=1.5, view_slope=2.0, min_inliers=20)
CARELESS = replace(LAW, scale=0.5, translation_floor=0.2, rotation_floor=0.2)


def found(image: PosedImage, seed: int) -> Found:
    """A pose that errs as `LAW` says."""
    generator = np.random.default_rng(seed)
    evidence = Evidence(100, 150, view_change=generator.uniform(0, 0.6), depth=5.0, residual_angle=0.001)
    root = generator.normal(size=(6, 12)) * np.array([[0.003]] * 3 + [[0.001]] * 3) / np.sqrt(12)
    hypothesis = Hypothesis(image.map_from_camera, root @ root.T, evidence, "structure")
    error = generator.multivariate_normal(np.zeros(6), LAW.covariance(hypothesis))
    moved = replace(hypothesis, map_from_camera=image.map_from_camera.perturbed(-error))
    return Found(moved, 100.0, Sample(moved, image.map_from_camera))


@pytest.fixture
def hall(point_world, tmp_path) -> Map:
    made = assemble(point_world.references(8), "hall", True, BuildOptions(), {"source": "points"})
    return replace(made, calibration=CARELESS.to_dict()).save(tmp_path / "hall.relmap")


@pytest.fixture
def chain(hall, point_world, monkeypatch):
    """The localizer is made of paper; source, fit, page and map are not."""
    poses = [p.perturbed([0.1, 0, 0, 0, 0.05, 0]) for p in point_world.drive(60)]
    images = tuple(
        PosedImage(f"{i}.jpg", hall.cameras[0], pose, "query", lambda: np.zeros((240, 320), np.uint8))
        for i, pose in enumerate(poses)
    )
    given = SimpleNamespace(source=Source("drive", Path("drive"), images))

    def localized(localizer, images, progress, stage="", outside=False):
        return [] if outside else [found(image, i) for i, image in enumerate(images)]

    monkeypatch.setattr("relpose_ros.cli.calibrate.open_from", lambda args, split: given.source)
    monkeypatch.setattr("relpose_ros.localization.held_out.localize_held_out", localized)
    return given


def test_the_map_gets_the_calibration_and_its_evidence(hall, chain, tmp_path, capsys):
    out = tmp_path / "better.relmap"
    assert main(["calibrate", "--map", str(hall.path), "drive/", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    stored = Map.open(out).calibration
    assert stored["evidence"]["images"] == 60 and stored["evidence"]["source"] == "drive"
    assert stored["evidence"]["coverage_95_before"] < 0.7 < 0.85 < stored["evidence"]["coverage_95_after"]
    assert stored["scale"] != CARELESS.scale and stored["evidence"]["before"]["scale"] == CARELESS.scale
    assert "fitted to 60 poses" in said and "not fitted to a frequency" in said
    assert (tmp_path / "better.calibration.html").exists() and (tmp_path / "better.calibration.png").exists()
    assert Map.open(hall.path).calibration == hall.calibration, "the old one is as it was"


def test_by_default_the_map_itself_is_replaced(hall, chain):
    assert main(["calibrate", "--map", str(hall.path), "drive/", "--limit", "40"]) == 0
    assert Map.open(hall.path).calibration["evidence"]["images"] == 40


def test_a_dry_run_leaves_the_map(hall, chain, tmp_path, capsys):
    before = hall.path.read_bytes()
    report = tmp_path / "r" / "x.html"
    assert main(["calibrate", "--map", str(hall.path), "drive/", "--dry-run", "--report", str(report)]) == 0
    assert hall.path.read_bytes() == before and report.exists() and "not changed" in capsys.readouterr().out


def test_images_that_the_map_was_built_from_are_refused(hall, chain, point_world, capsys):
    images = tuple(
        replace(image, map_from_camera=Rigid(pose.rotation, pose.translation))
        for image, pose in zip(chain.source.images[:8], point_world.drive(8), strict=True)
    )
    chain.source = replace(chain.source, images=images)
    assert main(["calibrate", "--map", str(hall.path), "drive/"]) == 2
    assert "got 0 (8 more are its references)" in capsys.readouterr().err
    assert "evidence" not in Map.open(hall.path).calibration


def test_another_unit_is_refused(hall, chain, capsys):
    chain.source = replace(chain.source, metric=False)
    assert main(["calibrate", "--map", str(hall.path), "drive/"]) == 2
    assert "without scale, the map's in metres" in capsys.readouterr().err


def test_too_few_are_refused(hall, chain, capsys):
    assert main(["calibrate", "--map", str(hall.path), "drive/", "--limit", "10"]) == 2
    assert (
        "expected at least 20 images that the map localizes rightly, got 10 of 10" in capsys.readouterr().err
    )


def test_a_network_of_relative_poses_is_refused(hall, chain, capsys):
    line = ["calibrate", "--map", str(hall.path), "drive/", "--relative-checkpoint", "poses.safetensors"]
    assert main(line) == 2
    assert "calibrated by `relpose map attach`" in capsys.readouterr().err
    assert "evidence" not in Map.open(hall.path).calibration


def test_the_evidence_names_what_matched(hall, chain, monkeypatch):
    localizer = SimpleNamespace(calibration=CARELESS)
    monkeypatch.setattr("relpose_ros.cli.calibrate.open_localizer", lambda args: (hall, localizer))
    line = ["calibrate", "--map", str(hall.path), "drive/", "--matcher", "nets/imp.safetensors"]
    assert main(line) == 0
    evidence = Map.open(hall.path).calibration["evidence"]
    assert (evidence["matcher"], evidence["pruner"]) == ("imp.safetensors", "none")


def test_a_wrong_out_is_refused_before_the_work(hall, tmp_path, capsys, monkeypatch):
    def no_work(*_):
        raise AssertionError("it began")

    monkeypatch.setattr("relpose_ros.cli.calibrate.open_localizer", no_work)
    for out, says in ((tmp_path, "is a folder"), (tmp_path / "none" / "a.relmap", "make it first")):
        assert main(["calibrate", "--map", str(hall.path), "drive/", "--out", str(out)]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("line", [[], ["--map", "m", "--scene", "s"], ["--scene", "s"]])
def test_a_map_is_what_it_takes(line, capsys):
    assert main(["calibrate", "drive/", *line]) == 2
    assert "relpose checkpoint calibrate" in capsys.readouterr().err
