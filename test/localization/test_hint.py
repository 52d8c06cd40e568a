"""Hints: what one may decide between look-alikes, where it may look, and that a wrong one does no harm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.covariance import nees
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.hint import Hint, HintOptions, hint_from_numbers, settled
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.surroundings import Surroundings
from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.landmarks import Reference
from relpose_ros.types import Evidence, Hypothesis, Localization, RigFrame, State

UP = Rigid(np.eye(3), np.array([0.0, 100.0, 0.0]))
"""From a hall to its twin: level cameras of one do not see the other."""


class Halls:
    """Two halls that are the same to the last point."""

    def __init__(self, world: Any) -> None:
        self.world = world
        below = world.references(16)
        above = [
            Reference(
                f"u{r.name}", r.camera, UP @ r.map_from_camera, self.features(UP @ r.map_from_camera, i)
            )
            for i, r in enumerate(below)
        ]
        self.map = assemble([*below, *above], "halls", True, BuildOptions(), {})
        self.localizer = Localizer(self.map)

    def features(self, pose: Rigid, seed: int) -> Any:
        """What a camera in either hall sees."""
        there = pose if pose.translation[1] < 50 else UP.inverse() @ pose
        return self.world.features(there, seed=9000 + seed)

    def answer(self, truth: Rigid, seed: int, hint: Hint | None = None) -> Localization:
        return self.localizer.localize_features(self.features(truth, seed), self.world.camera, hint=hint)


@pytest.fixture(scope="module")
def halls(point_world: Any) -> Halls:
    return Halls(point_world)


def query(world: Any, k: int) -> Rigid:
    angle = 0.4 + 1.1 * k
    pose = world.pose(angle, 2 * np.sin(angle), 2 * np.cos(angle))
    return UP @ pose.perturbed([0.1, 0.1, 0, 0.03, 0, 0.02])


def about(pose: Rigid, metres: float = 0.5, radians: float = 0.26) -> Hint:
    return Hint(pose, np.diag([metres**2] * 3 + [radians**2] * 3))


@pytest.mark.parametrize("k", range(3))
def test_a_hint_tells_twins_apart_where_its_covariance_excludes_the_other(halls: Halls, k: int) -> None:
    truth = query(halls.world, k)
    assert halls.answer(truth, k).reason.startswith("ambiguous")
    found = halls.answer(truth, k, about(truth.perturbed([0.3, 0.2, -0.2, 0, 0.1, 0])))
    assert found.state is State.DEGRADED and found.confidence <= 0.9
    assert found.reason.startswith("the hint alone tells this place from that of r")
    distance, angle = found.map_from_camera.distance_to(truth)
    assert distance < 0.05 and angle < 0.01


@pytest.mark.parametrize("metres", [25.0, 60.0])
def test_a_hint_that_may_mean_both_decides_nothing(halls: Halls, metres: float) -> None:
    truth = query(halls.world, 1)
    wide = halls.answer(truth, 1, about(truth, metres))
    assert wide.state is State.UNLOCALIZED and wide.reason.startswith("ambiguous")


def test_a_hint_at_the_wrong_twin_is_never_certain(halls: Halls) -> None:
    """The image cannot disprove it; the answer says what it stands by."""
    truth = query(halls.world, 0)
    found = halls.answer(truth, 0, about(UP.inverse() @ truth))
    assert found.state is State.DEGRADED and "the hint alone" in found.reason and found.confidence <= 0.9


@pytest.mark.parametrize("k", range(4))
def test_a_hint_elsewhere_makes_no_pose(halls: Halls, k: int) -> None:
    """Between the halls, and on the other side of either, where references show something else."""
    truth = query(halls.world, k)
    opposite = halls.world.pose(0.4 + 1.1 * k + np.pi)
    for wrong in (Rigid(np.eye(3), np.array([0.0, 50.0, 0.0])), opposite, UP @ opposite):
        found = halls.answer(truth, k, about(wrong))
        assert found.state is State.UNLOCALIZED and found.reason.startswith("ambiguous")


def test_a_wrong_hint_does_not_keep_the_right_pose_away(hall: Map, point_world: Any) -> None:
    localizer, truth = Localizer(hall), point_world.pose(1.0, 1.5, 1.2)
    features = point_world.features(truth, seed=3)
    plain = localizer.localize_features(features, point_world.camera)
    wrong = about(point_world.pose(1.0 + np.pi), 0.2, 0.1)
    hinted = localizer.localize_features(features, point_world.camera, hint=wrong)
    assert plain.state is hinted.state is State.LOCALIZED
    np.testing.assert_array_equal(plain.map_from_camera.matrix, hinted.map_from_camera.matrix)
    assert (plain.confidence, plain.reason) == (hinted.confidence, hinted.reason)


class Misled(Localizer):
    """Retrieves from all of the map what is least alike."""

    def retrieve(self, descriptor: Any, count: int | None = None) -> Any:
        worst = np.argsort(self.map.global_descriptors @ descriptor)[:3]
        return [self._roads.neighbour(int(i)) for i in worst]


def test_a_hint_finds_what_retrieval_misses(hall: Map, point_world: Any) -> None:
    localizer, truth = Misled(hall), point_world.pose(1.0, 1.5, 1.2)
    features = point_world.features(truth, seed=3)
    assert not localizer.localize_features(features, point_world.camera).has_pose
    found = localizer.localize_features(features, point_world.camera, hint=about(truth))
    assert found.state is State.DEGRADED and found.reason.startswith("found round the hint alone")
    assert found.map_from_camera.distance_to(truth)[0] < 0.05
    wrong = about(point_world.pose(1.0 + np.pi))
    assert not localizer.localize_features(features, point_world.camera, hint=wrong).has_pose


def test_a_rig_takes_a_hint_of_its_base(halls: Halls, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = Rigid.stack([Rigid.identity(), Rigid.from_rotation_vector([0, 1.5, 0], [0.2, 0.0, 0.1])])
    base, camera = query(halls.world, 2), halls.world.camera
    views = {f"camera{c}": halls.features(base @ mounts[c], c) for c in range(2)}
    monkeypatch.setattr(halls.localizer, "extract", lambda frame: views[frame.source])
    blank = np.zeros((camera.height, camera.width), np.uint8)
    from relpose_ros.types import Frame

    rig = RigFrame(tuple(Frame(blank, camera, 0.0, name) for name in views), mounts)
    assert halls.localizer.localize_rig(rig).reason.startswith("ambiguous")
    found = halls.localizer.localize_rig(rig, about(base.perturbed([0.3, 0, 0.2, 0, 0, 0])))
    assert found.state is State.DEGRADED and "the hint alone" in found.reason
    assert found.map_from_camera.distance_to(base)[0] < 0.05
    assert [c.inliers > 20 for c in found.cameras] == [True, True]


class TestNumbers:
    def test_a_level_camera_looks_where_yaw_points(self) -> None:
        hint = hint_from_numbers([1, 2, 3, np.pi / 2], 0.5, 10.0)
        x, y, z = hint.map_from_camera.rotation.T  # right, down, ahead
        assert np.allclose([x, y, z], [[1, 0, 0], [0, 0, -1], [0, 1, 0]])
        assert np.allclose(np.sqrt(np.diag(hint.covariance)), [0.5] * 3 + [np.deg2rad(10.0)] * 3)
        base = hint_from_numbers([1, 2, 3, np.pi / 2], 0.5, 10.0, of_camera=False)
        assert np.allclose(base.map_from_camera.rotation @ [1, 0, 0], [0, 1, 0])

    def test_a_whole_pose_is_taken_as_it_is(self) -> None:
        hint = hint_from_numbers([1, 2, 3, 0.5, -0.5, 0.5, -0.5], 0.5, 10.0)
        assert np.allclose(hint.map_from_camera.rotation_xyzw, [-0.5, 0.5, -0.5, 0.5]) or np.allclose(
            hint.map_from_camera.rotation_xyzw, [0.5, -0.5, 0.5, -0.5]
        )

    @pytest.mark.parametrize("numbers", [[], [1, 2, 3], [1, 2, 3, np.nan], [1, 2, 3, 0, 0, 0, 0]])
    def test_other_numbers_are_refused(self, numbers: list[float]) -> None:
        with pytest.raises(ValueError, match=r"expected|quaternion"):
            hint_from_numbers(numbers, 0.5, 10.0)
        with pytest.raises(ValueError, match="above 0"):
            hint_from_numbers([1, 2, 3, 4], 0.0, 10.0)


def hypothesis(pose: Rigid, metres: float = 0.05) -> Hypothesis:
    return Hypothesis(pose, np.eye(6) * metres**2, Evidence(50, 60), "structure")


class TestChiSquare:
    @pytest.mark.parametrize(("agrees", "excludes"), [(0.99, 0.9999), (0.9, 0.99)])
    def test_a_right_hint_agrees_as_often_as_it_says(self, agrees: float, excludes: float) -> None:
        generator, options = np.random.default_rng(0), HintOptions(agrees=agrees, excludes=excludes)
        covariance = np.diag([0.5, 0.2, 0.1, 0.07, 0.02, 0.3]) ** 2
        far = hypothesis(Rigid(np.eye(3), np.array([50.0, 0.0, 0.0])))
        truth = Rigid.from_rotation_vector([0.2, 0.1, 0.4], [1.0, 2.0, 3.0])
        mine = hypothesis(truth, 1e-6)
        decided = [
            Hint(truth.perturbed(e), covariance, options).decides(mine, far)
            for e in generator.multivariate_normal(np.zeros(6), covariance, 3000)
        ]
        assert np.mean(decided) == pytest.approx(agrees, abs=3 * np.sqrt(agrees * (1 - agrees) / 3000))

    def test_between_the_gates_it_says_nothing(self) -> None:
        here, options = Rigid.identity(), HintOptions()
        hint = about(here, 1.0)
        for metres, excluded in ((4.0, False), (5.2, False), (5.4, True)):
            other = hypothesis(Rigid(np.eye(3), np.array([metres, 0.0, 0.0])), 1e-6)
            assert hint.decides(hypothesis(here), other) == excluded
            assert not hint.decides(other, hypothesis(here))
        assert options.agrees < options.excludes

    def test_turned_round_is_another_place(self) -> None:
        here = hypothesis(Rigid.identity())
        behind = hypothesis(Rigid.from_rotation_vector([0, np.pi - 0.01, 0], [0, 0, 0]))
        assert about(Rigid.identity()).decides(here, behind)
        assert not about(Rigid.identity(), radians=2.0).decides(here, behind)

    def test_it_moves_with_what_is_fixed_to_the_camera(self) -> None:
        pose = Rigid.from_rotation_vector([0.3, -0.2, 0.5], [1.0, 2.0, 3.0])
        mount = Rigid.from_rotation_vector([0.1, 1.4, 0.2], [0.4, 0.1, 0.6])
        hint, other = about(pose), pose.perturbed([0.4, -0.3, 0.2, 0.1, 0.05, -0.2])
        moved = hint.seen_from(mount)
        before = nees(hint.map_from_camera.error_to(other), hint.covariance)
        after = nees(moved.map_from_camera.error_to(other @ mount), moved.covariance)
        assert after == pytest.approx(before, rel=0.2)  # to first order

    @pytest.mark.parametrize("wrong", [np.zeros((6, 6)), np.full((6, 6), np.nan), np.eye(3)])
    def test_a_covariance_that_is_none_is_refused(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match="covariance"):
            Hint(Rigid.identity(), wrong)


class TestReach:
    def reached(self, hall: Map, hint: Hint, camera: Camera) -> set[int]:
        return set(Surroundings(hall, hall.retrieval_index).within(hint, camera).tolist())

    def test_it_grows_with_the_covariance_and_looks_the_same_way(self, hall: Map, point_world: Any) -> None:
        pose, camera = hall.reference_poses[5], point_world.camera
        narrow = self.reached(hall, about(pose, 0.1, 0.02), camera)
        turned = self.reached(hall, about(pose, 0.1, 0.5), camera)
        assert 5 in narrow and narrow < turned <= set(range(len(hall)))
        assert (5 + len(hall) // 2) % len(hall) not in narrow
        assert self.reached(hall, about(pose, 0.1, 3.0), camera) == set(range(len(hall)))

    def test_far_away_nothing_is_reached_until_it_is_vague_enough(self, hall: Map, point_world: Any) -> None:
        pose, camera = UP @ hall.reference_poses[5], point_world.camera
        assert not self.reached(hall, about(pose, 1.0), camera)
        assert 5 in self.reached(hall, about(pose, 40.0), camera)

    def test_a_fisheye_sees_more(self, hall: Map, point_world: Any) -> None:
        camera = point_world.camera
        wide = Camera("equidistant", 100.0, 100.0, 159.5, 119.5, 320, 240, (0.0, 0.0, 0.0, 0.0))
        hint = about(hall.reference_poses[5], 0.1, 0.02)
        assert self.reached(hall, hint, camera) < self.reached(hall, hint, wide)


class TestSettled:
    POSE = Rigid.identity()
    NOTHING = Localization(State.UNLOCALIZED, "none of the 8")

    def found(self, state: State = State.LOCALIZED, pose: Rigid = POSE) -> Localization:
        return Localization(state, "", pose, 1e-4 * np.eye(6), 1.0)

    def test_all_of_the_map_goes_first(self) -> None:
        whole = self.found(pose=UP)
        assert settled(whole, self.found(), about(self.POSE), 0.9) is whole

    def test_near_the_hint_is_never_certain(self) -> None:
        answer = settled(self.NOTHING, self.found(), about(self.POSE), 0.8)
        assert (answer.state, answer.confidence) == (State.DEGRADED, 0.8)
        assert answer.reason == "found round the hint alone; in all of the map: none of the 8"

    def test_elsewhere_it_is_no_answer(self) -> None:
        for near in (self.found(pose=UP), replace(self.NOTHING, reason="nor here")):
            assert settled(self.NOTHING, near, about(self.POSE), 0.9) is self.NOTHING
