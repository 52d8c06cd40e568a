"""References -> map: landmarks where they are, and maps of very little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from relpose_ros.errors import MapError
from relpose_ros.features.base import Features
from relpose_ros.geometry.triangulation import reprojection
from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.landmarks import Reference, match_pairs
from relpose_ros.progress import silent


def blank(reference: Reference) -> Reference:
    size = reference.features.descriptors.shape[1]
    none = Features(np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros((0, size), np.float32))
    return replace(reference, features=none)


def made(references: list[Reference], **changes: Any) -> Map:
    return assemble(references, "hall", True, BuildOptions(**changes), {})


def test_landmarks_lie_on_the_points(point_map: Map, point_world: Any) -> None:
    distance, _ = cKDTree(point_world.points).query(point_map.landmarks.points)
    assert len(point_map.landmarks) > 1000
    assert np.median(distance) < 0.08  # 0.3 px at 6 m and more, over short baselines


def test_landmark_covariances_are_honest(point_map: Map, point_world: Any) -> None:
    """Noise was 0.3 px. Three degrees of freedom; the tail may hold a wrong match or two."""
    _, nearest = cKDTree(point_world.points).query(point_map.landmarks.points)
    error = point_map.landmarks.points - point_world.points[nearest]
    nees = np.einsum("li,lij,lj->l", error, np.linalg.inv(0.09 * point_map.landmarks.covariances), error)
    assert 1.8 < np.median(nees) < 3.0  # 2.37 for chi-square


def test_every_sighting_projects_onto_its_landmark(point_map: Map) -> None:
    error, depth = reprojection(point_map.landmarks.points, point_map.observations)
    assert (depth > 0).all() and (np.linalg.norm(error, axis=1) < 3.0 + 1e-6).all()
    count = np.bincount(point_map.observations.track, minlength=len(point_map.landmarks))
    assert count.min() >= 2


def test_a_reference_sees_a_landmark_once(point_map: Map) -> None:
    for seen in point_map.visible:
        assert len(np.unique(seen)) == len(seen)


def test_keypoints_of_landmarks_carry_the_landmarks_descriptor(point_map: Map) -> None:
    for features in point_map.features:
        seen = features.landmarks >= 0
        np.testing.assert_array_equal(
            features.descriptors[seen], point_map.landmarks.descriptors[features.landmarks[seen]]
        )


def test_loose_keypoints_are_limited(point_world: Any) -> None:
    few = made(point_world.references(8, turns=0.3), max_loose=5)
    assert max((f.landmarks < 0).sum() for f in few.features) == 5


def test_same_references_same_map(
    point_map: Map, point_world: Any, assert_equal_maps: Callable[[Map, Map], None]
) -> None:
    assert_equal_maps(point_map, made(point_world.references()))


def test_a_reference_without_features_is_carried_along(point_world: Any) -> None:
    references = point_world.references(8, turns=0.3)
    references[3] = blank(references[3])
    map_ = made(references)
    assert len(map_) == 8 and len(map_.visible[3]) == 0 and len(map_.landmarks) > 100
    assert not map_.global_descriptors[3].any()


def test_no_features_at_all_is_an_error_in_words(point_world: Any) -> None:
    with pytest.raises(MapError, match=r"hall: no features in any of 3 reference images"):
        made([blank(r) for r in point_world.references(3)])


def test_references_that_share_nothing_make_a_map_without_landmarks(point_world: Any) -> None:
    map_ = made(point_world.references(2, turns=1.0))
    assert len(map_) == 2 and len(map_.landmarks) == 0
    assert map_.depth == 0.0 and map_.info()["landmarks"] == 0
    assert sum(len(f.keypoints) for f in map_.features) > 100


def test_two_references_make_a_map(point_world: Any) -> None:
    map_ = made(point_world.references(2, turns=0.05))
    assert len(map_.landmarks) > 50
    assert map_.reference_distance == pytest.approx(
        np.linalg.norm(np.diff(map_.reference_poses.translation, axis=0))
    )


def test_wrong_poses_leave_few_landmarks(point_world: Any) -> None:
    """The epipolar check and the triangulation do not believe matches against the poses."""
    references = point_world.references(8, turns=0.3)
    generator = np.random.default_rng(0)
    moved = [
        replace(r, map_from_camera=r.map_from_camera.perturbed(generator.normal(0, 0.3, 6)))
        for r in references
    ]
    assert len(made(moved).landmarks) < 0.3 * len(made(references).landmarks)


def test_matches_that_contradict_the_poses_are_dropped(point_world: Any) -> None:
    first, second = point_world.references(2, turns=0.05)
    right = match_pairs([first, second], [(0, 1)], silent)
    assert len(right) == 1 and len(right[0].pairs) > 50
    raised = replace(second, map_from_camera=second.map_from_camera.perturbed([0, 0, 0, 0.1, 0, 0]))
    assert match_pairs([first, raised], [(0, 1)], silent) == []


def test_info_is_plain(point_map: Map) -> None:
    import json

    info = json.loads(json.dumps(point_map.info()))
    assert info["references"] == 16 and info["landmarks"] == len(point_map.landmarks)
    assert info["observations"] == len(point_map.observations)
    assert 5 < info["depth"] < 15 and info["path"] is None and info["bytes"] == 0


def test_unknown_references_are_named(point_map: Map) -> None:
    assert point_map.index_of(["r03", "r00"]) == [3, 0]
    with pytest.raises(MapError, match=r"'hall' has no reference 'x1', 'x2'; .*relpose map info"):
        point_map.index_of(["x1", "r00", "x2"])
