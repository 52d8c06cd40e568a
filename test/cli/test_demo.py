"""`relpose demo` without nodes: its folder, its sources, and what it does where ROS 2 is missing."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace

import pytest

from relpose_ros.cli import demonstration
from relpose_ros.cli.demo_folder import MADE, prepare_folder
from relpose_ros.cli.demonstration import (
    DemoOptions,
    check_source,
    is_in_store,
    simulation_options,
    with_queries,
)
from relpose_ros.cli.main import main
from relpose_ros.datasets.open import open_source
from relpose_ros.datasets.simulate.dataset import simulate
from relpose_ros.errors import ConfigurationError, DatasetError


def test_a_folder_of_an_earlier_demo_is_emptied_of_what_it_made(tmp_path):
    out = prepare_folder(tmp_path / "deep" / "out")
    (out / "world").mkdir()
    (out / "world" / "a.jpg").touch()
    (out / "map.relmap").touch()
    (out / "mine.txt").write_text("precious")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (out / "report").symlink_to(elsewhere)
    prepare_folder(out)
    assert not any((out / name).exists() for name in MADE)
    assert (out / "mine.txt").read_text() == "precious" and (elsewhere / "kept").exists()


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path, capsys):
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "photo.jpg").write_text("precious")
    with pytest.raises(ConfigurationError, match="not made by a demo"):
        prepare_folder(tmp_path)
    with pytest.raises(ConfigurationError, match="is a file"):
        prepare_folder(tmp_path / "world" / "photo.jpg")
    assert main(["demo", "--quick", "--out", str(tmp_path)]) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert (tmp_path / "world" / "photo.jpg").read_text() == "precious"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["--seed", "-1"], "seed"),
        (["--profile", "best"], "default, fast, accurate"),
        (["--data", "absent"], "absent"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(tmp_path, monkeypatch, capsys, line, says):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--quick", *line]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_where_ros_is_missing_the_demo_says_so_and_goes_on(small_world, tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        demonstration.importlib.util, "find_spec", lambda name: None if name == "rclpy" else find(name)
    )
    out = tmp_path / "out"
    line = ["demo", "--quick", "--data", str(small_world.folder), "--out", str(out)]
    prepare_folder(out)  # an earlier demo was here
    (out / "map.relmap").write_text("old")
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "rclpy is missing" in said and f"report: {out}/report/report.html" in said
    results = json.loads((out / "report" / "results.json").read_text())
    assert results["queries"] == 12 and results["availability"] >= 0.8 and results["false_poses"] == 0
    assert set(json.loads((out / "demo.json").read_text())["seconds"]) == {"bag", "map", "evaluation"}
    assert len(open_source(out / "query_bag", split="query").queries) == 12


def test_a_source_without_queries_lends_some(small_world, tmp_path, capsys):
    folder = tmp_path / "all_map"
    shutil.copytree(small_world.folder, folder)
    (folder / "split.txt").unlink()
    source = with_queries(open_source(folder))
    assert len(source.queries) == 7 and len(source.references) == 29
    assert "held out" in capsys.readouterr().out


def test_a_source_that_is_too_small_is_refused(small_world):
    source = open_source(small_world.folder)
    with pytest.raises(DatasetError, match="too few"):
        check_source(replace(source, images=source.references[:3]))
    check_source(source)


def test_the_query_drive_ends_where_the_mapping_drive_never_was(tmp_path):
    source = simulate(simulation_options(DemoOptions(tmp_path)))
    outside = [is_in_store(image) for image in source.queries]
    assert not any(is_in_store(image) for image in source.references)
    assert 8 <= sum(outside) <= 20 and all(outside[-sum(outside) :])
