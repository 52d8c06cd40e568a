"""docs/tuning.md shows every threshold, and the benchmark that fills it varies those that there are."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import thresholds
from benchmarks.threshold_drives import Drive, drives, measure
from benchmarks.threshold_images import in_bad_light
from benchmarks.threshold_variants import (
    JUDGEMENT,
    PUBLISHING,
    SEARCH,
    TRACKING,
    Threshold,
    changed,
    check,
    default_of,
    filter_of,
)
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.options import options_for
from relpose_ros.nodes import camera_node, localizer
from relpose_ros.nodes.tracking import TRACKING_PARAMETERS
from relpose_ros.types import Localization, State

PAGE = Path(__file__).parents[2] / "docs" / "tuning.md"
EVERY = (*SEARCH, *JUDGEMENT, *PUBLISHING, *TRACKING)


def test_every_default_is_among_the_values():
    check(EVERY)
    with pytest.raises(ValueError, match="not among"):
        check([Threshold("neighbours", (1, 2))])


def test_every_threshold_of_the_tracker_is_varied():
    parameters = {row.name.removeprefix("tracking.") for row in TRACKING_PARAMETERS}
    assert {threshold.name for threshold in TRACKING} == parameters


def test_every_number_of_the_node_is_varied_or_explained():
    """Those that a user can turn: numbers and switches, but for paths, names, frames and places."""
    page = PAGE.read_text()
    for row in (*localizer.PARAMETERS, *camera_node.PARAMETERS):
        if row.range is None or row.name in ("diagnostics_period", "bond_heartbeat_period", "save_pose_rate"):
            continue
        assert f"`{row.name}`" in page or row.name in {t.name for t in PUBLISHING}, row.name


def test_the_page_has_a_table_for_each():
    page = PAGE.read_text()
    shown = re.findall(r"^#### `([\w.]+)`", page, re.M)
    assert sorted(shown) == sorted([
        *(t.name for t in (*SEARCH, *JUDGEMENT, *PUBLISHING)), *(f"tracking.{t.name}" for t in TRACKING)
    ])  # fmt: skip


def test_the_page_shows_the_defaults_of_today():
    page = PAGE.read_text()
    for prefix, group in (("", (*SEARCH, *JUDGEMENT, *PUBLISHING)), ("tracking.", TRACKING)):
        for threshold in group:
            table = page[page.index(f"#### `{prefix}{threshold.name}`") :].split("####")[1]
            (bold,) = re.findall(r"^\| \*\*(.+?)\*\* \|", table, re.M)
            default = default_of(threshold)
            assert bold == (str(default).lower() if isinstance(default, bool) else str(default))


def test_one_number_is_changed_and_no_other():
    assert changed("profile", "fast") == options_for("fast")
    assert changed("neighbours", 3) == replace(options_for("default"), neighbours=3)
    inner = changed("arbiter.min_inliers", 7)
    assert inner.arbiter.min_inliers == 7
    assert replace(inner, arbiter=options_for("default").arbiter) == options_for("default")


def test_what_is_withheld():
    degraded = Localization(State.DEGRADED, "few", Rigid.identity(), np.eye(6), 0.6)
    assert filter_of("minimum_confidence", 0.5)(degraded)
    assert not filter_of("minimum_confidence", 0.7)(degraded)
    assert not filter_of("publish_degraded", False)(degraded)
    assert not filter_of("publish_degraded", True)(Localization(State.UNLOCALIZED, "dark"))


def test_bad_light_is_darker_and_always_the_same():
    image = np.full((40, 60), 200, np.uint8)
    dim = in_bad_light(image, "a")
    assert dim.mean() < 80 and (dim == in_bad_light(image, "a")).all()
    assert (dim != in_bad_light(image, "b")).any()


def test_tables_are_put_between_the_marks():
    page = f"before\n{thresholds.BEGIN}\nstale\n{thresholds.END}\nafter"
    made = thresholds.with_tables(page, "new")
    assert "stale" not in made and made.index("before") < made.index("new") < made.index("after")
    assert thresholds.with_tables(made, "new") == made
    with pytest.raises(ValueError, match="expected a line"):
        thresholds.with_tables("no marks", "new")


@pytest.fixture(scope="module")
def straight() -> list[Drive]:
    """Forty right answers along ten metres, with the troubles of a drive."""
    records = []
    for index in range(40):
        pose = Rigid.from_rotation_vector([0.0, 0.0, 0.0], [0.25 * index, 0.0, 0.0])
        answer = Localization(State.LOCALIZED, "", pose, 1e-4 * np.eye(6), 0.9)
        records.append(QueryRecord(str(index), float(index), pose, answer))
    return drives(records)[:1]


def test_a_drive_is_blind_wrong_and_carried_off(straight):
    (drive,) = straight
    states = [record.localization.state for record in drive.records]
    assert states[10:16] == [State.UNLOCALIZED] * 6
    wrong = [r for r in drive.records if r.localization.has_pose and not _right(r)]
    assert 0 < len(wrong) < 8


def test_fixes_that_one_answer_can_start_are_more(straight):
    careful, bold = measure(straight, min_consistent_fixes=5), measure(straight, min_consistent_fixes=1)
    assert bold.published > careful.published and bold.frames == careful.frames == 40
    assert len(bold.recovery) == 1


def _right(record: QueryRecord) -> bool:
    assert record.localization.map_from_camera is not None and record.ground_truth is not None
    return bool(record.localization.map_from_camera.distance_to(record.ground_truth)[0] < 0.5)
