"""Several cameras as one query, in a hall of points where the truth is known to the last digit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from relpose_ros.errors import CameraError, ImageError, MapError
from relpose_ros.features.base import Features
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.covariance import nees, transform_pose_covariance
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.localizer import Localizer
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Frame, Localization, RigFrame, State

CHI2_6_95 = 12.592
BLANK = np.zeros((240, 320), np.uint8)
MOUNTS = Rigid.stack(
    [
        Rigid.from_rotation_vector([0, a, 0], [0.3 * np.sin(a), 0.1 * k, 0.3 * np.cos(a)])
        for k, a in enumerate((0.0, 1.5, -1.5))
    ]
)


class Fed(Localizer):
    """Is given the features that each frame shows."""

    def __init__(self, map_: Map) -> None:
        super().__init__(map_)
        self.feed: dict[str, Features] = {}

    def extract(self, frame: Frame) -> Features:
        return self.feed[frame.source]


@pytest.fixture(scope="module")
def localizer(hall: Map) -> Fed:
    return Fed(hall)


def base_pose(world: Any, k: int) -> Rigid:
    """A base between the references, off their circle, pitched and rolled a little."""
    angle = 1.03 * k + 0.1
    pose = world.pose(angle, 1.7 * np.sin(angle) + 0.2, 1.7 * np.cos(angle))
    return pose.perturbed([0, 0.1, 0, 0.03, 0.05, -0.04])


class Ride:
    """A rig's query number `k` in a world; `true` are the mounts as they are, `mounts` as they are said, and
    `sigma` (2,) how well they are known, by what is said of them."""

    def __init__(
        self,
        world: Any,
        localizer: Fed,
        k: int,
        mounts: Rigid = MOUNTS,
        true: Rigid | None = None,
        sigma: tuple[float, float] = (0.0, 0.0),
        **seen: Any,
    ) -> None:
        self.sigma = sigma
        self.world, self.localizer, self.k, self.mounts = world, localizer, k, mounts
        self.base, self.seen = base_pose(world, k), seen
        self.true = mounts if true is None else true
        self.frames = [Frame(BLANK, world.camera, 10.0, f"camera{c}") for c in range(len(mounts))]
        for c in range(len(mounts)):
            self.show(c, world)

    def show(self, camera: int, world: Any, pose: Rigid | None = None, keep: int | None = None) -> Ride:
        """What one camera sees, of which world and from where, the `keep` first features of it."""
        there = self.base @ self.true[camera] if pose is None else pose
        view = world.features(there, self.frames[camera].camera, seed=100 * self.k + camera, **self.seen)
        self.localizer.feed[f"camera{camera}"] = view[:keep]
        return self

    def rig(self, cameras: list[int] | None = None) -> RigFrame:
        chosen = list(range(len(self.frames))) if cameras is None else cameras
        sigma = np.tile(self.sigma, (len(chosen), 1))
        return RigFrame(tuple(self.frames[c] for c in chosen), self.mounts[chosen], mount_sigma=sigma)

    def answer(self, cameras: list[int] | None = None) -> Localization:
        return self.localizer.localize_rig(self.rig(cameras))

    def nees(self, answer: Localization) -> float:
        assert answer.map_from_camera is not None and answer.covariance is not None
        return nees(answer.map_from_camera.error_to(self.base), answer.covariance)


def off(answer: Localization, truth: Rigid) -> float:
    assert answer.map_from_camera is not None, answer.reason
    return float(answer.map_from_camera.distance_to(truth)[0])


def assert_same_pose(first: Localization, second: Localization, rtol: float = 1e-4) -> None:
    np.testing.assert_allclose(first.map_from_camera.matrix, second.map_from_camera.matrix, atol=1e-6)
    np.testing.assert_allclose(
        first.covariance, second.covariance, rtol=rtol, atol=rtol * np.abs(second.covariance).max()
    )


def test_all_cameras_give_one_pose_that_is_better_than_each(point_world: Any, localizer: Fed) -> None:
    common, alone = [], []
    for k in range(4):
        ride = Ride(point_world, localizer, k)
        answer = ride.answer()
        assert (answer.state, answer.method, answer.reason) == (State.LOCALIZED, "structure", "")
        assert [c.source for c in answer.cameras] == ["camera0", "camera1", "camera2"]
        assert sum(c.inliers for c in answer.cameras) == answer.inliers
        assert all(c.inliers == c.matches.inlier.sum() > 50 and not c.remark for c in answer.cameras)
        assert answer.stamp == 10.0 and answer.latency_ms["total"] > 0
        common.append(off(answer, ride.base))
        alone += [off(localizer.localize(ride.frames[c]), ride.base @ MOUNTS[c]) for c in range(3)]
    assert np.median(common) < 0.4 * np.median(alone)


def test_what_is_printed_is_the_pose_of_the_base(point_world: Any, localizer: Fed) -> None:
    read = json.loads(json.dumps(Ride(point_world, localizer, 0).answer().to_json(), allow_nan=False))
    assert "map_from_camera" not in read and len(read["map_from_base"]["translation"]) == 3
    assert [c["image"] for c in read["cameras"]] == ["camera0", "camera1", "camera2"]


def test_a_rig_of_one_is_localize_moved_to_the_base(point_world: Any, localizer: Fed) -> None:
    ride = Ride(point_world, localizer, 1)
    one, rig = localizer.localize(ride.frames[2]), ride.answer([2])
    base_from_camera = MOUNTS[2].inverse()
    expected = one.map_from_camera @ base_from_camera
    np.testing.assert_array_equal(rig.map_from_camera.matrix, expected.matrix)
    moved = transform_pose_covariance(one.covariance, one.map_from_camera, base_from_camera)
    np.testing.assert_array_equal(rig.covariance, moved)
    same = ("state", "reason", "confidence", "method", "inliers", "references")
    assert [getattr(rig, name) for name in same] == [getattr(one, name) for name in same]
    assert [(c.source, c.inliers) for c in rig.cameras] == [("camera2", one.inliers)]


def test_a_camera_that_sees_nothing_changes_nothing(point_world: Any, localizer: Fed) -> None:
    """The road over all cameras with one that sees, and `localize`, are one and the same to rounding."""
    ride = Ride(point_world, localizer, 2)
    alone = ride.answer([1])
    ride.show(0, point_world, keep=0).show(2, point_world, keep=5)
    answer = ride.answer()
    assert_same_pose(answer, alone)
    assert answer.inliers == alone.inliers and answer.confidence == pytest.approx(alone.confidence)
    assert "only 0 features" in answer.cameras[0].remark and "only 5" in answer.cameras[2].remark
    assert answer.cameras[1].inliers == answer.inliers


def test_a_camera_in_another_world_changes_nothing(
    point_world: Any, other_point_world: Any, localizer: Fed
) -> None:
    ride = Ride(point_world, localizer, 3)
    two = ride.answer([0, 2])
    answer = ride.show(1, other_point_world).answer()
    assert answer.state is State.LOCALIZED
    assert off(answer, ride.base) < 0.005 and off(answer, two.map_from_camera) < 0.002
    assert answer.cameras[1].inliers <= 3


def test_where_no_camera_sees_anything_each_says_why(point_world: Any, localizer: Fed) -> None:
    ride = Ride(point_world, localizer, 0)
    for camera in range(3):
        ride.show(camera, point_world, keep=camera)
    answer = ride.answer()
    assert answer.state is State.UNLOCALIZED and not answer.has_pose and answer.covariance is None
    for camera in range(3):
        assert f"camera{camera}: only {camera} features" in answer.reason


def test_cameras_in_another_world_are_not_localized(
    point_world: Any, other_point_world: Any, localizer: Fed
) -> None:
    ride = Ride(point_world, localizer, 0)
    for camera in range(3):
        ride.show(camera, other_point_world)
    answer = ride.answer()
    assert answer.state is State.UNLOCALIZED and answer.reason


def test_cameras_that_see_too_little_alone_suffice_together(point_world: Any, localizer: Fed) -> None:
    found = 0
    for k in range(4):
        ride = Ride(point_world, localizer, k, clutter=0)
        for camera in range(3):
            ride.show(camera, point_world, keep=20)
        alone = [localizer.localize(frame) for frame in ride.frames]
        assert all(a.state is not State.LOCALIZED for a in alone)
        answer = ride.answer()
        if answer.has_pose:
            found += 1
            assert off(answer, ride.base) < 0.03 and answer.inliers > max(a.inliers for a in alone)
    assert found >= 3


def test_the_choice_of_the_base_does_not_matter(point_world: Any, localizer: Fed) -> None:
    """Another frame that is fixed to the cameras: the same answer, moved there with its covariance."""
    ride = Ride(point_world, localizer, 1)
    base_from_other = Rigid.from_rotation_vector([0.4, -0.8, 1.1], [2.0, -1.0, 0.5])
    first = ride.answer()
    ride.mounts = base_from_other.inverse() @ MOUNTS
    other = ride.answer()
    moved = transform_pose_covariance(first.covariance, first.map_from_camera, base_from_other)
    expected = replace(first, map_from_camera=first.map_from_camera @ base_from_other, covariance=moved)
    assert_same_pose(other, expected, rtol=1e-3)


def test_the_order_of_the_cameras_does_not_matter(point_world: Any, localizer: Fed) -> None:
    ride = Ride(point_world, localizer, 2)
    first, other = ride.answer(), ride.answer([2, 0, 1])
    assert off(other, first.map_from_camera) < 1e-4
    assert [c.source for c in other.cameras] == ["camera2", "camera0", "camera1"]


def test_the_same_rig_gives_the_same_answer_to_the_bit(point_world: Any, localizer: Fed, hall: Map) -> None:
    ride = Ride(point_world, localizer, 3)
    first, again = ride.answer(), ride.answer()
    other = Fed(hall)
    other.feed = localizer.feed
    for second in (again, other.localize_rig(ride.rig())):
        np.testing.assert_array_equal(first.map_from_camera.matrix, second.map_from_camera.matrix)
        np.testing.assert_array_equal(first.covariance, second.covariance)
        assert (first.inliers, first.confidence) == (second.inliers, second.confidence)


def test_cameras_with_other_lenses_and_sizes(point_world: Any, localizer: Fed) -> None:
    ride = Ride(point_world, localizer, 1)
    lenses = [
        Camera("equidistant", 120.0, 121.0, 159.0, 119.0, 320, 240, (0.02, -0.01, 0.0, 0.0)),
        Camera("plumb_bob", 480.0, 478.0, 321.0, 241.0, 640, 480, (-0.2, 0.05, 0.001, -0.001)),
    ]
    for camera, lens in enumerate(lenses):
        image = np.zeros((lens.height, lens.width), np.uint8)
        ride.frames[camera] = Frame(image, lens, 10.0, f"camera{camera}")
        ride.show(camera, point_world)
    answer = ride.answer()
    assert answer.state is State.LOCALIZED and off(answer, ride.base) < 0.006
    assert all(c.inliers > 40 for c in answer.cameras)


# The covariance of the base.


def test_raw_covariance_is_of_the_right_size(point_world: Any, localizer: Fed) -> None:
    """What calibration starts from, as of one camera: within a factor of a few."""
    road, values = localizer._rig.roads, []
    for k in range(12):
        ride = Ride(point_world, localizer, k)
        looks = [localizer._look(frame) for frame in ride.frames]
        queries, neighbours = [x.query for x in looks], [x.neighbours for x in looks]
        told, common = road.hypotheses(queries, neighbours, ride.rig().mounts)
        assert common is not None and told[0].common
        pose, covariance = common.found.map_from_camera, common.found.covariance
        values.append(nees(pose.error_to(ride.base @ MOUNTS[common.lead]), covariance))
    assert 0.3 < np.median(values) < 30


def covered(
    world: Any, localizer: Fed, degrees: float, stated: bool, cameras: list[int] | None = None
) -> list[bool]:
    """Of 14 queries that were localized: is the pose where its covariance says?

    Each mount is turned from what it is said to be (one sigma), and moved, by as many cm.
    """
    inside, sigma = [], (0.01 * degrees, float(np.deg2rad(degrees)))
    for k in range(14):
        noise = np.random.default_rng(k).normal(0, np.repeat(sigma, 3), (3, 6))
        true = Rigid.stack([MOUNTS[c].perturbed(noise[c]) for c in range(3)])
        ride = Ride(world, localizer, k, true=true, sigma=sigma if stated else (0.0, 0.0))
        answer = ride.answer(cameras)
        if answer.has_pose:
            inside.append(ride.nees(answer) < CHI2_6_95)
    return inside


@pytest.mark.parametrize(("degrees", "least", "share"), [(0.0, 14, 0.93), (0.15, 13, 0.9), (0.4, 6, 0.75)])
def test_poses_lie_where_the_covariance_says(
    point_world: Any, localizer: Fed, degrees: float, least: int, share: float
) -> None:
    """Also where mounts are off that are said to be exact, as far as residuals show it."""
    inside = covered(point_world, localizer, degrees, stated=False)
    assert len(inside) >= least and np.mean(inside) >= share


@pytest.mark.parametrize(("degrees", "cameras"), [(0.4, None), (1.0, None), (1.0, [0, 2]), (1.0, [1])])
def test_with_mounts_that_are_off_as_stated_poses_lie_where_the_covariance_says(
    point_world: Any, localizer: Fed, degrees: float, cameras: list[int] | None
) -> None:
    """And none is refused for it. 12 of 14 is the lower bound of 95 %, at 97 %: fewer would be too few."""
    inside = covered(point_world, localizer, degrees, stated=True, cameras=cameras)
    assert len(inside) == 14 and sum(inside) >= 12


def test_what_mounts_add_is_not_scaled_by_the_calibration(point_world: Any, hall: Map) -> None:
    """Whatever the calibrated covariance of exact mounts, the part of uncertain ones is the same."""
    ride = Ride(point_world, Fed(hall), 2)
    parts = []
    for scale in (4.0, 40.0):
        ride.localizer = Fed(replace(hall, calibration=Calibration(scale=scale).to_dict()))
        for c in range(3):
            ride.show(c, point_world)
        found = []
        for ride.sigma in ((0.0, 0.0), (0.01, 0.01)):
            covariance = ride.answer().covariance
            assert covariance is not None
            found.append(covariance)
        parts.append(found[1] - found[0])
        assert found[0][0, 0] > 0
    assert np.diag(parts[0]).min() > 1e-6
    np.testing.assert_allclose(parts[1], parts[0], rtol=1e-6, atol=1e-12)


def test_a_road_of_one_camera_alone_takes_its_mount_along(bare_hall: Map, point_world: Any) -> None:
    ride = Ride(point_world, Fed(bare_hall), 1)
    exact = ride.answer()
    ride.sigma = (0.01, 0.01)
    answer = ride.answer()
    assert answer.method == exact.method == "relative" and answer.map_from_camera is not None
    camera = next(c for c, share in enumerate(answer.cameras) if share.inliers)
    camera_from_base = MOUNTS[camera].inverse()
    mount = np.diag(np.repeat(np.square(ride.sigma), 3))
    there = answer.map_from_camera @ MOUNTS[camera]
    added = transform_pose_covariance(mount, there, camera_from_base)
    np.testing.assert_allclose(answer.covariance - exact.covariance, added, rtol=1e-6, atol=1e-12)


def test_cameras_that_differ_by_what_mounts_may_be_off_do_not_disagree(
    point_world: Any, localizer: Fed
) -> None:
    """Of two cameras neither is right where mounts are exact, and far beyond what they may be off."""
    ride = Ride(point_world, localizer, 0, true=knocked(0.02))
    assert ride.answer([0, 1]).state is State.UNLOCALIZED
    ride.sigma = (0.0, 0.02)
    answer = ride.answer([0, 1])
    assert answer.state is State.LOCALIZED and ride.nees(answer) < CHI2_6_95
    ride.sigma = (0.0, 0.002)
    answer = ride.answer([0, 1])
    assert answer.state is State.UNLOCALIZED and "disagrees" in answer.reason


# Cameras that disagree.


def knocked(turn: float, camera: int = 1) -> Rigid:
    mounts = [MOUNTS[c] for c in range(3)]
    mounts[camera] = mounts[camera].perturbed([0, 0, 0, 0, turn, 0])
    return Rigid.stack(mounts)


@pytest.mark.parametrize("turn", [0.02, 0.1, -0.2])
def test_a_knocked_mount_is_outvoted_by_two_that_agree(point_world: Any, localizer: Fed, turn: float) -> None:
    """A pose between theirs would satisfy the pixels of two of three cameras, and be off by decimetres."""
    for k in range(2):
        ride = Ride(point_world, localizer, k, true=knocked(turn))
        answer = ride.answer()
        assert answer.state is State.LOCALIZED, answer.reason
        assert off(answer, ride.base) < 0.006 and ride.nees(answer) < CHI2_6_95
        assert [bool(c.remark) for c in answer.cameras] == [False, True, False]
        assert answer.cameras[1].remark.startswith("disagrees: by its own ")
        told = float(answer.cameras[1].remark.split(" map units and ")[1].split(" deg")[0])
        assert told == pytest.approx(np.rad2deg(abs(turn)), rel=0.08)


@pytest.mark.parametrize("turn", [0.02, 0.1, 1.0])
def test_of_two_cameras_that_disagree_nobody_knows_which_is_right(
    point_world: Any, localizer: Fed, turn: float
) -> None:
    for k in range(2):
        answer = Ride(point_world, localizer, k, true=knocked(turn)).answer([0, 1])
        assert answer.state is State.UNLOCALIZED and not answer.has_pose
        assert "ambiguous" in answer.reason and "disagrees" in answer.reason


def test_a_weak_camera_that_disagrees_does_not_spoil_a_strong_one(point_world: Any, localizer: Fed) -> None:
    ride = Ride(point_world, localizer, 1, true=knocked(0.3), clutter=0).show(1, point_world, keep=70)
    answer = ride.answer([0, 1])
    assert answer.has_pose and off(answer, ride.base) < 0.03
    assert "disagrees" in answer.cameras[1].remark


# Places that look alike, and roads without landmarks.


class Twins:
    """Stands in for the search of look-alike places: some cameras cannot tell."""

    def __init__(self, roads: Any, doubting: list[Rigid]) -> None:
        self.judge, self.doubting = roads.among_twins, doubting

    def __call__(self, query: Any, places: Any, found: list[Any]) -> list[Any]:
        mine = found[0].map_from_camera
        unsure = any(
            mine.distance_to(pose)[0] < 0.1 and mine.distance_to(pose)[1] < 0.1 for pose in self.doubting
        )
        if not unsure:
            return found
        evidence = replace(found[0].evidence, rival_place="r99", rival_inliers=found[0].evidence.inliers)
        there = replace(found[0], map_from_camera=mine.perturbed([5, 0, 0, 0, 0, 0]), references=("r99",))
        return [replace(found[0], evidence=evidence), there]


@pytest.mark.parametrize(("unsure", "known"), [([0], True), ([0, 1], True), ([0, 1, 2], False)])
def test_one_camera_that_can_tell_places_apart_decides(
    point_world: Any, hall: Map, monkeypatch: pytest.MonkeyPatch, unsure: list[int], known: bool
) -> None:
    localizer = Fed(hall)
    ride = Ride(point_world, localizer, 0)
    roads = localizer._roads
    monkeypatch.setattr(roads, "has_twins", lambda neighbours: True)
    monkeypatch.setattr(roads, "among_twins", Twins(roads, [ride.base @ MOUNTS[c] for c in unsure]))
    answer = ride.answer()
    assert answer.has_pose is known
    if known:
        assert off(answer, ride.base) < 0.005
    else:
        assert "r99, which looks alike" in answer.reason and len(answer.alternatives) == 2
        near, far = sorted(off_by(a.map_from_camera, ride.base) for a in answer.alternatives)
        assert near < 0.01 and far == pytest.approx(5, abs=0.02)


def off_by(pose: Rigid, truth: Rigid) -> float:
    return float(pose.distance_to(truth)[0])


def test_without_landmarks_one_camera_answers(bare_hall: Map, point_world: Any) -> None:
    localizer = Fed(bare_hall)
    ride = Ride(point_world, localizer, 1).show(0, point_world, keep=5)
    answer = ride.answer()
    assert answer.method == "relative" and off(answer, ride.base) < 0.04
    assert ride.nees(answer) < CHI2_6_95
    (mine,) = [c for c in answer.cameras if c.inliers]
    assert mine.inliers == answer.inliers
    remarks = [c.remark for c in answer.cameras if c is not mine]
    assert "only 5 features" in remarks[0] and f"that of {mine.source} alone, by relative" in remarks[1]


def test_without_landmarks_cameras_must_not_contradict_each_other(bare_hall: Map, point_world: Any) -> None:
    localizer = Fed(bare_hall)
    ride = Ride(point_world, localizer, 1)
    ride.show(1, point_world, base_pose(point_world, 4) @ MOUNTS[1])
    answer = ride.answer([0, 1])
    assert answer.state is State.UNLOCALIZED and "ambiguous" in answer.reason


# What a rig must be.


def test_a_rig_is_refused_that_is_none(point_world: Any) -> None:
    frames = tuple(Frame(BLANK, point_world.camera, stamp, f"{stamp}") for stamp in (1.0, 1.009, 1.05))
    assert RigFrame(frames[:2], MOUNTS[:2]).stamp == 1.0
    with pytest.raises(ImageError, match=r"0\.05 s apart, the tolerance is 0\.01 s"):
        RigFrame(frames, MOUNTS)
    assert RigFrame(frames, MOUNTS, tolerance=0.1).names == ("1.0", "1.009", "1.05")
    with pytest.raises(CameraError, match="got 2 frames and mounts"):
        RigFrame(frames[:2], MOUNTS)
    for wrong in ([[0.1, 0.1]], [[0.0, 0.0], [0.1, -0.1]], [[0.0, 0.0], [np.nan, 0.1]]):
        with pytest.raises(CameraError, match="standard deviations of each mount"):
            RigFrame(frames[:2], MOUNTS[:2], mount_sigma=np.array(wrong))
    with pytest.raises(CameraError, match="got 0 frames"):
        RigFrame((), MOUNTS[[]])
    bent = Rigid(2 * MOUNTS.rotation[:2], MOUNTS.translation[:2])
    mirrored = Rigid(-MOUNTS.rotation[:2], MOUNTS.translation[:2])
    nowhere = Rigid(MOUNTS.rotation[:2], np.full((2, 3), np.nan))
    for mounts in (bent, mirrored, nowhere):
        with pytest.raises(CameraError, match="rotation matrices"):
            RigFrame(frames[:2], mounts)


@pytest.mark.parametrize("cameras", [[0], [0, 1, 2]])
def test_mounts_in_metres_are_refused_in_a_map_without_scale(
    hall: Map, point_world: Any, cameras: list[int]
) -> None:
    """In its units a lever arm is any length: the pose of the base would be wrong, and certain."""
    with pytest.raises(MapError, match=r"hall.*mounts are in metres, this map has no scale"):
        Ride(point_world, Fed(replace(hall, metric=False)), 1).answer(cameras)


def test_cameras_at_the_base_need_no_scale(hall: Map, point_world: Any) -> None:
    turned = Rigid(MOUNTS.rotation, np.zeros((3, 3)))
    ride = Ride(point_world, Fed(replace(hall, metric=False)), 1, turned)
    assert off(ride.answer(), ride.base) < 0.02
    assert off(ride.answer([2]), ride.base) < 0.02


@pytest.mark.parametrize("stamp", [np.nan, np.inf])
def test_a_stamp_that_is_no_time_is_refused(point_world: Any, stamp: float) -> None:
    frames = tuple(Frame(BLANK, point_world.camera, s) for s in (1.0, stamp))
    with pytest.raises(ImageError, match="apart"):
        RigFrame(frames, MOUNTS[:2])
