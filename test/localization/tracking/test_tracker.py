"""What becomes of fixes, jumps, hints and kidnappings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.arbiter import ArbiterOptions
from relpose_ros.localization.tracking import Fix, Kind, PoseTracker, TrackerOptions
from relpose_ros.types import State

SHARP = np.diag(np.repeat([0.02**2, 0.005**2], 3))
ONE = TrackerOptions(min_consistent_fixes=1)


def at(x: float, y: float = 0.0, yaw: float = 0.0) -> Rigid:
    return Rigid.from_rotation_vector([0, 0, yaw], [x, y, 0])


MAP_FROM_ODOM = at(5.0, -2.0, 0.7)


def rolling(options: TrackerOptions = ONE, until: float = 1.0, speed: float = 1.0) -> PoseTracker:
    """A tracker after odometry of a straight drive along x, 20 samples a second from 0 s."""
    tracker = PoseTracker(options)
    drive(tracker, 0.0, until, speed)
    return tracker


def drive(tracker: PoseTracker, start: float, end: float, speed: float = 1.0) -> None:
    for stamp in np.linspace(start, end, round((end - start) * 20) + 1):
        tracker.odometry(float(stamp), at(speed * stamp))


def fix(stamp: float, y: float = 0.0, state: State = State.LOCALIZED, speed: float = 1.0) -> Fix:
    """What a camera sees then; with `y` it is beside the way by that much."""
    return Fix(stamp, MAP_FROM_ODOM @ at(speed * stamp, y), SHARP, 0.9, state)


def test_nothing_is_known_before_the_first_fix():
    tracker = rolling()
    assert tracker.map_from_odom is None and tracker.pose(1.0) is None
    assert "no fix yet" in tracker.missing(1.0)


def test_the_first_fix_ties_the_map_to_odometry():
    tracker = rolling()
    assert tracker.fix(fix(0.5)).kind is Kind.FIRST
    np.testing.assert_allclose(tracker.map_from_odom.matrix, MAP_FROM_ODOM.matrix, atol=1e-9)
    pose = tracker.pose(1.0)
    np.testing.assert_allclose(pose.map_from_base.matrix, (MAP_FROM_ODOM @ at(1.0)).matrix, atol=1e-9)
    assert (pose.age, pose.state, pose.reason) == (0.5, State.LOCALIZED, "")
    assert tracker.missing(1.0) == "" and "behind" in tracker.missing(2.0) and tracker.pose(2.0) is None


def test_uncertainty_grows_until_the_next_fix():
    tracker = rolling(until=4.0)
    tracker.fix(fix(1.0))
    sizes = [np.trace(tracker.pose(s).covariance) for s in (1.0, 2.0, 3.0, 4.0)]
    assert sizes == sorted(sizes) and sizes[-1] > 2 * sizes[0]
    assert tracker.fix(fix(4.0)).kind is Kind.ACCEPTED
    assert np.trace(tracker.pose(4.0).covariance) <= np.trace(SHARP)


def test_several_fixes_that_agree_are_needed_where_so_set():
    tracker = rolling(TrackerOptions(min_consistent_fixes=3))
    assert [tracker.fix(fix(s)).kind for s in (0.1, 0.2)] == [Kind.PENDING] * 2
    assert "2 of 3" in tracker.missing(1.0) and tracker.map_from_odom is None
    assert tracker.fix(fix(0.3)).kind is Kind.FIRST


def test_one_glance_starts_no_track():
    tracker = rolling(TrackerOptions(min_consistent_fixes=2))
    assert {tracker.fix(fix(0.3 + 0.033 * i)).kind for i in range(6)} == {Kind.PENDING}
    assert "6 of 2" in tracker.missing(1.0) and "0.17 of 0.2 s" in tracker.missing(1.0)
    assert tracker.fix(fix(0.5)).kind is Kind.FIRST
    at_once = rolling(TrackerOptions(min_consistent_fixes=2, start_seconds=0.0))
    assert [at_once.fix(fix(s)).kind for s in (0.3, 0.333)] == [Kind.PENDING, Kind.FIRST]


def test_a_wrong_fix_among_the_first_does_no_harm():
    tracker = rolling(TrackerOptions(min_consistent_fixes=3))
    kinds = [tracker.fix(fix(s, y)).kind for s, y in [(0.1, 0), (0.2, 4), (0.3, 0), (0.4, -4), (0.5, 0)]]
    assert kinds == [Kind.PENDING] * 4 + [Kind.FIRST]
    assert tracker.pose(1.0).map_from_base.distance_to(MAP_FROM_ODOM @ at(1.0))[0] < 1e-6


def test_an_outlier_is_not_used_but_widens_what_is_claimed():
    tracker = rolling()
    tracker.fix(fix(0.1))
    before = tracker.map_from_odom
    decision = tracker.fix(fix(0.5, y=3.0))
    assert decision.kind is Kind.GATED and decision.mahalanobis > 5 and not decision.used
    assert "1 of 5" in decision.reason and decision.jump == (0.0, 0.0)
    np.testing.assert_array_equal(tracker.map_from_odom.matrix, before.matrix)
    pose = tracker.pose(0.5)
    assert pose.state is State.DEGRADED and "disagrees" in pose.reason
    assert np.linalg.eigvalsh(pose.covariance[:3, :3])[-1] ** 0.5 > 1.0  # a third of the 3 m
    assert tracker.fix(fix(0.6)).kind is Kind.ACCEPTED
    assert tracker.pose(1.0).state is State.LOCALIZED


def look_alikes(stamp: float, *sides: float) -> list[Fix]:
    """Places beside the way that look alike."""
    return [fix(stamp, y) for y in sides]


def test_places_that_look_alike_without_the_tracks_own_widen_what_is_claimed():
    tracker = rolling(until=4.0)
    tracker.fix(fix(0.1))
    before = tracker.map_from_odom
    decision = tracker.ambiguous(look_alikes(0.5, 3.0, -6.0))
    assert decision.kind is Kind.AMBIGUOUS and not decision.used and "nearest of 2 places" in decision.reason
    pose = tracker.pose(0.5)
    assert pose.state is State.DEGRADED and "an ambiguous one, disagrees with the track" in pose.reason
    assert np.linalg.eigvalsh(pose.covariance[:3, :3])[-1] ** 0.5 > 1.0  # a third of the 3 m
    for i in range(20):
        tracker.ambiguous(look_alikes(1.0 + 0.1 * i, 3.0, -6.0))
    np.testing.assert_array_equal(tracker.map_from_odom.matrix, before.matrix, "none of them is followed")
    assert np.linalg.eigvalsh(tracker.pose(3.0).covariance[:3, :3])[-1] ** 0.5 > 2.9
    assert "21 ambiguous images disagree" in tracker.pose(3.0).reason
    assert tracker.fix(fix(3.0)).kind is Kind.ACCEPTED
    assert tracker.pose(3.0).state is State.LOCALIZED


def test_places_that_look_alike_one_of_which_is_the_tracks_are_no_news():
    tracker = rolling()
    tracker.fix(fix(0.1))
    claimed = tracker.pose(0.5).covariance
    tracker.ambiguous(look_alikes(0.4, 3.0))
    decision = tracker.ambiguous(look_alikes(0.5, 3.0, 0.01, -3.0))
    assert "the track's is one of 3 places" in decision.reason
    assert tracker.pose(0.5).state is State.LOCALIZED
    np.testing.assert_array_equal(tracker.pose(0.5).covariance, claimed)


def test_places_that_look_alike_start_nothing_and_bear_jumps_of_odometry():
    tracker = rolling(until=3.0)
    assert tracker.ambiguous(look_alikes(0.5, 0.0, 3.0)).kind is Kind.AMBIGUOUS
    assert tracker.pose(0.5) is None and "no fix yet" in tracker.missing(0.5)
    assert tracker.ambiguous(look_alikes(9.0, 0.0, 3.0)).kind is Kind.NO_ODOMETRY
    tracker.fix(fix(2.5))
    tracker.ambiguous(look_alikes(3.0, 3.0, 6.0))
    tracker.odometry(3.05, at(1000.0))
    assert tracker.pose(3.05).state is not State.LOCALIZED
    for stamp in np.arange(3.1, 30.0, 0.1):
        tracker.odometry(float(stamp), at(1000.0))
    assert tracker.pose(29.0).state is not State.LOCALIZED


def test_consistent_disagreement_is_a_kidnapping():
    tracker = rolling(until=3.0)
    tracker.fix(fix(0.1))
    decisions = [tracker.fix(fix(1.0 + 0.2 * i, y=3.0)) for i in range(5)]
    assert [d.kind for d in decisions] == [Kind.GATED] * 4 + [Kind.KIDNAPPED]
    assert decisions[-1].jump[0] == pytest.approx(3.0, abs=0.05)
    assert tracker.pose(2.0).map_from_base.distance_to(MAP_FROM_ODOM @ at(2.0, 3.0))[0] < 1e-6
    assert tracker.pose(2.0).state is State.LOCALIZED


def test_disagreement_that_does_not_agree_with_itself_is_not_followed():
    tracker = rolling(until=4.0)
    tracker.fix(fix(0.1))
    kinds = {tracker.fix(fix(1.0 + 0.1 * i, y=3.0 + i)).kind for i in range(20)}
    assert kinds == {Kind.GATED}


def test_one_glance_is_no_kidnapping():
    tracker = rolling(replace(ONE, kidnap_seconds=0.5))
    tracker.fix(fix(0.1))
    assert {tracker.fix(fix(0.5 + 0.02 * i, y=3.0)).kind for i in range(10)} == {Kind.GATED}


def test_a_fix_that_agrees_again_ends_the_suspicion():
    tracker = rolling(until=4.0)
    tracker.fix(fix(0.1))
    for i in range(4):
        tracker.fix(fix(1.0 + 0.2 * i, y=3.0))
    tracker.fix(fix(1.9))
    assert tracker.fix(fix(2.0, y=3.0)).kind is Kind.GATED


@pytest.mark.parametrize("stamp", [0.4, 1.0])
def test_a_late_fix_counts_at_its_own_time(stamp: float):
    tracker = rolling(until=2.0)
    tracker.fix(fix(1.0))
    assert tracker.fix(fix(stamp)).kind is Kind.ACCEPTED
    pose = tracker.pose(2.0)
    assert pose.map_from_base.distance_to(MAP_FROM_ODOM @ at(2.0))[0] < 1e-6 and pose.age == 1.0
    assert tracker.fix(fix(0.4, y=3.0)).kind is Kind.GATED


def test_stamps_that_odometry_does_not_cover():
    tracker = rolling(replace(ONE, buffer_seconds=2.0), until=5.0)
    assert tracker.fix(fix(5.5)).kind is Kind.NO_ODOMETRY
    stale = tracker.fix(fix(1.0))
    assert stale.kind is Kind.STALE and "reaches back to 3.000" in stale.reason
    assert PoseTracker().fix(fix(0.0)).kind is Kind.NO_ODOMETRY


def test_degraded_fixes_refine_a_track_but_neither_start_nor_move_one():
    tracker = rolling(until=4.0)
    assert tracker.fix(fix(0.1, state=State.DEGRADED)).kind is Kind.PENDING
    tracker.fix(fix(0.2))
    assert tracker.fix(fix(0.3, state=State.DEGRADED)).kind is Kind.ACCEPTED
    kinds = {tracker.fix(fix(0.5 + 0.2 * i, y=3.0, state=State.DEGRADED)).kind for i in range(10)}
    assert kinds == {Kind.GATED}
    willing = rolling(replace(ONE, use_degraded=True))
    assert willing.fix(fix(0.1, state=State.DEGRADED)).kind is Kind.FIRST


def test_a_hint_is_not_published_but_lets_one_fix_do():
    tracker = rolling(TrackerOptions(min_consistent_fixes=3), until=4.0)
    wide = np.diag(np.repeat([0.5**2, 0.3**2], 3))
    tracker.initial(MAP_FROM_ODOM @ at(0.3, 0.5), wide, 0.0)
    assert tracker.map_from_odom is None and "initial pose" in tracker.missing(1.0)
    carried, covariance = tracker.prior
    assert carried.distance_to(MAP_FROM_ODOM @ at(4.3, 0.5))[0] < 1e-6
    assert np.trace(covariance) > np.trace(wide)
    assert tracker.fix(fix(0.5, y=9.0)).kind is Kind.REJECTED_BY_PRIOR
    assert tracker.fix(fix(0.6)).kind is Kind.FIRST and tracker.prior is None


def test_what_stands_by_a_hint_and_degraded_fixes_is_degraded_until_one_is_not():
    """The hint may have made the fix that agrees with it."""
    tracker = rolling(until=4.0)
    tracker.initial(MAP_FROM_ODOM @ at(0.3), np.diag(np.repeat([0.5**2, 0.3**2], 3)), 0.0)
    assert tracker.fix(fix(0.5, state=State.DEGRADED)).kind is Kind.FIRST
    assert tracker.fix(fix(0.7, state=State.DEGRADED)).kind is Kind.ACCEPTED
    pose = tracker.pose(1.0)
    assert pose.state is State.DEGRADED and "initial pose" in pose.reason
    assert tracker.fix(fix(0.9)).kind is Kind.ACCEPTED
    assert tracker.pose(1.0).state is State.LOCALIZED


@pytest.mark.parametrize("use_degraded", [False, True])
def test_what_stands_by_a_hint_covers_that_the_hint_may_be_wrong(use_degraded: bool):
    """As often as one in ten it is; the base is then metres away, whatever the fixes claim."""
    tracker = rolling(replace(ONE, use_degraded=use_degraded), until=4.0)
    tracker.initial(MAP_FROM_ODOM @ at(0.3), np.diag(np.repeat([0.5**2, 0.3**2], 3)), 0.0)
    for stamp in np.arange(0.5, 3.0, 0.1):
        assert tracker.fix(fix(stamp, state=State.DEGRADED)).used
        pose = tracker.pose(stamp)
        assert pose.by_hint and pose.state is State.DEGRADED and "initial pose" in pose.reason
        assert np.sqrt(np.linalg.eigvalsh(pose.covariance[:3, :3])[0]) > 5.0 / 4
    assert tracker.fix(fix(3.0, y=0.5, state=State.DEGRADED)).kind is Kind.GATED, "the gate is as it was"
    assert tracker.fix(fix(3.1)).kind is Kind.ACCEPTED
    pose = tracker.pose(3.1)
    assert not pose.by_hint and pose.state is State.LOCALIZED
    assert np.trace(pose.covariance) <= np.trace(SHARP)


def test_both_reasons_are_given_where_a_hint_is_contradicted():
    tracker = rolling(until=4.0)
    tracker.initial(MAP_FROM_ODOM @ at(0.3), np.diag(np.repeat([0.5**2, 0.3**2], 3)), 0.0)
    tracker.fix(fix(0.5, state=State.DEGRADED))
    tracker.fix(fix(0.6, y=7.0))
    pose = tracker.pose(0.6)
    assert pose.state is State.DEGRADED and "initial pose" in pose.reason and "disagrees" in pose.reason


def test_a_hint_is_trusted_as_far_as_the_localizer_trusts_it():
    assert TrackerOptions().hint_trust == ArbiterOptions().hint_trust


def test_a_wrong_hint_is_overcome():
    tracker = rolling(until=4.0)
    tracker.initial(at(50.0), SHARP, 0.0)
    kinds = [tracker.fix(fix(0.5 + 0.2 * i)).kind for i in range(5)]
    assert kinds == [Kind.REJECTED_BY_PRIOR] * 4 + [Kind.KIDNAPPED]


def test_a_hint_may_come_before_odometry_and_ends_a_track():
    tracker = PoseTracker(ONE)
    tracker.initial(MAP_FROM_ODOM, SHARP, 1e9)
    assert tracker.prior[0].distance_to(MAP_FROM_ODOM)[0] == 0.0
    drive(tracker, 0.0, 1.0)
    assert tracker.fix(fix(0.5)).kind is Kind.FIRST
    tracker.initial(at(0.0), SHARP, 0.5)
    assert tracker.map_from_odom is None


def test_time_that_jumps_back_starts_anew():
    tracker = rolling(until=5.0)
    tracker.fix(fix(4.0))
    drive(tracker, 0.0, 1.0)
    assert tracker.map_from_odom is None
    assert "back by 5.00 s" in tracker.take_events()[0] and tracker.take_events() == []
    assert tracker.fix(fix(0.5)).kind is Kind.FIRST


def test_odometry_that_starts_anew_keeps_the_place_but_not_the_certainty():
    tracker = rolling(until=5.0)
    tracker.fix(fix(5.0))
    tracker.odometry(5.05, at(0.0))
    pose = tracker.pose(5.05)
    assert pose.map_from_base.distance_to(MAP_FROM_ODOM @ at(5.0))[0] < 1e-6
    assert pose.covariance[0, 0] ** 0.5 == pytest.approx(20 * 0.05, rel=0.05)
    assert "jumped by 5.00 m" in tracker.take_events()[0]
    tracker.odometry(5.1, at(0.05))
    corrected = tracker.fix(Fix(5.1, MAP_FROM_ODOM @ at(5.1), SHARP))
    assert corrected.kind is Kind.ACCEPTED and tracker.pose(5.1).state is State.LOCALIZED


def test_odometry_that_is_back_after_a_gap_may_have_begun_anew():
    """A driver that was restarted after 2 s says zero, as if the robot had driven back."""
    tracker = rolling(until=3.0)
    tracker.fix(fix(3.0))
    tracker.odometry(5.0, at(0.0))
    pose = tracker.pose(5.0)
    error = pose.map_from_base.distance_to(MAP_FROM_ODOM @ at(3.0))[0]
    assert pose.state is State.DEGRADED
    assert np.sqrt(np.linalg.eigvalsh(pose.covariance[:3, :3])[-1]) > error / 2
    assert tracker.fix(Fix(5.0, MAP_FROM_ODOM @ at(3.0), SHARP)).kind is Kind.ACCEPTED
    assert tracker.pose(5.0).state is State.LOCALIZED
    still = rolling(until=3.0, speed=0.0)
    still.fix(fix(3.0, speed=0.0))
    still.odometry(5.0, at(0.0))
    assert still.pose(5.0).state is State.LOCALIZED, "it stood still, whatever happened to the driver"


def test_a_sample_of_before_a_reset_that_comes_late_spoils_nothing():
    tracker = rolling(until=5.0)
    tracker.fix(fix(5.0))
    tracker.odometry(5.1, at(0.0))
    tracker.odometry(5.08, at(5.08))
    assert "does not fit" in tracker.take_events()[-1]
    assert not tracker.fix(fix(5.09)).used, "between the two there is no pose of odometry"


def test_without_fixes_the_pose_degrades_and_is_lost():
    options = replace(ONE, degraded_seconds=3.0, lost_metres=0.5)
    tracker = rolling(options, until=2.0)
    tracker.fix(fix(1.0))
    drive(tracker, 2.0, 10.0)
    assert "s since the last fix" in tracker.pose(6.0).reason and tracker.pose(6.0).state is State.DEGRADED
    drive(tracker, 10.0, 40.0)
    pose = tracker.pose(40.0)
    assert pose.state is State.UNLOCALIZED and "one standard deviation" in pose.reason
    last = tracker.map_from_odom
    assert tracker.fix(Fix(39.9, at(500.0), SHARP, state=State.DEGRADED)).kind is Kind.PENDING
    np.testing.assert_array_equal(tracker.map_from_odom.matrix, last.matrix)
    assert tracker.pose(40.0) is None
    assert tracker.fix(fix(40.0, y=30.0)).kind is Kind.FIRST
    assert "lost" in tracker.take_events()[0]


def test_numbers_that_are_none_are_ignored_and_said():
    tracker = rolling()
    for stamp, pose in [(np.nan, at(0.0)), (1.05, at(np.inf))] * 5:
        tracker.odometry(stamp, pose)
    assert len(tracker.take_events()) == 1 and tracker.fix(fix(0.5)).kind is Kind.FIRST


def test_memory_is_bounded():
    tracker = rolling(replace(ONE, buffer_seconds=2.0), until=30.0)
    for index in range(60):
        tracker.fix(fix(28.5 + index / 50, y=float(index % 3)))
    assert len(tracker._odometry) <= 2.0 * 20 + 2
    assert len(tracker._challengers._tracks) <= 1 and len(tracker._track.fixed) <= 32


def test_reset_forgets_everything():
    tracker = rolling()
    tracker.fix(fix(0.5))
    tracker.reset("asked to")
    assert tracker.map_from_odom is None and "no fix yet" in tracker.missing(1.0)
    assert tracker.take_events() == ["tracking starts anew: asked to"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": State.UNLOCALIZED},
        {"stamp": np.nan},
        {"covariance": np.diag([1, 1, 1, 1, 1, -1.0])},
        {"covariance": np.triu(np.ones((6, 6)))},
        {"covariance": np.eye(3)},
        {"map_from_base": at(np.nan)},
    ],
)
def test_what_is_no_fix_is_refused(wrong: dict):
    with pytest.raises(ValueError, match="expected"):
        replace(fix(0.0), **wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"alpha1": -1.0}, {"gate_probability": 1.0}, {"common_share": 1.1}, {"hint_trust": 1.1},
     {"kidnap_fixes": 0}, {"buffer_seconds": float("nan")}],
)  # fmt: skip
def test_options_out_of_range_are_refused(wrong: dict):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        TrackerOptions(**wrong)


def test_scaled_options_track_a_scaled_world_alike():
    plain, scaled = rolling(until=3.0), rolling(ONE.scaled(10.0), until=3.0, speed=10.0)
    stretch = np.diag([10.0] * 3 + [1.0] * 3)
    plain.fix(Fix(1.0, at(1.0), SHARP))
    scaled.fix(Fix(1.0, at(10.0), stretch @ SHARP @ stretch))
    expected = stretch @ plain.pose(3.0).covariance @ stretch
    np.testing.assert_allclose(scaled.pose(3.0).covariance, expected, rtol=1e-6, atol=1e-15)
