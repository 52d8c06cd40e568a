"""results.json: strict, whole, validated; the terminal's table."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.errors import RelposeError
from relpose_ros.evaluation.files import plain
from relpose_ros.evaluation.results import summarize, write_results
from relpose_ros.evaluation.schema import validate_results
from relpose_ros.evaluation.table import format_table
from relpose_ros.types import State

INFO = {"name": "office", "bytes": 5_000_000, "references": 120, "landmarks": 9000, "build_seconds": 31.5}


def cases(record):
    """Every shape of input that an evaluation may end with."""
    lost = record(state=State.UNLOCALIZED, reason="dark")
    return {
        "none": [],
        "one": [record()],
        "all lost": [lost, lost],
        "no truth": [record(known=False), record(known=False)],
        "only outside": [record(known=False, outside_map=True)],
        "broken": [record(covariance=np.full((6, 6), math.nan), confidence=math.nan, stamp=math.nan)],
        "no covariance": [record(known=True, latency_ms={})],
    }


def refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize("case", cases(lambda **_: None))
def test_every_case_is_strict_valid_json_and_has_a_table(case, record, tmp_path: Path):
    results = summarize(cases(record)[case], INFO)
    path = write_results(results, tmp_path / "new" / "results.json")
    again = json.loads(path.read_text(), parse_constant=refuse)
    assert again == results
    validate_results(again)
    assert "latency" in format_table(again)
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]


def test_the_keys_that_the_issue_names(record):
    results = summarize([record(latency_ms={"extract": 3.0, "total": 5.0})], INFO)
    named = {"queries", "availability", "median_translation_m", "median_rotation_deg", "recall"}
    named |= {"nees_mean", "coverage_95", "false_poses", "latency_ms", "map", "per_query"}
    assert named <= set(results)
    assert results["latency_ms"]["extract"]["p95"] == results["latency_ms"]["extract"]["p50"] == 3.0
    assert results["map"] == INFO
    assert results["software"]["numpy"] == np.__version__
    assert results["hardware"]["cores"] >= 1
    query = results["per_query"][0]
    assert len(query["covariance"]) == 36 and query["ground_truth"]["translation"] == [1.0, 2.0, 0.5]


def test_without_a_map_its_numbers_are_null(record):
    assert set(summarize([record()])["map"].values()) == {None}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda r: r.pop("recall"), "recall is missing"),
        (lambda r: r.update(availability=1.2), "availability is not in"),
        (lambda r: r.update(queries="two"), "queries is str"),
        (lambda r: r.update(queries=True), "queries is bool"),
        (lambda r: r["recall"].pop("5m_10deg"), "5m_10deg is missing"),
        (lambda r: r.update(nees_mean=math.nan), "not strict JSON"),
        (lambda r: r["per_query"].clear(), "per_query has 0 entries"),
        (lambda r: r["per_query"][0].pop("state"), r"per_query\[0\].state"),
        (lambda r: r["latency_ms"].pop("total"), "latency_ms.total"),
        (lambda r: r["map"].update(bytes="many"), "map.bytes is str"),
        (lambda r: r.update(schema_version=99), "version 99; evaluate again"),
        (lambda r: r.clear(), "None"),
    ],
)
def test_broken_results_are_refused_by_name(record, change, complaint):
    results = copy.deepcopy(summarize([record()]))
    change(results)
    with pytest.raises(RelposeError, match=complaint):
        validate_results(results)


def test_a_failed_write_leaves_the_old_file_and_no_other(record, tmp_path: Path, monkeypatch):
    path = write_results(summarize([record()]), tmp_path / "results.json")
    before = path.read_bytes()

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(RelposeError, match="no space left"):
        write_results(summarize([]), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_a_file_in_the_way_is_a_clear_error(record, tmp_path: Path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(RelposeError, match="cannot be written"):
        write_results(summarize([record()]), tmp_path / "out" / "results.json")


def test_plain_values():
    value = {"a": np.float32(0.5), "b": [math.inf, np.nan], "c": np.int64(3), State.LOCALIZED: Path("x")}
    assert plain(value) == {"a": 0.5, "b": [None, None], "c": 3, "localized": "x"}
    assert plain(np.bool_(True)) is True and plain((1, None)) == [1, None]


def test_table_says_what_matters(record):
    lost = record(state=State.UNLOCALIZED)
    outside = record(outside_map=True, known=False)
    text = format_table(summarize([record(error=[0.03, 0, 0, 0, 0, 0]), lost, outside], INFO))
    assert "availability" in text and "50.0 %" in text and "3.0 cm" in text
    assert "1 of 1" in text and "120 references" in text and "recall 5 cm, 5°" in text
