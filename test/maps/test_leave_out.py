"""A map without some references is the map that would have been built without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from relpose_ros.errors import MapError
from relpose_ros.maps.assemble import BuildOptions, Known, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.edit import known_matches, known_references, without
from relpose_ros.maps.landmarks import triangulate_landmarks
from relpose_ros.maps.leave_out import leave_out

REMOVED = [2, 3, 9]


def rebuilt(map_: Map, removed: list[int]) -> tuple[Any, list[np.ndarray]]:
    """Landmarks triangulated from the same tracks, without the references `removed`."""
    position = {old: new for new, old in enumerate(i for i in range(len(map_)) if i not in removed)}
    tracks: dict[int, list[tuple[int, int]]] = {}
    for old, new in position.items():
        for keypoint, landmark in enumerate(map_.features[old].landmarks.tolist()):
            if landmark >= 0:
                tracks.setdefault(landmark, []).append((new, keypoint))
    from relpose_ros.maps.tracks import PairMatches

    links: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (first, k), *others in tracks.values():
        for second, other in others:
            links.setdefault((first, second), []).append((k, other))
    matches = [PairMatches(i, j, np.array(p), np.zeros(len(p))) for (i, j), p in links.items()]
    references = [r for i, r in enumerate(known_references(map_)) if i in position]
    return triangulate_landmarks(references, matches)


def test_leaving_out_equals_building_without(point_map: Map) -> None:
    part = leave_out(point_map, REMOVED)
    landmarks, seen = rebuilt(point_map, REMOVED)
    assert len(part) == 13 and len(part.landmarks) == pytest.approx(len(landmarks), rel=0.01)
    compared = 0
    for ours, theirs in zip(part.features, seen, strict=True):
        both = (ours.landmarks >= 0) & (theirs >= 0)
        assert ((ours.landmarks >= 0) == (theirs >= 0)).mean() > 0.99
        mine, other = ours.landmarks[both], theirs[both]
        sigma = np.sqrt(np.linalg.eigvalsh(landmarks.covariances[other])[:, 2])
        offset = np.linalg.norm(part.landmarks.points[mine] - landmarks.points[other], axis=1)
        # The optimum is the same; two ways to it stop a little apart.
        assert np.quantile(offset / sigma, 0.99) < 0.05
        compared += both.sum()
    assert compared > 1000


def test_the_rest_of_the_map_is_as_it_was(point_map: Map) -> None:
    part = leave_out(point_map, REMOVED)
    kept = [i for i in range(len(point_map)) if i not in REMOVED]
    assert part.reference_names == tuple(point_map.reference_names[i] for i in kept)
    np.testing.assert_array_equal(part.reference_poses.matrix, point_map.reference_poses.matrix[kept])
    np.testing.assert_array_equal(part.global_descriptors, point_map.global_descriptors[kept])
    for new, old in enumerate(kept):
        np.testing.assert_array_equal(part.features[new].keypoints, point_map.features[old].keypoints)
        assert part.features[new].landmarks.max() < len(part.landmarks)


def test_every_landmark_left_is_seen_twice(point_map: Map) -> None:
    part = leave_out(point_map, REMOVED)
    assert np.bincount(part.observations.track, minlength=len(part.landmarks)).min() >= 2
    assert np.isfinite(part.landmarks.points).all()


def test_the_map_that_it_came_from_is_not_changed(point_map: Map) -> None:
    before = point_map.landmarks.points.copy()
    leave_out(point_map, REMOVED)
    np.testing.assert_array_equal(point_map.landmarks.points, before)


def test_leaving_out_nothing_keeps_everything(point_map: Map) -> None:
    part = leave_out(point_map, [])
    np.testing.assert_array_equal(part.landmarks.points, point_map.landmarks.points)
    assert len(part) == len(point_map)


def test_leaving_out_all_but_one_leaves_no_landmarks(point_map: Map) -> None:
    assert len(leave_out(point_map, list(range(1, len(point_map)))).landmarks) == 0


def test_remove_by_name(point_map: Map) -> None:
    assert "r05" not in without(point_map, ["r05", "r06"]).reference_names
    with pytest.raises(MapError, match="no reference 'nobody'"):
        without(point_map, ["r05", "nobody"])
    with pytest.raises(MapError, match="removing 15 of 16 references leaves fewer than two"):
        without(point_map, list(point_map.reference_names[1:]))
    assert len(without(point_map, list(point_map.reference_names[2:]))) == 2


def test_known_matches_stand_for_the_same_tracks(point_map: Map) -> None:
    """Assembled again from what the map knows, without matching: the same landmarks."""
    known = Known(tuple(known_matches(point_map)), len(point_map))
    again = assemble(known_references(point_map), "hall", True, BuildOptions(), {}, known)
    assert len(again.landmarks) == pytest.approx(len(point_map.landmarks), rel=0.01)
    for ours, theirs in zip(point_map.features, again.features, strict=True):
        agree = (ours.landmarks >= 0) == (theirs.landmarks >= 0)
        assert len(ours.landmarks) == len(theirs.landmarks) and agree.mean() > 0.99
