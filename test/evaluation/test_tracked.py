"""Records through a tracker, and what is counted of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.evaluate import MapFacts
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.evaluation.tracked import SimulatedDrive, track_queries
from relpose_ros.evaluation.tracking_results import (
    format_tracking,
    is_false,
    is_right,
    tracking_results,
    write_tracking,
)
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking.camera_tracker import CameraTracker
from relpose_ros.types import State

SHARP = np.diag(np.repeat([0.02**2, 0.01**2], 3))


@pytest.fixture
def queries(record) -> list[QueryRecord]:
    """Forty frames at 10 Hz along a line; every sixth without a pose, one of them false by 5 m."""
    out = []
    random = np.random.default_rng(0)
    for index in range(40):
        truth = Rigid.from_rotation_vector([0, 0.02 * index, 0], [0.1 * index, 0, 0])
        error = np.r_[random.normal(size=3) * 0.02, random.normal(size=3) * 0.01]
        state = State.UNLOCALIZED if index % 6 == 4 else State.LOCALIZED
        error = np.r_[5.0, 0, 0, 0, 0, 0] if index == 20 else error
        made = record(f"{index}.jpg", truth=truth, error=error, state=state, covariance=SHARP)
        out.append(replace(made, stamp=100 + index / 10))
    return out


def test_odometry_bridges_frames_and_rejects_the_false_one(queries):
    run = track_queries(queries[::-1], CameraTracker(), SimulatedDrive(seed=1))
    assert [r.name for r in run.tracked] == [r.name for r in queries]
    assert run.kinds[:3] == ("pending", "pending", "first")
    assert run.kinds[20] == "gated" and run.kinds[4] == "no_pose"
    found = tracking_results(run, SimulatedDrive(seed=1), MapFacts(), metric=True)
    single, tracked = found["single_frame"], found["with_odometry"]
    assert (single["false_claims"], tracked["false_claims"]) == (1, 0)
    assert tracked["availability"] == 38 / 40 > single["availability"]
    assert found["decisions"]["gated"] == 1 and found["kidnapping"] is None


def test_a_kidnapping_is_recovered_from(queries):
    drive = SimulatedDrive(seed=1, kidnap_at=2.4)
    run = track_queries(queries, CameraTracker(), drive)
    assert run.kidnapped_after == 24 and "kidnapped" in run.kinds
    assert run.tracked[25].stamp - run.tracked[24].stamp == pytest.approx(2.1)
    found = tracking_results(run, drive, MapFacts(), metric=True)["kidnapping"]
    assert 0.4 <= found["recovery_seconds"] <= 1.0 and found["false_claims_until_then"] == 0


@pytest.mark.parametrize("value", [0.0, np.inf])
def test_a_covariance_that_is_none_is_counted(queries, value):
    covariance = SHARP.copy()
    covariance[0, 0] = value
    queries[9] = replace(queries[9], localization=replace(queries[9].localization, covariance=covariance))
    run = track_queries(queries, CameraTracker(), SimulatedDrive(seed=1))
    assert run.kinds[9] == "bad_fix" and run.tracked[9].localization.has_pose


def test_a_table_and_a_file(queries, tmp_path):
    drive = SimulatedDrive(seed=1, kidnap_at=2.4)
    found = tracking_results(track_queries(queries, CameraTracker(), drive), drive, MapFacts(), metric=True)
    assert json.loads(write_tracking(found, tmp_path / "tracking.json").read_text()) == found
    said = format_tracking(found)
    assert "with odometry" in said and "right again after" in said and "1 of 34" in said
    never = {**found, "kidnapping": {**found["kidnapping"], "recovery_seconds": None}}
    assert "never recovered" in format_tracking(never)


@pytest.mark.parametrize(
    ("error", "deviation", "false"),
    [
        ([0.9, 0, 0, 0, 0, 0], 0.01, False),
        ([3.1, 0, 0, 0, 0, 0], 1.0, True),
        ([2.9, 0, 0, 0, 0, 0], 1.0, False),
        ([0, 0, 0, 0, 0.3, 0], 0.01, True),
        ([0, 0, 0, 0, 0.3, 0], 0.2, False),
    ],
)
def test_what_is_a_false_pose(record, error, deviation, false):
    made = record(error=error, covariance=np.eye(6) * deviation**2)
    assert is_false(made) is false
    assert is_right(made) is (abs(error[0]) < 1 and error[4] == 0)


def test_a_claim_counts_along_the_error(record):
    wide_elsewhere = np.diag([0.01, 4.0, 4.0, 1.0, 1.0, 1.0]) ** 2
    assert is_false(record(error=[2.0, 0, 0, 0, 0, 0], covariance=wide_elsewhere))
    assert not is_false(record(state=State.UNLOCALIZED)) and not is_right(record(known=False))


@pytest.mark.parametrize("value", [np.nan, -4.0])
def test_a_covariance_that_is_none_claims_nothing(record, value):
    covariance = np.diag([value, 0.01, 0.01, 0.01, 0.01, 0.01])
    assert is_false(record(error=[5.0, 0, 0, 0, 0, 0], covariance=covariance))
    assert not is_false(record(error=[0.5, 0, 0, 0, 0, 0], covariance=covariance))


def test_stamps_are_made_where_there_are_none(queries):
    bare = [replace(r, stamp=0.0) for r in queries]
    run = track_queries(bare, CameraTracker(), SimulatedDrive(seed=1, rate=5.0))
    assert run.tracked[-1].stamp == pytest.approx(39 / 5)


def test_what_cannot_be_tracked_is_refused(queries):
    with pytest.raises(ConfigurationError, match="true pose"):
        track_queries([replace(r, ground_truth=None) for r in queries], CameraTracker(), SimulatedDrive(1))
    for seconds in (-1.0, 3.9, 50.0):
        with pytest.raises(ConfigurationError, match="kidnapping within"):
            track_queries(queries, CameraTracker(), SimulatedDrive(1, kidnap_at=seconds))
