"""Counts by condition of the queries and of the references that answers leaned on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.errors import RelposeError
from relpose_ros.evaluation.conditions import UNNAMED
from relpose_ros.evaluation.evaluate import answer
from relpose_ros.evaluation.page.conditions import condition_tables
from relpose_ros.evaluation.report import write_report
from relpose_ros.evaluation.results import summarize, validate_results, write_results
from relpose_ros.evaluation.table import format_table
from relpose_ros.evaluation.usage import read_usage
from relpose_ros.types import Localization, State

CONDITIONS = {"d1": "day", "d2": "day", "n1": "night", "x": ""}


@pytest.fixture
def night_and_day(record):
    """Four queries by day, two by night; one of the latter is answered by both."""
    day = [record(f"d{i}", references=("d1", "d2"), condition="day") for i in range(3)]
    far = record("d3", error=(3, 0, 0, 0, 0, 0), references=("n1",), condition="day")
    lost = record("n0", state=State.UNLOCALIZED, reason="dark", condition="night")
    return [*day, far, lost, record("n1", references=("n1", "d1"), condition="night")]


def test_rows_of_queries_and_references(night_and_day):
    found = summarize(night_and_day, conditions=CONDITIONS)["by_condition"]
    day, night = found["queries"]
    assert (day["condition"], day["queries"], day["availability"], day["recall"]) == ("day", 4, 1.0, 0.75)
    assert day["answered_by"] == {"day": 3, "night": 1}
    assert (night["queries"], night["availability"], night["recall"]) == (2, 0.5, 0.5)
    assert night["answered_by"] == {"day and night": 1}
    by = {row["condition"]: row for row in found["references"]}
    assert list(by) == ["day", "day and night", "night"]
    assert (
        by["day"]["queries"] == 3 and by["night"]["recall"] == 0 and by["night"]["median_translation_m"] == 3
    )


def test_a_query_outside_the_map_is_in_no_row(record):
    rows = [record("a", condition="day"), record("b", condition="night", outside_map=True)]
    found = summarize(rows)["by_condition"]
    assert [row["condition"] for row in found["queries"]] == ["day"]
    assert [row["queries"] for row in found["references"]] == [1]


def test_what_nobody_named_has_a_name(record):
    (row,) = summarize([record("a", references=("x",))], conditions=CONDITIONS)["by_condition"]["queries"]
    assert row["condition"] == UNNAMED and row["answered_by"] == {UNNAMED: 1}


def test_counts_are_those_of_the_whole(night_and_day):
    results = summarize(night_and_day, conditions=CONDITIONS)
    rows = results["by_condition"]["queries"]
    assert sum(row["queries"] for row in rows) == results["queries"]
    share = sum(row["queries"] * row["availability"] for row in rows) / results["queries"]
    assert share == pytest.approx(results["availability"])
    assert results["per_query"][0]["condition"] == "day"


def test_page_and_table_show_them_where_there_are_several(night_and_day, record, tmp_path):
    results = summarize(night_and_day, conditions=CONDITIONS)
    validate_results(results)
    assert "2 queries, 50.0 % with a pose" in format_table(results)
    text = write_report(night_and_day, results, tmp_path / "report.html").read_text()
    assert "By condition" in text and "day and night (1)" in text
    one = summarize([record("a", condition="<b>")])
    assert condition_tables(one) == "" and "By condition" not in format_table(one)


def test_names_are_escaped(record):
    rows = [record("a", condition="<script>"), record("b", condition="day")]
    assert "<script>" not in condition_tables(summarize(rows))


def test_a_query_brings_its_condition_along(camera):
    from relpose_ros.datasets.base import PosedImage

    image = PosedImage("a", camera, None, "query", lambda: np.zeros((240, 320), np.uint8), condition="night")

    class Lost:
        def localize(self, frame):
            return Localization(State.UNLOCALIZED, "dark")

    assert answer(Lost(), image).condition == "night"


def test_usage_is_read_from_results(night_and_day, tmp_path):
    path = write_results(summarize(night_and_day, conditions=CONDITIONS), tmp_path / "results.json")
    assert read_usage(path) == {"d1": 4, "d2": 3, "n1": 2}


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"per_query": [{}]})])
def test_other_files_are_refused(tmp_path, content):
    path = Path(tmp_path / "x.json")
    path.write_text(content)
    with pytest.raises(RelposeError, match=r"expected the results\.json"):
        read_usage(path)
