"""`relpose map attach` and `--relative-checkpoint`: a network of relative poses beside a map."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from relpose_ros.cli.main import main


@pytest.fixture
def image(small_world):
    return [str(small_world.query(2)), "--camera", str(small_world.camera_file)]


def test_too_few_samples_are_refused_before_the_work(tmp_path, capsys):
    line = ["map", "attach", "office.relmap", str(tmp_path), "--out", "x.relmap", "--relpose-gnn", "p"]
    assert main([*line, "--calibration-samples", "-1"]) == 2
    assert "--calibration-samples: expected 0 or more, got -1" in capsys.readouterr().err


def test_a_network_is_attached_and_asked(small_world, image, regressor_checkpoint, tmp_path, capsys):
    attached = tmp_path / "gnn.relmap"
    command = ["map", "attach", str(small_world.map), str(small_world.folder), "--out", str(attached)]
    few = ["--calibration-samples", "2"]
    assert main([*command, "--relpose-gnn", str(regressor_checkpoint), *few]) == 0
    assert "relative poses by poses.safetensors, tested alike: too few" in capsys.readouterr().out
    assert main(["map", "info", str(attached), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["relpose_gnn"]
    assert (told["checkpoint"], told["network"]) == ("poses.safetensors", "relpose_gnn.robot")
    assert set(told["calibration"]) >= {"edges", "regression", "regression_refined"}
    network = ["--relative-checkpoint", str(regressor_checkpoint)]
    assert main(["localize", "--map", str(attached), *network, *image, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "localized"
    assert main(["localize", "--map", str(attached), *image]) == 0, "the map needs no network"
    capsys.readouterr()
    other, report = elsewhere(tmp_path / "elsewhere"), ["--out", str(tmp_path / "report"), "--json"]
    asked = ["evaluate", "--map", str(attached), *network, str(small_world.folder), "--limit", "1"]
    assert main([*asked, "--outside", str(other), *report]) == 0
    outside = json.loads(capsys.readouterr().out)["outside_map"]
    assert (outside["queries"], outside["false_publications"]) == (3, 0)


def elsewhere(folder):
    """A source of three pictures of nothing."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(3):
        pixels = cv2.GaussianBlur(rng.integers(0, 256, (240, 320), dtype=np.uint8), (0, 0), 1.0)
        cv2.imwrite(str(folder / "images" / f"{k}.png"), pixels)
    (folder / "poses.txt").write_text("".join(f"{k}.png {k} 0 0 0 0 0 1\n" for k in range(3)))
    (folder / "intrinsics.txt").write_text("200 200 159.5 119.5 320 240\n")
    return folder


def test_what_does_not_fit_is_refused(
    small_world, image, regressor_checkpoint, ratio_pruner, tmp_path, capsys
):
    network = ["--relative-checkpoint", str(regressor_checkpoint)]
    for options, words in (
        (["--map", str(small_world.map), *network], "relpose map attach"),
        (["--map", str(small_world.map), "--relative-checkpoint", str(ratio_pruner)], "one_to_one.ltfgc"),
        (["--scene", str(ratio_pruner), *network], "without --map there are none"),
    ):
        assert main(["localize", *options, *image]) == 2
        assert words in capsys.readouterr().err
    out = ["--relpose-gnn", str(regressor_checkpoint), "--out", str(tmp_path / "x.relmap")]
    assert main(["map", "attach", str(small_world.map), str(tmp_path), *out]) == 2
    assert not (tmp_path / "x.relmap").exists()
