"""`relpose evaluate` on a small posed-image folder, with a localizer that always says the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relpose_ros.cli.main import main


@pytest.fixture
def source(images):
    """Three images, two of them queries; one of these the localizer cannot place."""
    folder = images / "source"
    (folder / "images").mkdir(parents=True)
    for name in ("a.png", "b.png", "lost.png"):
        (folder / "images" / name).write_bytes((images / name).read_bytes())
    (folder / "poses.txt").write_text("".join(f"{n} 1 2 3 0 0 0 1\n" for n in ("a.png", "b.png", "lost.png")))
    (folder / "intrinsics.txt").write_text("60 61 31.5 23.5 64 48\n")
    (folder / "split.txt").write_text("a.png map\nb.png query\nlost.png query\n")
    return folder


def test_scores_the_queries_and_writes_everything(source, localizer, capsys):
    assert main(["evaluate", "--map", "m.relmap", str(source), "--out", "report/"]) == 0
    assert [frame.source for frame in localizer.frames] == ["b.png", "lost.png"]
    said = capsys.readouterr().out
    assert "availability" in said and "50.0 %" in said and "report/report.html" in said
    results = json.loads(Path("report/results.json").read_text())
    assert (results["queries"], results["availability"], results["map"]["landmarks"]) == (2, 0.5, 3)
    assert {p.name for p in Path("report").iterdir()} >= {
        "results.json",
        "estimate.tum",
        "ground_truth.tum",
        "report.html",
    }


def test_json_prints_the_results(source, localizer, capsys):
    assert main(["evaluate", "--map", "m", str(source), "--out", "report", "--json", "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["queries"] == 1


def test_images_outside_the_map_count_as_such(source, localizer, capsys):
    assert (
        main(["evaluate", "--map", "m", str(source), "--outside", str(source), "--out", "r", "--json"]) == 0
    )
    results = json.loads(capsys.readouterr().out)
    assert results["outside_map"] == {**results["outside_map"], "queries": 3, "false_publications": 2}


def test_a_source_without_queries_is_refused(source, localizer, capsys):
    (source / "split.txt").unlink()
    assert main(["evaluate", "--map", "m", str(source), "--out", "report"]) == 2
    assert "expected query images" in capsys.readouterr().err
    assert not Path("report").exists()


def test_profile_reaches_the_localizer(source, localizer):
    main(["evaluate", "--map", "m", str(source), "--out", "r", "--profile", "fast"])
    assert localizer.args.profile == "fast"


def test_a_real_map_is_scored(small_world, tmp_path, capsys):
    out = str(tmp_path / "report")
    line = ["evaluate", "--map", str(small_world.map), str(small_world.folder), "--out", out]
    assert main([*line, "--limit", "6"]) == 0
    results = json.loads(Path(out, "results.json").read_text())
    assert results["queries"] == 6 and results["availability"] >= 0.8
    assert results["median_translation_m"] < 0.03 and results["false_poses"] == 0
    assert "availability" in capsys.readouterr().out


@pytest.mark.parametrize("limit", ["0", "-2", "x"])
def test_a_limit_of_nothing_is_refused(source, localizer, capsys, limit):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--map", "m", str(source), "--out", "r", "--limit", limit])
    assert stop.value.code == 2 and "--limit" in capsys.readouterr().err


def test_a_pruner_reaches_the_localizer(source, localizer):
    line = ["evaluate", "--map", "m", str(source), "--out", "report"]
    assert main(line) == 0 and localizer.args.pruner is None
    assert main([*line, "--pruner", "net.safetensors"]) == 0
    assert localizer.args.pruner == Path("net.safetensors")


def test_a_matcher_reaches_the_localizer(source, localizer):
    line = ["evaluate", "--map", "m", str(source), "--out", "report"]
    assert main(line) == 0
    assert (localizer.args.matcher, localizer.args.matcher_iterations) == (None, None)
    assert main([*line, "--matcher", "net.safetensors", "--matcher-iterations", "4"]) == 0
    assert localizer.args.matcher == Path("net.safetensors") and localizer.args.matcher_iterations == 4
    assert localizer.args.matcher_backend == "auto"
    assert main([*line, "--matcher", "net.safetensors", "--matcher-backend", "onnxruntime"]) == 0
    assert localizer.args.matcher_backend == "onnxruntime"


def test_a_scene_reaches_the_localizer(source, localizer):
    line = ["evaluate", str(source), "--out", "report"]
    assert main([*line, "--map", "m"]) == 0 and localizer.args.scene is None
    assert main([*line, "--scene", "room.safetensors"]) == 0
    given = vars(localizer.args)
    assert given["scene"] == Path("room.safetensors") and given["map"] is None
