"""`--scene FILE` and `relpose checkpoint calibrate`, with a network that is right about an analytic room."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1]))

from analytic_room import CAMERA, RoomPredictor, viewpoint  # type: ignore[import-not-found]

from relpose_ros.checkpoints.format import CheckpointInfo, read_info, write_checkpoint
from relpose_ros.checkpoints.scene import SceneInfo
from relpose_ros.cli.main import main

NUMBERS = ["260", "264", "158", "121", "320", "240"]


class ReadsNumbers:
    """Stands in for ScenePredictor: every pixel of image n is n, and it is seen from `viewpoint(n)`."""

    def __init__(self, checkpoint, *_, **__):
        self.path = Path(checkpoint)
        self.scene = SceneInfo.of(read_info(checkpoint), checkpoint)

    def predict(self, image, camera):
        """Two centimetres of noise."""
        number = int(image[0, 0] if image.ndim == 2 else image[0, 0, 0])
        return replace(RoomPredictor(viewpoint(number), seed=number), scene=self.scene).predict(image, camera)


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A checkpoint, and a posed-image folder of images 0 to 13 of which all but two are queries."""
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("relpose_ros.checkpoints.scene.ScenePredictor", ReadsNumbers)
    scene = RoomPredictor(viewpoint(0)).scene.to_dict()
    write_checkpoint("room.safetensors", {"w": torch.zeros(2)}, CheckpointInfo("room", scene=scene))
    Path("source/images").mkdir(parents=True)
    poses, splits = [], []
    for number in range(14):
        assert cv2.imwrite(f"source/images/{number:02d}.png", np.full((240, 320), number, np.uint8))
        pose = viewpoint(number)
        numbers = " ".join(repr(float(v)) for v in (*pose.translation, *pose.rotation_xyzw))
        poses.append(f"{number:02d}.png {numbers}")
        splits.append(f"{number:02d}.png {'map' if number < 2 else 'query'}")
    Path("source/poses.txt").write_text("\n".join(poses) + "\n")
    Path("source/split.txt").write_text("\n".join(splits) + "\n")
    Path("source/intrinsics.txt").write_text(" ".join(NUMBERS) + "\n")
    return tmp_path


def test_localize_needs_no_map(room, capsys):
    images = ["source/images/03.png", "source/images/07.png"]
    assert main(["localize", "--scene", "room.safetensors", *images, "--camera", *NUMBERS, "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [a["method"] for a in answers] == ["scene_coordinates"] * 2
    for answer, number in zip(answers, (3, 7), strict=True):
        found = answer["map_from_camera"]["translation"]
        assert np.abs(np.subtract(found, viewpoint(number).translation)).max() < 0.03
        assert np.linalg.eigvalsh(np.reshape(answer["covariance"], (6, 6))).min() > 0


def test_localize_without_map_and_scene_is_refused(room, capsys):
    assert main(["localize", "source/images/03.png", "--camera", *NUMBERS]) == 2
    assert "--map MAP, or --scene FILE" in capsys.readouterr().err
    line = ["source/images/03.png", "--camera", *NUMBERS, "--scene", "room.safetensors"]
    for option in ("--pruner", "--matcher"):
        assert main(["localize", *line, option, "p"]) == 2
        assert option in capsys.readouterr().err


def test_evaluate_needs_no_map(room, capsys):
    line = ["evaluate", "--scene", "room.safetensors", "source", "--out", "report", "--limit", "4", "--json"]
    assert main(line) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["queries"] == 4 and results["availability"] == 1 and results["median_translation_m"] < 0.02
    assert Path("report/report.html").is_file()


def test_calibrate_writes_what_it_learned(room, capsys):
    assert main(["checkpoint", "calibrate", "room.safetensors", "source", "--out", "new.safetensors"]) == 0
    said = capsys.readouterr().out
    assert "coverage before" in said and "coverage after" in said and "new.safetensors" in said
    fitted = SceneInfo.of(read_info("new.safetensors")).calibration
    assert fitted["samples"] == 12 and fitted["min_inliers"] >= 8
    assert SceneInfo.of(read_info("room.safetensors")).calibration == {}


def test_calibrate_takes_no_trained_on_images_unasked(room, capsys):
    Path("source/split.txt").unlink()
    assert main(["checkpoint", "calibrate", "room.safetensors", "source"]) == 2
    assert "--split map" in capsys.readouterr().err


def test_calibrate_refuses_what_knows_no_scene(room, foreign_checkpoint, monkeypatch, capsys):
    assert main(["checkpoint", "calibrate", str(foreign_checkpoint), "source"]) == 2
    assert "knows a scene" in capsys.readouterr().err


def test_a_map_of_another_place_is_refused_with_both_names(room, small_world, capsys):
    far = replace(RoomPredictor(viewpoint(0)).scene, origin=(900.0, 0.0, 0.0))
    import torch

    write_checkpoint("far.safetensors", {"w": torch.zeros(2)}, CheckpointInfo("room", scene=far.to_dict()))
    line = [str(small_world.query(2)), "--camera", str(small_world.camera_file), "--scene", "far.safetensors"]
    assert main(["localize", "--map", str(small_world.map), *line]) == 2
    said = capsys.readouterr().err
    assert "far.safetensors" in said and "small.relmap" in said and "frames differ" in said


def test_the_camera_of_the_room_is_that_of_the_numbers():
    assert [float(n) for n in NUMBERS[:4]] == [CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy]
