"""Each road alone, in a hall of points where the truth is known to the last digit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from relpose_ros.geometry.covariance import nees
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.circumstances import view_change
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.pairwise import RelativePose
from relpose_ros.localization.query import Query
from relpose_ros.localization.relative import RelativeLocalizer
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.landmarks import Reference
from relpose_ros.types import State


def query_pose(world: Any, k: int) -> Rigid:
    """Between the references, off their circle, pitched and rolled a little."""
    angle = 1.03 * k + 0.1
    pose = world.pose(angle, 1.7 * np.sin(angle) + 0.2, 1.7 * np.cos(angle))
    return pose.perturbed([0, 0.1, 0, 0.03, 0.05, -0.04])


def assert_close(found: Rigid | None, truth: Rigid, metres: float = 0.02, degrees: float = 0.5) -> None:
    assert found is not None
    distance, angle = found.distance_to(truth)
    assert distance < metres and np.rad2deg(angle) < degrees


@pytest.mark.parametrize("k", range(5))
def test_structure(hall: Map, point_world: Any, k: int) -> None:
    pose = query_pose(point_world, k)
    answer = Localizer(hall).localize_features(point_world.features(pose, seed=k), point_world.camera)
    assert (answer.state, answer.method, answer.reason) == (State.LOCALIZED, "structure", "")
    assert_close(answer.map_from_camera, pose)
    assert answer.confidence > 0.95
    assert answer.inliers == answer.matches.inlier.sum()


@pytest.mark.parametrize("k", range(5))
def test_relative_alone_where_there_are_no_landmarks(bare_hall: Map, point_world: Any, k: int) -> None:
    pose = query_pose(point_world, k)
    answer = Localizer(bare_hall).localize_features(point_world.features(pose, seed=k), point_world.camera)
    assert answer.method == "relative" and answer.has_pose
    assert_close(answer.map_from_camera, pose, metres=0.03)
    assert len(answer.references) >= 2


def test_relative_says_how_far_what_it_saw_is(bare_hall: Map, point_world: Any) -> None:
    pose = query_pose(point_world, 1)
    features = point_world.features(pose)
    localizer = Localizer(bare_hall)
    (found,), _ = localizer.hypotheses(
        Query.of(features, point_world.camera), localizer.retrieve(localizer.describe(features))
    )
    seen = point_world.camera.contains(point_world.camera.project(pose.inverse().apply(point_world.points)))
    true = np.median(np.linalg.norm(point_world.points[seen] - pose.translation, axis=1))
    assert found.evidence.depth == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("road", ["structure", "relative"])
def test_raw_covariance_is_of_the_right_size(hall: Map, bare_hall: Map, point_world: Any, road: str) -> None:
    """What calibration starts from: within a factor of a few, for either road."""
    localizer = Localizer(hall if road == "structure" else bare_hall)
    values = []
    for k in range(20):
        pose = query_pose(point_world, k)
        features = point_world.features(pose, seed=k)
        query = Query.of(features, point_world.camera)
        (found,), _ = localizer.hypotheses(query, localizer.retrieve(localizer.describe(features)))
        assert found.method == road
        values.append(nees(found.map_from_camera.error_to(pose), found.covariance))
    assert 0.3 < np.median(values) < 30


def test_relative_poses_are_metric_where_landmarks_are(hall: Map, point_world: Any) -> None:
    pose = query_pose(point_world, 2)
    localizer = Localizer(hall)
    features = point_world.features(pose, seed=2)
    query = Query.of(features, point_world.camera)
    found = localizer._relative.relative_poses(query, localizer.retrieve(localizer.describe(features)))
    assert len(found) >= 3
    for relative in found:
        assert relative.scale_known
        truth = hall.reference_poses[relative.index].inverse() @ pose
        assert_close(relative.reference_from_camera, truth, metres=0.06, degrees=1.0)
        assert nees(relative.reference_from_camera.error_to(truth), relative.covariance) < 100
        assert np.linalg.eigvalsh(relative.covariance).min() > 0


def test_relative_poses_are_directions_where_no_landmarks_are(bare_hall: Map, point_world: Any) -> None:
    pose = query_pose(point_world, 2)
    localizer = Localizer(bare_hall)
    features = point_world.features(pose, seed=2)
    found = localizer._relative.relative_poses(
        Query.of(features, point_world.camera), localizer.retrieve(localizer.describe(features))
    )
    assert len(found) >= 3
    for relative in found:
        assert not relative.scale_known
        truth = bare_hall.reference_poses[relative.index].inverse() @ pose
        length = np.linalg.norm(truth.translation)
        translation = relative.reference_from_camera.translation
        assert np.linalg.norm(translation) == pytest.approx(1, abs=1e-9)
        if length > 0.3:
            assert translation @ truth.translation / length > np.cos(np.deg2rad(12))
        along = translation @ relative.covariance[:3, :3] @ translation
        assert along > 0.9, "the length is unknown, and the covariance says so"


def test_one_reference_and_no_landmark_give_a_direction_and_no_pose(bare_hall: Map, point_world: Any) -> None:
    localizer = Localizer(bare_hall)
    pose = query_pose(point_world, 0)
    features = point_world.features(pose)
    answer = localizer.localize_with(
        features, point_world.camera, localizer.retrieve(localizer.describe(features))[:1]
    )
    assert answer.state is State.UNLOCALIZED and answer.map_from_camera is None
    assert "only a direction from one reference" in answer.reason
    assert any(name in answer.reason for name in bare_hall.reference_names)


def test_another_camera_than_the_maps(hall: Map, point_world: Any) -> None:
    camera = replace(point_world.camera, fx=330.0, fy=325.0, width=480, height=320, cx=238.0, cy=161.0)
    pose = query_pose(point_world, 3)
    answer = Localizer(hall).localize_features(point_world.features(pose, camera), camera)
    assert_close(answer.map_from_camera, pose)


@pytest.mark.parametrize(
    ("model", "distortion"),
    [
        ("plumb_bob", (-0.28, 0.09, 0.002, -0.001, 0.01)),
        ("equidistant", (0.02, -0.01, 0.003, 0.0)),
        ("rational_polynomial", (-0.2, 0.05, 0.001, 0.001, 0.0, 0.1, 0.0, 0.0)),
    ],
)
def test_distorted_cameras(hall: Map, point_world: Any, model: str, distortion: tuple[float, ...]) -> None:
    camera = replace(point_world.camera, model=model, distortion=distortion, fx=200.0, fy=200.0)
    pose = query_pose(point_world, 4)
    answer = Localizer(hall).localize_features(point_world.features(pose, camera), camera)
    assert_close(answer.map_from_camera, pose)


def test_another_world_is_not_localized(hall: Map, bare_hall: Map, other_point_world: Any) -> None:
    for map_ in (hall, bare_hall):
        localizer = Localizer(map_)
        for k in range(30):
            pose = query_pose(other_point_world, k)
            features = other_point_world.features(pose, seed=k)
            answer = localizer.localize_features(features, other_point_world.camera)
            assert answer.state is State.UNLOCALIZED and answer.reason
            assert answer.map_from_camera is None and answer.covariance is None and answer.confidence == 0


def test_two_places_that_look_alike_are_ambiguous(point_world: Any) -> None:
    """Part of the hall once more, 40 m away and turned: as much speaks for one place as for the other."""
    from relpose_ros.maps.assemble import BuildOptions, assemble

    away = Rigid.from_rotation_vector([0, np.pi / 2, 0], [40, 0, 0])
    here = point_world.references(8, turns=0.3)
    there = [replace(r, name=f"twin_{r.name}", map_from_camera=away @ r.map_from_camera) for r in here]
    map_ = assemble([*here, *there], "twins", True, BuildOptions(), {})
    for k in range(4):
        pose = point_world.pose(0.2 * k, 0.5, 1.8)
        answer = Localizer(map_).localize_features(point_world.features(pose, seed=k), point_world.camera)
        if answer.has_pose:
            distance = answer.map_from_camera.translation - pose.translation
            assert answer.confidence < 0.5 or np.linalg.norm(distance) < 0.1


def test_what_is_seen_from_its_back_does_not_count(point_world: Any) -> None:
    """A flat wall in a mirror: every match agrees with a pose behind the wall, and none is believed."""
    from relpose_ros.maps.assemble import BuildOptions, assemble

    flat = type(point_world)(seed=5)
    flat.points[:, 2] = 8.0
    references = [
        Reference(f"r{i}", flat.camera, pose, flat.features(pose, seed=i))
        for i, pose in enumerate(flat.pose(0.0, x, 2.0) for x in np.linspace(-2, 2, 6).tolist())
    ]
    localizer = Localizer(assemble(references, "wall", True, BuildOptions(), {}))
    features = flat.features(flat.pose(0.1, 0.3, 2.2), seed=50)
    assert localizer.localize_features(features, flat.camera).has_pose
    mirrored = features.keypoints * np.float32([-1, 1]) + np.float32([2 * flat.camera.cx, 0])
    answer = localizer.localize_features(replace(features, keypoints=mirrored), flat.camera)
    assert not answer.has_pose


def test_neighbours_are_the_near_views(hall: Map, point_world: Any) -> None:
    localizer = Localizer(hall)
    for k in range(5):
        pose = query_pose(point_world, k)
        neighbours = localizer.retrieve(localizer.describe(point_world.features(pose, seed=k)))
        assert [n.score for n in neighbours] == sorted((n.score for n in neighbours), reverse=True)
        angles = [np.arccos(n.map_from_camera.rotation[:, 2] @ pose.rotation[:, 2]) for n in neighbours[:3]]
        assert max(angles) < np.deg2rad(45)
        assert all(hall.reference_names[n.index] == n.name for n in neighbours)


def test_no_neighbours_is_a_reason(hall: Map, point_world: Any) -> None:
    features = point_world.features(query_pose(point_world, 0))
    assert (
        Localizer(hall).localize_with(features, point_world.camera, []).reason == "no reference was retrieved"
    )


def test_view_change_is_parallax_and_turn(hall: Map) -> None:
    pose = hall.reference_poses[0]
    moved = pose.translation + np.array([0, 0.5, 0])
    parallax, turn = view_change(hall, moved, pose.rotation[:, 2], depth=5.0)
    assert parallax[0] == pytest.approx(0.1) and turn[0] == pytest.approx(0, abs=1e-6)
    parallax, turn = view_change(hall, pose.translation, -pose.rotation[:, 2], depth=5.0)
    assert parallax[0] == 0 and turn[0] == pytest.approx(np.pi)
    assert parallax.shape == turn.shape == (len(hall),)


def test_view_change_of_a_query_grows_as_it_leaves_the_references(hall: Map, point_world: Any) -> None:
    localizer = Localizer(hall)
    changes = []
    for step in (0.0, 0.4, 0.8):
        pose = point_world.pose(0.0, 0.0, 2.0 - step)
        features = point_world.features(pose)
        found, _ = localizer.hypotheses(
            Query.of(features, point_world.camera), localizer.retrieve(localizer.describe(features))
        )
        changes.append(found[0].evidence.view_change)
    assert changes == sorted(changes) and changes[0] < 0.01 < changes[2]


def relative_road(hall: Map, world: Any, monkeypatch: pytest.MonkeyPatch, mislead: Any) -> tuple[Any, Rigid]:
    """The pose by relative poses of which `mislead` has spoilt some, and the truth."""
    pose = query_pose(world, 1)
    features = world.features(pose)
    localizer, query = Localizer(hall), Query.of(features, world.camera)
    road = RelativeLocalizer(hall)
    poses = road.relative_poses(query, localizer.retrieve(localizer.describe(features)))
    assert len(poses) > 2 and all(p.scale_known for p in poses)
    monkeypatch.setattr(road, "relative_poses", lambda *_: mislead(poses))
    (found,) = road.hypotheses(query, [])
    return found, pose


def test_a_reference_with_a_wrong_length_does_not_outvote_the_others(
    hall: Map, point_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong landmarks gave it a wrong translation, of which it is sure."""

    def mislead(poses: list[RelativePose]) -> list[RelativePose]:
        moved = poses[-1].reference_from_camera
        moved = Rigid(moved.rotation, -1.5 * moved.translation)
        return [
            *poses[:-1],
            replace(poses[-1], reference_from_camera=moved, covariance=1e-7 * np.eye(6)),
        ]

    found, truth = relative_road(hall, point_world, monkeypatch, mislead)
    assert_close(found.map_from_camera, truth)


def test_a_few_wrong_matches_do_not_bend_a_pose(
    hall: Map, point_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve of one reference, all 6 px off to one side."""

    def mislead(poses: list[RelativePose]) -> list[RelativePose]:
        rays = poses[-1].query_rays.copy()
        rays[:12] += 6 / point_world.camera.focal
        return [*poses[:-1], replace(poses[-1], query_rays=rays)]

    right, _ = relative_road(hall, point_world, monkeypatch, lambda poses: poses)
    found, _ = relative_road(hall, point_world, monkeypatch, mislead)
    distance, angle = found.map_from_camera.distance_to(right.map_from_camera)
    assert distance < 0.0007 and np.rad2deg(angle) < 0.006
    assert found.evidence.inliers == right.evidence.inliers - 12
