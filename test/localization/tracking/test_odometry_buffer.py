"""Samples in any order, poses between and a little past them, and jumps."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking.odometry_buffer import MAX_STEPS, Arrival, OdometryBuffer
from relpose_ros.localization.tracking.options import TrackerOptions


def at(x: float, yaw: float = 0.0) -> Rigid:
    return Rigid.from_rotation_vector([0, 0, yaw], [x, 0, 0])


def buffer(*samples: tuple[float, float], **options) -> OdometryBuffer:
    made = OdometryBuffer(TrackerOptions(**options))
    for stamp, x in samples:
        made.add(stamp, at(x))
    return made


def test_poses_between_samples_are_interpolated():
    made = OdometryBuffer(TrackerOptions())
    made.add(1.0, at(0.0))
    made.add(2.0, at(1.0, 0.4))
    middle = made.at(1.25)
    np.testing.assert_allclose(middle.translation, [0.25, 0, 0])
    np.testing.assert_allclose(middle.rotation_vector, [0, 0, 0.1], atol=1e-12)


def test_a_little_past_the_newest_the_motion_goes_on():
    made = buffer((0.0, 0.0), (0.1, 0.1), (0.2, 0.2), (0.3, 0.3))
    assert made.missing(0.5) == ""
    assert made.at(0.4).translation[0] == pytest.approx(0.4)
    assert "0.21 s behind" in made.missing(0.51)


def test_a_gap_is_not_interpolated_across_but_its_ends_are_known():
    made = buffer((0.0, 0.0), (3.0, 1.0))
    assert "gap of 3.00 s" in made.missing(1.0)
    assert made.missing(0.0) == made.missing(3.0) == ""
    assert made.path(0.0, 3.0).start_from_end.translation[0] == 1.0


def test_nothing_and_too_old_say_so():
    assert "no odometry" in buffer().missing(0.0)
    made = buffer((5.0, 0.0))
    assert "reaches back to 5.000" in made.missing(4.0) and made.is_past(4.0)


def test_order_of_arrival_does_not_matter():
    early, late = buffer((0.0, 0.0), (0.1, 0.1), (0.2, 0.3)), buffer((0.0, 0.0), (0.2, 0.3), (0.1, 0.1))
    assert early.at(0.15).translation[0] == late.at(0.15).translation[0] == pytest.approx(0.2)
    late.add(0.1, at(0.2))
    assert len(late) == 3 and late.at(0.1).translation[0] == 0.2


@pytest.mark.parametrize(
    ("stamp", "x", "arrival"),
    [
        (10.02, 0.1, Arrival.USUAL),
        (10.02, 3.0, Arrival.POSE_JUMP),
        (12.0, 3.0, Arrival.USUAL),
        (9.6, 3.0, Arrival.USUAL),
        (9.4, 0.0, Arrival.TIME_JUMP),
    ],
)
def test_jumps_are_noticed(stamp: float, x: float, arrival: Arrival):
    assert buffer((10.0, 0.0)).judged(stamp, at(x)) is arrival


def test_a_sudden_turn_is_a_jump():
    made = buffer((0.0, 0.0))
    assert made.judged(0.02, at(0.0, 0.25)) is Arrival.USUAL
    assert made.judged(0.02, at(0.0, 0.5)) is Arrival.POSE_JUMP


def test_forgetting_keeps_what_interpolation_needs():
    made = buffer(*((float(i), float(i)) for i in range(10)))
    made.forget_before(4.5)
    assert made.oldest == 4.0 and made.at(4.5).translation[0] == 4.5


def test_a_path_back_is_the_inverse_and_long_ones_are_thinned():
    made = OdometryBuffer(TrackerOptions())
    for index in range(5000):
        made.add(index / 500, at(index / 500, index / 1000))
    there, back = made.path(1.0, 9.0), made.path(9.0, 1.0)
    assert len(there.stamps) <= MAX_STEPS + 2 and there.stamps[0] == 1.0 and back.stamps[-1] == 1.0
    both = there.start_from_end @ back.start_from_end
    np.testing.assert_allclose(both.matrix, np.eye(4), atol=1e-12)


def test_late_samples_must_fit_those_around_them():
    made = buffer((1.0, 1.0), (1.1, 1.1), (1.2, 1.2), max_speed=2.0)
    assert made.judged(1.15, at(1.14)) is Arrival.USUAL
    assert made.judged(1.15, at(50.0)) is Arrival.MISFIT
    assert made.judged(0.9, at(50.0)) is Arrival.MISFIT, "of before the first, as after a reset"
    assert made.judged(1.2, at(0.0)) is Arrival.MISFIT, "a reset with the stamp of the newest"
    assert made.judged(1.2, at(1.21)) is made.judged(1.1, at(1.1)) is Arrival.USUAL


@pytest.mark.parametrize("count", [3, MAX_STEPS * 5])
def test_steps_across_a_gap_are_marked(count: int):
    stamps = np.r_[np.linspace(0.0, 2.0, count), np.linspace(4.0, 6.0, count)]
    made = buffer(*((float(s), float(s)) for s in stamps), gap_seconds=1.5)
    for start, end in ((0.0, 6.0), (6.0, 0.0)):
        path = made.path(start, end)
        lengths = np.abs(np.diff(path.stamps))
        assert path.blind.sum() == 1 and lengths[path.blind][0] == pytest.approx(2.0, abs=0.05)
    assert not made.path(0.0, 2.0).blind.any()
