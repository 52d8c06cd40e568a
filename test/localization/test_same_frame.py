"""Maps whose frames began elsewhere are told from maps of one frame, and from other places."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relpose_ros.errors import MapError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.mapping import merge_maps
from relpose_ros.localization.same_frame import FrameCheck, check_frame, require_same_frame
from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.landmarks import Reference
from relpose_ros.maps.notes import FRAME, notes_of
from relpose_ros.progress import silent

MAP_FROM_OTHER = Rigid.from_rotation_vector([0.0, 0.7, 0.0], [4.0, 0.2, -3.0])


def seen_again(world: Any, move: Rigid | None = None, scale: float = 1.0) -> list[Reference]:
    """A second drive, each image somewhat off the first one's, in a frame that is moved and scaled."""
    out = []
    for i, pose in enumerate(world.drive(12, turns=0.95)):
        features = world.features(pose, seed=5000 + i)
        said = pose if move is None else move.inverse() @ pose
        said = Rigid(said.rotation, scale * said.translation)
        out.append(Reference(f"again{i:02d}", world.camera, said, features))
    return out


def saved(references: Sequence[Reference], file: Path) -> Path:
    assemble(references, file.stem, True, BuildOptions(), {}).save(file)
    return file


def test_one_frame(hall: Map, point_world: Any) -> None:
    check = check_frame(hall, seen_again(point_world))
    assert check.tried == 12 and check.found >= 10 and check.agree == check.found and not check.contradicts


def test_another_frame(hall: Map, point_world: Any) -> None:
    check = check_frame(hall, seen_again(point_world, MAP_FROM_OTHER))
    assert check.contradicts and check.agree == 0 and check.elsewhere == check.found
    assert check.map_from_other is not None
    distance, angle = check.map_from_other.distance_to(MAP_FROM_OTHER)
    assert distance < 0.1 and angle < 0.02
    with pytest.raises(MapError, match=r"drive is not in the frame of .* by 5 m and 40.1 deg.*--trust-poses"):
        require_same_frame(hall, "drive", seen_again(point_world, MAP_FROM_OTHER), silent)


def test_another_scale(hall: Map, point_world: Any) -> None:
    other = seen_again(point_world, MAP_FROM_OTHER, scale=3.0)
    unscaled = replace(hall, metric=False)
    assert check_frame(unscaled, other).contradicts
    with pytest.raises(MapError, match=r"turned by 40.1 deg.*origin and scale") as caught:
        require_same_frame(unscaled, "drive", other, silent)
    assert "map_from_other" not in str(caught.value), "no rigid motion joins frames of two scales"


def test_another_place_is_no_contradiction_but_said(hall: Map, other_point_world: Any) -> None:
    other = seen_again(other_point_world)
    assert check_frame(hall, other) == FrameCheck(12, 0, 0)
    said = require_same_frame(hall, "drive", other, silent)
    assert said.startswith("of 12 images of drive, ") and "recognizes none: nothing shows" in said


def test_images_that_are_all_seen_elsewhere_show_no_common_frame(hall: Map, point_world: Any) -> None:
    """Too few to refuse anything, but nothing that says that the frames are one."""
    two = seen_again(point_world, MAP_FROM_OTHER)[:2]
    said = require_same_frame(hall, "drive", two, silent)
    assert "recognizes 2, none of them where they are said to be: nothing shows" in said


def test_a_few_that_look_alike_are_no_contradiction() -> None:
    assert not FrameCheck(30, 12, 10, 2, MAP_FROM_OTHER).contradicts
    assert not FrameCheck(30, 2, 0, 2, MAP_FROM_OTHER).contradicts
    assert not FrameCheck(30, 20, 0, 8, MAP_FROM_OTHER).contradicts
    assert FrameCheck(30, 20, 1, 12, MAP_FROM_OTHER).contradicts


def test_merging(point_world: Any, other_point_world: Any, tmp_path: Path) -> None:
    first = saved(point_world.references(12), tmp_path / "first.relmap")
    moved = saved(seen_again(point_world, MAP_FROM_OTHER), tmp_path / "moved.relmap")
    elsewhere = saved(seen_again(other_point_world), tmp_path / "elsewhere.relmap")
    out = tmp_path / "merged.relmap"
    with pytest.raises(MapError, match=r"moved\.relmap is not in the frame of"):
        merge_maps([first, elsewhere, moved], out)
    assert not out.exists()
    together = merge_maps([first, elsewhere], out)
    assert re.search(r"elsewhere\.relmap, .*nothing shows", notes_of(together.provenance)[FRAME])
    trusted = merge_maps([first, moved], out, trust_poses=True)
    assert len(trusted) == 24 and FRAME not in notes_of(trusted.provenance)
    assert np.isfinite(trusted.landmarks.points).all()
