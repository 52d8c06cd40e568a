"""What counts as a pose that should not have been published."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relpose_ros.evaluation.results import summarize
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import State


@pytest.mark.parametrize(
    ("error", "false"),
    [
        ([0.49, 0, 0, 0, 0, 0], 0),
        ([0.51, 0, 0, 0, 0, 0], 1),
        ([0, 0, 0, math.radians(4.9), 0, 0], 0),
        ([0, 0, 0, math.radians(5.1), 0, 0], 1),
    ],
)
def test_gross_error_on_a_metric_map(record, error, false):
    assert summarize([record(error=error)])["false_poses"] == false


def test_gross_but_degraded_is_counted_apart(record):
    results = summarize([record(error=[2, 0, 0, 0, 0, 0], state=State.DEGRADED)])
    assert results["false_poses"] == 0
    assert results["false_poses_detail"]["gross_degraded"] == 1


def test_small_but_inconsistent_is_not_false_but_counted(record):
    results = summarize([record(error=[0.1, 0, 0, 0, 0, 0], covariance=np.eye(6) * 1e-8)])
    assert (results["false_poses"], results["inconsistent_poses"]) == (0, 1)


def test_without_metres_five_percent_of_the_extent_is_gross(record):
    references = Rigid(np.stack([np.eye(3)] * 2), np.array([[0.0, 0, 0], [0, 30, 40]]))
    records = [record(error=[2.4, 0, 0, 0, 0, 0]), record(error=[2.6, 0, 0, 0, 0, 0])]
    results = summarize(records, {"metric": False}, reference_poses=references)
    assert results["scene_extent"] == pytest.approx(50.0)
    assert results["false_poses"] == 1
    assert results["unit"] == "map unit"
    assert set(results["recall"].values()) == {None}
    assert results["recall_relative"] == {"0.2pct_2deg": 0.0, "1pct_5deg": 0.0, "5pct_10deg": 0.5}


def test_without_metres_and_extent_only_the_angle_is_judged(record):
    turned = record(error=[0, 0, 0, 0.2, 0, 0])
    results = summarize([record(error=[9, 0, 0, 0, 0, 0]), turned], metric=False)
    assert results["scene_extent"] is None
    assert results["false_poses"] == 1
    assert results["false_poses_detail"]["limit_translation_m"] is None


def test_poses_outside_the_map_are_false_whatever_their_state(record):
    outside = {"known": False, "outside_map": True}
    records = [
        record("inside"),
        record("published", **outside),
        record("hesitant", state=State.DEGRADED, **outside),
        record("silent", state=State.UNLOCALIZED, **outside),
    ]
    results = summarize(records)
    assert results["outside_map"]["queries"] == 3
    assert results["outside_map"]["false_publications"] == 2
    assert results["false_poses"] == 2
    assert [q["false_pose"] for q in results["per_query"]] == [False, True, True, False]


def test_outside_queries_touch_no_other_figure(record):
    inside = [record("a", error=[0.02, 0, 0, 0, 0, 0]), record("b", state=State.UNLOCALIZED)]
    negatives = [record("n", outside_map=True), record("m", state=State.UNLOCALIZED, outside_map=True)]
    alone, together = summarize(inside), summarize([*inside, *negatives])
    same = ("queries", "availability", "median_translation_m", "recall", "nees_mean", "coverage_95", "states")
    assert {k: alone[k] for k in same} == {k: together[k] for k in same}


def test_confidence_bins_compare_with_what_happened(record):
    sure = [record(confidence=0.95) for _ in range(3)] + [record(confidence=0.95, error=[2, 0, 0, 0, 0, 0])]
    bins = summarize([*sure, record(confidence=0.1, state=State.UNLOCALIZED)])["confidence_bins"]
    top = bins[-1]
    assert (top["count"], top["share"], top["mean_confidence"]) == (4, 0.75, pytest.approx(0.95))
    assert sum(b["count"] for b in bins) == 4
