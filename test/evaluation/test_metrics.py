"""Errors, recall, medians, quartiles, latency: numbers known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.evaluation import metrics
from relpose_ros.evaluation.difficulty import nearest_reference, quartiles
from relpose_ros.evaluation.latency import latency_table
from relpose_ros.evaluation.reasons import count_reasons, generic
from relpose_ros.evaluation.results import summarize
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import State

NEAR, FAR = [0.03, 0, 0.04, 0, 0, 0], [0, 3.0, 0, 0, 0, math.radians(8)]


def test_errors_are_distances_and_angles(record):
    scores = metrics.score([record(error=[0.3, 0, 0.4, 0, math.radians(7), 0])])
    assert scores.translation == pytest.approx([0.5])
    assert scores.rotation_deg == pytest.approx([7.0])


def test_unlocalized_is_infinite_and_unknown_truth_is_nan(record):
    scores = metrics.score([record(state=State.UNLOCALIZED), record(known=False)])
    assert scores.translation[0] == math.inf and math.isnan(scores.translation[1])
    assert scores.scored.tolist() == [True, False]


def test_recall_is_over_all_queries_with_truth(record):
    records = [record(error=NEAR), record(error=FAR), record(state=State.UNLOCALIZED), record(known=False)]
    results = summarize(records)
    assert results["recall"] == pytest.approx(
        {
            "0.05m_5deg": 0.0,  # 0.05 m is not strictly below 0.05 m
            "0.1m_5deg": 1 / 3,
            "0.25m_2deg": 1 / 3,
            "0.5m_5deg": 1 / 3,
            "5m_10deg": 2 / 3,
        }
    )
    assert results["availability"] == pytest.approx(3 / 4)
    assert (results["queries"], results["queries_with_truth"]) == (4, 3)


def test_thresholds_are_strict_in_both_errors():
    count = 4
    scores = metrics.Scores(
        translation=np.array([0.25, np.nextafter(0.25, 0), 0.1, 0.1]),
        rotation_deg=np.array([1.0, 1.0, 2.0, np.nextafter(2.0, 0)]),
        nees=np.zeros(count),
        confidence=np.zeros(count),
        published=np.ones(count, bool),
        localized=np.ones(count, bool),
        truth=np.ones(count, bool),
        outside=np.zeros(count, bool),
    )
    assert metrics.recall(scores, 0.25, 2.0) == 0.5


def test_medians_over_poses_and_over_all(record):
    records = [record(error=[x, 0, 0, 0, 0, 0]) for x in (0.1, 0.2, 0.4)]
    results = summarize([*records, record(state=State.UNLOCALIZED), record(state=State.UNLOCALIZED)])
    assert results["median_translation_m"] == pytest.approx(0.2)
    assert results["median_translation_all_m"] == pytest.approx(0.4)
    mostly_lost = summarize([records[0], *[record(state=State.UNLOCALIZED)] * 2])
    assert mostly_lost["median_translation_all_m"] is None


def test_median_knows_infinity():
    assert metrics.median(np.array([1.0, math.inf, math.inf])) == math.inf
    assert metrics.median(np.array([math.inf, math.inf])) == math.inf
    assert metrics.median(np.array([1.0, 3.0])) == 2.0
    assert math.isnan(metrics.median(np.zeros(0)))


def test_pose_that_is_not_finite_is_infinitely_wrong(record):
    nowhere = Rigid(np.eye(3), np.array([np.nan, 0, 0]))
    results = summarize([record(map_from_camera=nowhere)])
    assert results["false_poses"] == 1
    assert results["per_query"][0]["translation_error_m"] is None
    assert results["coverage_95"] == 0.0


def test_not_finite_rotation_and_ground_truth(record):
    nonsense = Rigid(np.full((3, 3), np.nan), np.zeros(3))
    results = summarize([record(map_from_camera=nonsense), record(truth=nonsense, map_from_camera=None)])
    assert results["false_poses"] == 1 and results["queries_with_truth"] == 1
    assert [q["map_from_camera"] for q in results["per_query"]] == [None, None]


def test_rejection_curve_falls_when_confidence_is_right():
    error = np.linspace(1, 2, 50)
    kept, middle, high = metrics.rejection_curve(-error, error)
    assert kept[0] == pytest.approx(1 / 50) and kept[-1] == 1.0
    assert (np.diff(middle) >= 0).all() and (np.diff(high) >= 0).all()
    assert middle[-1] == pytest.approx(np.median(error)) and middle[0] == 1.0
    assert [len(c) for c in metrics.rejection_curve(np.zeros(0), np.zeros(0))] == [0, 0, 0]


def test_quartiles_by_rank():
    assert quartiles(np.array([5.0, 1, math.nan, 3, 7])).tolist() == [2, 0, -1, 1, 3]
    assert quartiles(np.zeros(0)).tolist() == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e6) | st.just(math.nan), max_size=40))
def test_quartiles_are_equal_in_size_and_ordered(values):
    difficulty = np.array(values, float)
    groups = quartiles(difficulty)
    assert ((groups == -1) == np.isnan(difficulty)).all()
    sizes = np.bincount(groups[groups >= 0], minlength=4)
    assert sizes.max() - sizes.min() <= 1
    for q in range(3):
        lower, upper = difficulty[groups == q], difficulty[groups == q + 1]
        assert not len(upper) or lower.max() <= upper.min()


def test_nearest_reference_weighs_distance_and_angle(record):
    truth = Rigid.identity()
    near_but_turned = Rigid.from_rotation_vector([0, math.radians(120), 0], [0.1, 0, 0])
    further_but_alike = Rigid.from_rotation_vector([0, math.radians(6), 0], [0, 0.5, 0])
    references = Rigid.stack([near_but_turned, further_but_alike])
    (row,) = nearest_reference([record(truth=truth)], references, 1.0)
    assert row == pytest.approx([0.5 + 0.2, 0.5, 6.0])
    unknown = nearest_reference([record(known=False)], references, 1.0)
    assert np.isnan(unknown).all()
    assert np.isnan(nearest_reference([record()], Rigid(np.zeros((0, 3, 3)), np.zeros((0, 3))), 1.0)).all()


def test_difficulty_quartiles_in_results(record):
    places = [Rigid(np.eye(3), np.array([x, 0.0, 0])) for x in range(8)]
    records = [
        record(str(i), truth=p, state=State.UNLOCALIZED if i == 7 else State.LOCALIZED)
        for i, p in enumerate(places)
    ]
    table = summarize(records, reference_poses=Rigid.stack(places[:2]))["by_difficulty"]
    assert [row["queries"] for row in table] == [2, 2, 2, 2]
    assert [row["availability"] for row in table] == [1, 1, 1, 0.5]
    assert table[3]["median_reference_distance_m"] == pytest.approx(5.5)
    assert table[0]["coverage_95"] == 1.0


def test_latency_percentiles_by_stage(record):
    records = [record(latency_ms={"extract": float(i), "total": 2.0 * i}) for i in range(101)]
    records.append(record(latency_ms={"total": math.nan}))
    table = latency_table(records)
    assert table["extract"] == {"count": 101, "p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert table["total"]["p95"] == 190.0 and table["total"]["count"] == 101
    assert latency_table([])["total"]["count"] == 0


def test_reasons_that_differ_in_numbers_are_one(record):
    lost = [record(state=State.UNLOCALIZED, reason=f"only {n} inliers, 12 needed") for n in (3, 4)]
    lost.append(record(state=State.UNLOCALIZED, reason="too dark"))
    lost.append(record(state=State.UNLOCALIZED, reason="elsewhere", outside_map=True, known=False))
    assert count_reasons([*lost, record()]) == {"only … inliers, … needed": 2, "too dark": 1}
    assert generic(" ") == "no reason given"
