"""Medians and gates of pose errors, and the table of them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relpose_ros.evaluation.pose_table import AERIAL, INDOOR, format_pose_table, summarise_poses

FAR = np.array([0.004, 0.015, 0.04, 0.05, math.inf])
TURNED = np.array([0.5, 1.5, 6.0, 1.0, math.inf])


def test_shares_are_strictly_within_both_gates():
    found = summarise_poses(FAR, TURNED)
    assert found["median_translation_m"] == 0.04 and found["median_rotation_deg"] == 1.5
    assert found["recall_0.05m_5deg"] == pytest.approx(2 / 5)  # 4 cm is turned too far, 5 cm too far off
    assert found["recall_0.02m_2deg"] == pytest.approx(2 / 5)
    assert found["recall_0.01m_1deg"] == pytest.approx(1 / 5)
    assert found["mean_translation_m"] == math.inf


def test_no_queries_are_no_number():
    assert all(math.isnan(value) for value in summarise_poses([], []).values())


def test_the_table_has_a_column_for_each_gate():
    rows = {"chess": {"queries": 5, **summarise_poses(FAR, TURNED)}, "none": summarise_poses([], [])}
    head, chess, none = format_pose_table(
        rows, extra={"note": lambda row: str(row.get("queries"))}
    ).splitlines()
    assert head.split() == "images median median 5 cm, 5° 2 cm, 2° 1 cm, 1° note".split()
    assert chess.split() == "chess 5 4.0 cm 1.50° 40.0 % 40.0 % 20.0 % 5".split()
    assert none.count("–") == 6
    assert len(head) == len(chess)


def test_infinite_medians_are_a_dash():
    lost = {"lost": summarise_poses([math.inf], [math.inf], AERIAL)}
    table = format_pose_table(lost)
    assert "5 m, 5°" in table and "inf" not in table and "0.0 %" in table


def test_gates_are_those_of_the_papers():
    assert list(INDOOR.values()) == [(0.05, 5.0), (0.02, 2.0), (0.01, 1.0)]
