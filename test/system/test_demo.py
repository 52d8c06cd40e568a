"""`relpose demo` as a person runs it: a world, its bags, its map, the node over DDS, the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from relpose_ros.maps.bundle import Map

MADE = (
    "world/mapping_bag/metadata.yaml",
    "world/query_bag/metadata.yaml",
    "map.relmap",
    "report/report.html",
    "report/results.json",
    "report/replay.json",
    "report/estimate.tum",
    "report/localizer.log",
)
WORDS = ("availability", "median translation", "recall 5 cm", "NEES coverage", "latency [ms]", "extract")


def demo(out: Path, *options: str) -> str:
    """Run it; what it printed."""
    command = [sys.executable, "-m", "relpose_ros.cli", "demo", "--out", str(out), *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def figures(out: Path) -> tuple[dict, dict]:
    """results.json and replay.json."""
    return tuple(json.loads((out / "report" / name).read_text()) for name in ("results.json", "replay.json"))


def test_the_quick_demo_localizes_and_says_so(ros_environment, tmp_path):
    out = tmp_path / "demo"
    said = demo(out, "--quick")
    results, replay = figures(out)
    assert all((out / name).stat().st_size > 0 for name in MADE)
    assert results["queries"] + results["outside_map"]["queries"] == replay["images_answered"] >= 15
    assert results["availability"] >= 0.75 and results["recall"]["0.1m_5deg"] >= 0.7
    assert results["median_translation_m"] < 0.02 and results["median_rotation_deg"] < 0.5
    assert results["false_poses"] == 0 and results["coverage_95"] >= 0.8
    outside = results["outside_map"]
    assert outside["queries"] >= 1 and outside["false_publications"] == 0
    assert sum(outside["reasons"].values()) == outside["queries"]
    # base_link through the mount in the bag's /tf_static: a pose for every image that has one
    assert replay["poses_published"] >= 0.9 * results["availability"] * results["queries"]
    assert replay["node_exit_status"] == 0
    assert Map.open(out / "map.relmap").metric
    assert all(word in said for word in WORDS)
    assert said.rstrip().endswith(f"report: {out / 'report' / 'report.html'}")
    assert "Traceback" not in (out / "report" / "localizer.log").read_text()


@pytest.mark.slow
def test_the_whole_demo_is_good(ros_environment, tmp_path):
    demo(tmp_path / "demo")
    results, replay = figures(tmp_path / "demo")
    assert results["availability"] >= 0.85 and results["recall"]["0.05m_5deg"] >= 0.85
    assert results["median_translation_m"] < 0.01 and results["median_rotation_deg"] < 0.2
    assert results["false_poses"] == 0 and 0.88 <= results["coverage_95"] <= 1.0
    assert results["outside_map"]["queries"] >= 8
    assert replay["images_dropped"] <= 5


@pytest.mark.slow
def test_the_demo_on_images_of_ones_own(ros_environment, small_world, tmp_path):
    out = tmp_path / "demo"
    demo(out, "--data", str(small_world.folder))
    results, replay = figures(out)
    assert replay["images_played"] == 12 and results["queries"] >= 10
    assert results["availability"] >= 0.8 and results["median_translation_m"] < 0.03
    assert results["false_poses"] == 0
