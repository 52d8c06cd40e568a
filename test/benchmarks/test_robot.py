"""The benchmark of single frames and odometry: what it counts, pools, and calls a miss."""

from __future__ import annotations

import pytest

from benchmarks import robot_tables
from benchmarks.robot_runs import RATE, Robot, slow_enough
from benchmarks.robot_tables import Row
from relpose_ros.evaluation.evaluate import MapFacts
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Localization, State


def figures(count, coverage, hardest=1.0, false=0):
    part = {"queries": count // 4, "availability": 1.0, "coverage_95": hardest}
    return {
        "queries": count, "availability": 1.0, "median_translation_m": 0.02, "median_rotation_deg": 0.3,
        "coverage_95": coverage, "coverage_count": count, "hardest_quartile": part, "false_claims": false,
        "states": {"localized": count, "degraded": 0, "unlocalized": 0},
    }  # fmt: skip


def result(scene, single, tracked, kidnapped=(), metric=True, deal="given"):
    return {
        "scene": scene if deal == "given" else f"{scene}_{deal}", "place": scene, "deal": deal,
        "profile": "default", "metric": metric, "metre": 1.0, "single_frame": single,
        "with_odometry": tracked, "kidnapped": list(kidnapped),
    }  # fmt: skip


def recovery(seconds, frames, false=0):
    found = {"recovery_seconds": seconds, "recovery_frames": frames}
    return {"kidnapping": found, "with_odometry": figures(40, 1.0, false=false)}


@pytest.fixture
def results():
    careful = result(
        "car", figures(40, 1.0), [figures(40, 1.0)] * 2, [recovery(0.5, 5, false=3), recovery(1.5, 15)]
    )
    sure = result("room", figures(120, 0.85, hardest=0.5), [figures(120, 0.95, false=1)] * 2)
    return [careful, sure]


def test_scenes_are_pooled_by_their_poses(results):
    row = Row("all", results, tracked=False)
    assert row.coverage == (142, 160) and row.hardest == (25, 40) and row.false == (0, 160)
    tracked = Row("all", results, tracked=True)
    assert tracked.coverage == (308, 320)
    assert tracked.share(*tracked.coverage).count == 160, "the frames are the same for every seed"
    assert tracked.false == (2, 320), "without what was published around kidnappings"
    assert tracked.false_around_kidnappings == (3, 80)


def test_what_misses_a_target_is_told_and_small_scenes_are_not(results):
    few = result("few", figures(8, 0.5), [figures(8, 0.5)] * 2)
    said = robot_tables.table([*results, few])
    assert "- car, default, single frames: coverage 100.0 %, too careful, within chance" in said
    assert "- room, default, single frames: coverage 85.0 %, too little, within chance" in said
    assert "- room, default, single frames: hardest quartile 50.0 % of 30" in said
    assert "- room, default, with odometry: 2 false poses of 240" in said
    assert "- car, default, with odometry: 3 false poses of 80 in drives with a kidnapping" in said
    assert "| 1.0 s, 10 frames (most 1.5 s, 15); 3 of 80 poses false |" in said
    assert "- few" not in said and "| few |" in said
    fine = result("fine", figures(100, 0.95), [figures(100, 0.95)])
    assert robot_tables.table([fine]).endswith("All are met.")


def test_a_kidnapping_that_nothing_follows_is_told(results):
    assert Row("car", results[:1], tracked=True).cells()[-1].startswith("1.0 s, 10 frames (most 1.5 s, 15)")
    lost = result("car", figures(40, 1.0), [figures(40, 1.0)], [recovery(None, None)])
    assert Row("car", [lost], tracked=True).cells()[-1] == "never in 1"


def test_frames_far_apart_come_slowly_enough_for_a_robot():
    def records(step, turn=0.0):
        poses = [Rigid.from_rotation_vector([0, turn * i, 0], [step * i, 0, 0]) for i in range(5)]
        return [QueryRecord(str(i), 0.0, p, Localization(State.UNLOCALIZED)) for i, p in enumerate(poses)]

    assert slow_enough(records(0.5), 1.0) == RATE
    assert slow_enough(records(100.0), 1.0) == pytest.approx(0.1), "10 m/s: half of max_speed"
    assert slow_enough(records(0.0, turn=1.0), 1.0) == pytest.approx(5.0), "5 rad/s"


def test_a_kidnapping_is_tried_where_enough_frames_follow():
    def robot(count):
        poses = [Rigid.from_rotation_vector([0, 0, 0], [0.1 * i, 0, 0]) for i in range(count)]
        records = [QueryRecord(str(i), 0.0, p, Localization(State.UNLOCALIZED)) for i, p in enumerate(poses)]
        return Robot(records, MapFacts(), True, 1.0, RATE)

    assert robot(10).drive(1, kidnapped=True) is None
    found = robot(20).drive(1, kidnapped=True)
    assert found["kidnapping"]["after_frame"] == 10 and found["kidnapping"]["recovery_seconds"] is None
    assert robot(20).drive(1, kidnapped=False)["kidnapping"] is None


def test_images_dealt_anew_are_pooled_by_place_and_by_deal(results):
    assert "all given" not in robot_tables.table(results)
    again = result("car", figures(10, 0.5), [figures(10, 0.5)] * 2, deal="swapped")
    said = robot_tables.table([*results, again])
    pooled = [line for line in said.splitlines() if line.startswith("| **car** | default | single | 50 |")]
    assert len(pooled) == 1 and "| 90.0 (" in pooled[0]
    assert "| **all given** | default | single | 160 |" in said
    assert "| **all swapped** | default | odometry | 10 |" in said
