"""What is wrong with a map is found, named, and told with what to do; a sound one is left in peace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relpose_ros.errors import MapError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.check import check_file, check_map, is_healthy
from relpose_ros.maps.check_geometry import oddities
from relpose_ros.maps.finding import Finding, Grade

FITTED = {"samples": 60, "tried": 80, "availability": 0.9, "wrong": 0, "evidence": {"source": "drive"}}


@pytest.fixture
def sound(point_map: Map) -> Map:
    return replace(point_map, calibration=FITTED)


def moved(map_: Map, index: int, to: Any) -> Map:
    translation = map_.reference_poses.translation.copy()
    translation[index] = to
    return replace(map_, reference_poses=Rigid(map_.reference_poses.rotation, translation))


def blinded(map_: Map, index: int, left: int = 0) -> Map:
    features = list(map_.features)
    seen = features[index].landmarks.copy()
    seen[np.flatnonzero(seen >= 0)[left:]] = -1
    features[index] = replace(features[index], landmarks=seen)
    return replace(map_, features=tuple(features))


def said(found: list[Finding], grade: Grade, words: str) -> Finding:
    """The one finding of this grade with these words in it."""
    (one,) = [f for f in found if f.grade is grade and words in f.what]
    assert one.advice
    return one


def test_a_sound_map_is_left_in_peace(sound: Map) -> None:
    assert check_map(sound) == []


def poses_not_finite(map_: Map) -> Map:
    return moved(map_, 3, [np.nan, 0, 0])


def a_stray(map_: Map) -> Map:
    return moved(map_, 5, [1e6, 0, 0])


def a_wrong_pose(map_: Map) -> Map:
    return moved(map_, 4, map_.reference_poses.translation[4] + [0.0, 1.5, 0.0])


def no_landmarks_at_all(map_: Map) -> Map:
    for index in range(len(map_)):
        map_ = blinded(map_, index)
    return map_


def millimetres(map_: Map) -> Map:
    poses = Rigid(map_.reference_poses.rotation, 1e3 * map_.reference_poses.translation)
    landmarks = replace(map_.landmarks, points=1e3 * map_.landmarks.points)
    return replace(map_, reference_poses=poses, landmarks=landmarks)


def another_camera(map_: Map) -> Map:
    small = replace(map_.cameras[0], width=40, height=30)
    return replace(map_, cameras=(small, *map_.cameras[1:]))


def not_calibrated(map_: Map) -> Map:
    return replace(map_, calibration={})


PROBLEMS: list[tuple[Callable[[Map], Map], str, int]] = [
    (poses_not_finite, "poses of {3} are not finite", 1),
    (a_stray, "{5} lie far away", 1),
    (a_wrong_pose, "most landmarks of {4} do not project", 1),
    (no_landmarks_at_all, "no reference sees any landmark", 0),
    (millimetres, "said to be", 0),
    (another_camera, "keypoints of {0} lie outside", 1),
    (not_calibrated, "not calibrated", 0),
]


@pytest.mark.parametrize(("harm", "words", "named"), PROBLEMS, ids=lambda p: getattr(p, "__name__", ""))
def test_problems_are_found(sound: Map, harm: Callable[[Map], Map], words: str, named: int) -> None:
    found = check_map(harm(sound))
    one = said(found, Grade.PROBLEM, words.format(*sound.reference_names))
    assert len(one.references) == named and not is_healthy(found)
    assert found == sorted(found, key=lambda f: list(Grade).index(f.grade))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda m: blinded(m, 3), "no landmarks: {3}"),
        (lambda m: blinded(m, 3, 5), "fewer than 8 landmarks: {3}"),
        (lambda m: replace(m, calibration={**FITTED, "samples": 5}), "fitted to 5 images only"),
        (lambda m: replace(m, calibration={**FITTED, "wrong": 2}), "2 of 80 held-out images got a wrong"),
        (lambda m: replace(m, calibration={**FITTED, "availability": 0.2}), "20% of the held-out"),
        (lambda m: moved(m, 1, m.reference_poses.translation[1]), ""),
    ],
)
def test_weaknesses_are_warned_of(sound: Map, harm: Callable[[Map], Map], words: str) -> None:
    found = check_map(harm(sound))
    if not words:
        assert not found
        return
    said(found, Grade.WARNING, words.format(*sound.reference_names))


def test_notes_do_no_harm(sound: Map) -> None:
    noted = replace(
        sound, metric=False, twins=np.array([[0, 8]], np.int32),
        calibration={k: v for k, v in FITTED.items() if k != "evidence"},
        provenance={"left_out": {"7.jpg": "truncated"}, "schema_version": 1},
    )  # fmt: skip
    found = check_map(noted)
    assert len(found) == 5 and is_healthy(found) and {f.grade for f in found} == {Grade.NOTE}


def test_islands_are_named_with_their_condition(sound: Map) -> None:
    """Two halves that share no landmark: each landmark of one is another one for the other."""
    count = len(sound.landmarks)
    features = [
        replace(f, landmarks=np.where(f.landmarks >= 0, f.landmarks + count * (i >= 10), -1).astype(np.int32))
        for i, f in enumerate(sound.features)
    ]
    both = {
        n: np.concatenate([getattr(sound.landmarks, n)] * 2) for n in ("points", "covariances", "descriptors")
    }
    cut = replace(
        sound, features=tuple(features), landmarks=replace(sound.landmarks, **both),
        conditions=("day",) * 10 + ("night",) * 6,
    )  # fmt: skip
    one = said(check_map(cut), Grade.WARNING, "6 references of condition night share no landmarks")
    assert one.references == sound.reference_names[10:]


def test_a_recording_that_was_added_twice(sound: Map) -> None:
    poses = sound.reference_poses[np.r_[np.arange(15), 14]]
    assert any("one and the same pose" in f.what for f in check_map(replace(sound, reference_poses=poses)))


def test_a_damaged_file_is_a_finding(sound: Map, tmp_path: Path) -> None:
    path = tmp_path / "hall.relmap"
    saved = sound.save(path)
    map_, found = check_file(path)
    assert map_ is not None and len(map_) == len(saved) and is_healthy(found)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    map_, found = check_file(path)
    assert map_ is None and not is_healthy(found) and "checksum" in found[0].what
    with pytest.raises(MapError, match="no such map"):
        check_file(tmp_path / "none.relmap")


@pytest.mark.parametrize(
    ("camera", "why"),
    [
        (Camera("pinhole", 300, 300, 160, 120, 320, 240), None),
        (Camera("equidistant", 100, 100, 160, 120, 320, 240, (0, 0, 0, 0)), None),
        (Camera("pinhole", 3000, 3000, 160, 120, 320, 240), "field of 6 deg"),
        (Camera("pinhole", 50, 50, 160, 120, 320, 240), "field of 145 deg"),
        (Camera("pinhole", 300, 400, 160, 120, 320, 240), "differ"),
        (Camera("pinhole", 300, 300, 10, 120, 320, 240), "principal point 10"),
    ],
)
def test_odd_cameras(camera: Camera, why: str | None) -> None:
    found = oddities(camera)
    assert (not found) if why is None else (len(found) == 1 and why in found[0])
