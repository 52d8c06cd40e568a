"""`relpose map prune|check|view` and conditions on a map of points."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from relpose_ros.cli.main import main
from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Map

FITTED = {"scale": 2.0, "samples": 60, "tried": 80, "availability": 0.9, "wrong": 0}


@pytest.fixture(scope="module")
def hall(point_world: Any, tmp_path_factory: pytest.TempPathFactory) -> Map:
    """By day, and a little beside at night."""
    references = [*point_world.references(10), *point_world.references(10, turns=1.02, prefix="s")]
    made = assemble(references, "hall", True, BuildOptions(), {"source": "points"})
    made = replace(made, conditions=("day",) * 10 + ("night",) * 10, calibration=FITTED)
    return made.save(tmp_path_factory.mktemp("hall") / "hall.relmap")


def test_conditions_are_listed(hall, capsys):
    assert main(["map", "info", str(hall.path), "--conditions"]) == 0
    head, day, night = capsys.readouterr().out.splitlines()
    assert head.split() == ["condition", "references", "landmarks", "shared", "with", "others"]
    assert day.split()[:2] == ["day", "10"] and night.split()[0] == "night"
    assert day.split()[3] == night.split()[3] != "0"
    assert main(["map", "info", str(hall.path)]) == 0
    assert "condition_counts.night  " in capsys.readouterr().out


def test_a_condition_is_removed(hall, tmp_path, capsys):
    out = tmp_path / "day.relmap"
    assert main(["map", "remove", str(hall.path), "--condition", "night", "--out", str(out)]) == 0
    assert Map.open(out).reference_names == hall.reference_names[:10]
    assert main(["map", "remove", str(hall.path), "r00", "--condition", "night", "--out", str(out)]) == 0
    assert len(Map.open(out)) == 9
    capsys.readouterr()
    assert main(["map", "remove", str(hall.path), "--condition", "fog", "--out", str(out)]) == 2
    assert "expected one of: day, night" in capsys.readouterr().err
    assert main(["map", "remove", str(hall.path), "--out", str(out)]) == 2
    assert "--condition TEXT" in capsys.readouterr().err


def test_prune_says_what_it_costs(hall, tmp_path, capsys):
    both_day = replace(hall, conditions=("",) * 20).save(tmp_path / "both.relmap")
    line = ["map", "prune", str(both_day.path), "--max-loss", "0.3", "--list"]
    assert main([*line, "--dry-run"]) == 0
    dry = capsys.readouterr().out
    assert "nothing was written" in dry and "largest loss of a view" in dry and "redundant  " in dry
    assert main([*line, "--out", str(tmp_path / "thin.relmap")]) == 0
    wet = capsys.readouterr().out
    assert wet.splitlines()[:-1] == dry.splitlines()[:-1] and wet.endswith("thin.relmap: written\n")
    gone = [row.split()[1] for row in wet.splitlines() if row.startswith("redundant ")]
    left = Map.open(tmp_path / "thin.relmap").reference_names
    assert gone and not set(gone) & set(left) and len(left) == 20 - len(gone)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ([], "either --out MAP or --dry-run"),
        (["--dry-run", "--out", "x"], "either --out MAP or --dry-run"),
        (["--dry-run", "--max-loss", "7"], "max_loss: expected a share"),
    ],
)
def test_prune_refuses_nonsense(hall, capsys, line, says):
    assert main(["map", "prune", str(hall.path), *line]) == 2
    assert says in capsys.readouterr().err


def test_check_of_a_sound_map(hall, capsys):
    assert main(["map", "check", str(hall.path)]) == 0
    said = capsys.readouterr().out
    assert "20 references" in said and "0 problems" in said


def test_check_of_a_bad_one_is_a_list_with_status_1(hall, tmp_path, capsys):
    bad = replace(hall, calibration={}).save(tmp_path / "bad.relmap")
    assert main(["map", "check", str(bad.path)]) == 1
    said = capsys.readouterr().out
    assert "1 problems" in said and "problem  the covariance is not calibrated" in said and " -> " in said
    assert main(["map", "check", str(bad.path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["healthy"] and told["findings"][0]["grade"] == "problem"


def test_check_of_a_damaged_and_of_a_missing_file(hall, tmp_path, capsys):
    path = tmp_path / "cut.relmap"
    path.write_bytes(hall.path.read_bytes()[:-100])
    assert main(["map", "check", str(path)]) == 1
    assert "checksum does not match" in capsys.readouterr().out
    assert main(["map", "check", str(tmp_path / "none.relmap")]) == 2


def test_view_writes_one_page(hall, tmp_path, capsys):
    assert main(["map", "view", str(hall.path), "--out", str(tmp_path / "hall.html")]) == 0
    text = (tmp_path / "hall.html").read_text()
    assert (
        "night" in text and "<script" not in text and str(tmp_path / "hall.html") in capsys.readouterr().out
    )


def test_view_shows_what_an_evaluation_did_not_use(hall, tmp_path):
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"per_query": [{"references": list(hall.reference_names[1:])}]}))
    line = ["map", "view", str(hall.path), "--results", str(results), "--out", str(tmp_path / "v.html")]
    assert main(line) == 0
    assert "1 references</summary>" in (tmp_path / "v.html").read_text()


def test_what_is_drawn_is_the_map(hall):
    from relpose_ros.cli.map_field import scene_of

    scene = scene_of(hall)
    assert scene.landmarks.tolist() == [len(v) for v in hall.visible] and (scene.partners > 0).all()
    np.testing.assert_array_equal(scene.points, hall.landmarks.points)
    assert set(scene.conditions) == {"day", "night"}
