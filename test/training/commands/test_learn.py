"""`relpose learn`: from a folder of posed images to a calibrated checkpoint, in one command."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

from scene_fixture import ROOM_CAMERA, room_images

from relpose_ros.checkpoints.format import read_info
from relpose_ros.cli.main import main


@pytest.fixture(scope="module")
def room_folder(tmp_path_factory):
    """A posed-image folder of the room, with depth, as a robot's user has it."""
    folder = tmp_path_factory.mktemp("learn") / "room"
    (folder / "images").mkdir(parents=True)
    (folder / "depth").mkdir()
    lines = ["# name tx ty tz qx qy qz qw"]
    for k, image in enumerate(room_images(40, seed=3)):
        cv2.imwrite(str(folder / f"images/{k:06d}.png"), image.load())
        millimetres = np.rint(1000 * image.load_depth()).astype(np.uint16)
        cv2.imwrite(str(folder / f"depth/{k:06d}.png"), millimetres)
        pose = image.map_from_camera
        lines.append(
            " ".join([f"{k:06d}.png", *map(repr, [*pose.translation.tolist(), *pose.rotation_xyzw.tolist()])])
        )
    (folder / "poses.txt").write_text("\n".join(lines) + "\n")
    c = ROOM_CAMERA
    (folder / "intrinsics.txt").write_text(f"{c.fx} {c.fy} {c.cx} {c.cy} {c.width} {c.height}\n")
    (folder / "split.txt").write_text("".join(f"{k:06d}.png map\n" for k in range(40)))
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_folder_becomes_a_checkpoint_that_answers_and_a_kept_set_is_not_made_again(
    room_folder, tmp_path, capsys
):
    out, work = tmp_path / "room.safetensors", tmp_path / "work"
    arguments = ["learn", str(room_folder), "--out", str(out), "--steps", "30", "--work", str(work)]
    assert main(arguments) == 0
    info = read_info(out)
    assert info.network == "scene_coordinates.cells"
    assert info.scene["origin"] == [1000.0, -500.0, 20.0]
    assert info.scene["height"] == 120, "small images are not enlarged"
    made = (work / "set" / "train_0000.h5").stat().st_mtime_ns
    assert main(arguments) == 0
    assert (work / "set" / "train_0000.h5").stat().st_mtime_ns == made
    assert (work / "run" / "curves.png").is_file()
    assert main([*arguments, "--every", "2"]) == 2
    assert "a set of other images" in capsys.readouterr().err
    image, c = room_folder / "images/000004.png", ROOM_CAMERA
    camera = [str(number) for number in (c.fx, c.fy, c.cx, c.cy, c.width, c.height)]
    assert main(["localize", "--scene", str(out), str(image), "--camera", *camera, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    # Thirty steps need not be enough for a pose; an answer it must be.
    assert answer["map_from_camera"] is not None or answer["reason"]


@pytest.mark.slow
def test_a_time_is_kept_and_nothing_is_left_beside_the_checkpoint(room_folder, tmp_path, capsys):
    out, started = tmp_path / "room.safetensors", time.monotonic()
    assert main(["learn", str(room_folder), "--out", str(out), "--minutes", "2"]) == 0
    assert "steps fit into 1.9" in capsys.readouterr().err
    assert time.monotonic() - started < 150
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["room.safetensors"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--out", "room.pth"], "expected --out FILE.safetensors"),
        (["--out", "nowhere/room.safetensors"], "in a folder that exists"),
        (["--out", "room.safetensors", "--minutes", "0"], "--minutes above 0"),
        (
            ["--out", "room.safetensors", "--steps", "9", "--labels", "none"],
            "no image has 16 cells with a known coordinate",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(room_folder, tmp_path, monkeypatch, capsys, words, why):
    monkeypatch.chdir(tmp_path)
    assert main(["learn", str(room_folder), *words]) == 2
    assert why in capsys.readouterr().err
