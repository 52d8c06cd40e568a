"""`relpose show uncertainty` with a real checkpoint and real pixels."""

from __future__ import annotations

import json

import pytest

from relpose_ros.cli.main import main


@pytest.fixture
def source(tmp_path, small_world):
    """Three posed queries of the small world, and one without a pose."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    names = [f"query{n:03d}.png" for n in range(4)]
    for name in names:
        (folder / "images" / name).write_bytes((small_world.folder / "images" / name).read_bytes())
    lines = (small_world.folder / "poses.txt").read_text().splitlines()
    (folder / "poses.txt").write_text("".join(f"{x}\n" for x in lines if x.split()[0] in names[:3]))
    (folder / "split.txt").write_text("".join(f"{name} query\n" for name in names))
    (folder / "intrinsics.txt").write_text((small_world.folder / "intrinsics.txt").read_text())
    return folder


def test_pictures_figures_and_a_table(source, scene_checkpoint, onnx_cache, tmp_path, capsys):
    out = tmp_path / "pictures"
    command = ["show", "uncertainty", str(scene_checkpoint), str(source), "--out", str(out), "--images", "2"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "query000.png" in said and "query002.png" in said and "all (px)" in said
    assert str(out / "index.html") in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["checkpoint"] == "untrained.safetensors" and len(summary["sha256"]) == 64
    assert summary["images"] == 2 and abs(summary["all"]["px"]["spearman"]) <= 1
    assert sorted(p.name for p in out.glob("*.png")) == [r["picture"] for r in summary["per_image"]]


def test_json(source, scene_checkpoint, onnx_cache, tmp_path, capsys):
    command = ["show", "uncertainty", str(scene_checkpoint), str(source), "--out", str(tmp_path / "out")]
    assert main([*command, "--images", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 1


def test_what_is_no_scene_is_refused(source, ratio_pruner, small_world, tmp_path, capsys):
    for checkpoint, words in (
        (ratio_pruner, "knows none"),
        (small_world.map, "expected a checkpoint"),
        (tmp_path / "no.safetensors", "found no file"),
    ):
        command = ["show", "uncertainty", str(checkpoint), str(source), "--out", str(tmp_path / "out")]
        assert main(command) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
