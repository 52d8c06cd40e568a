"""`relpose evaluate --odometry`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relpose_ros.cli.main import main


@pytest.fixture
def source(images):
    """A folder of six queries along a line, at 10 Hz by name."""
    folder = images / "line"
    (folder / "images").mkdir(parents=True)
    names = [f"{i}.png" for i in range(6)]
    for name in names:
        (folder / "images" / name).write_bytes((images / "a.png").read_bytes())
    rows = "".join(f"{n} {1 + 0.001 * i} 2 3 0 0 0 1\n" for i, n in enumerate(names))
    (folder / "poses.txt").write_text(rows)
    (folder / "intrinsics.txt").write_text("60 61 31.5 23.5 64 48\n")
    (folder / "split.txt").write_text("".join(f"{n} query\n" for n in names))
    return folder


def test_both_are_reported_side_by_side(source, localizer, capsys):
    line = ["evaluate", "--map", "m", str(source), "--out", "report", "--odometry", "simulated:1"]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "single frame" in said and "with_odometry/report.html" in said
    assert {p.name for p in Path("report/with_odometry").iterdir()} >= {
        "results.json", "estimate.tum", "ground_truth.tum", "report.html", "tracking.json",
    }  # fmt: skip
    tracking = json.loads(Path("report/with_odometry/tracking.json").read_text())
    assert tracking["decisions"] == {"accepted": 3, "pending": 2, "first": 1}
    assert tracking["odometry"]["seed"] == 1 and len(localizer.frames) == 6


def test_json_has_both(source, localizer, capsys):
    line = ["evaluate", "--map", "m", str(source), "--out", "r", "--odometry", "simulated:1", "--json"]
    assert main([*line, "--kidnap-at", "0.2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["queries"] == 6 and found["tracking"]["kidnapping"]["after_frame"] == 2


@pytest.mark.parametrize("word", ["simulated", "simulated:x", "wheels:1", ""])
def test_other_odometry_is_refused(source, localizer, capsys, word):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--map", "m", str(source), "--out", "r", "--odometry", word])
    assert stop.value.code == 2 and "simulated:SEED" in capsys.readouterr().err


def test_kidnapping_without_odometry_is_refused(source, localizer, capsys):
    assert main(["evaluate", "--map", "m", str(source), "--out", "r", "--kidnap-at", "1"]) == 2
    assert "--odometry" in capsys.readouterr().err and not localizer.frames


def test_a_kidnapping_after_the_end_is_refused_and_the_single_frames_are_shown(source, localizer, capsys):
    line = ["evaluate", "--map", "m", str(source), "--out", "r", "--odometry", "simulated:1"]
    assert main([*line, "--kidnap-at", "60"]) == 2
    said = capsys.readouterr()
    assert "availability" in said.out and "expected a kidnapping within" in said.err
