"""`--retrieval FILE`: a map by a checkpoint, and what is asked of it."""

from __future__ import annotations

import json

import pytest

from relpose_ros.cli.main import main


@pytest.fixture
def build(small_world, onnx_cache, tmp_path):
    """Runs `relpose map build` into tmp_path; gives the map's path."""

    def run(*options: str):
        out = tmp_path / "office.relmap"
        command = ["map", "build", str(small_world.folder), "--out", str(out), "--calibration-samples", "2"]
        assert main([*command, *options]) == 0
        return out

    return run


def test_a_map_by_a_checkpoint(build, small_world, retrieval_checkpoint, capsys):
    file = str(retrieval_checkpoint)
    made = str(build("--retrieval", file))
    capsys.readouterr()
    assert main(["map", "info", made, "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["descriptor"], info["describer"]["kind"]) == ("places0.safetensors", "checkpoint")
    assert main(["map", "info", made]) == 0
    assert info["describer"]["sha256"] in capsys.readouterr().out
    image = [str(small_world.query(2)), "--camera", str(small_world.camera_file)]
    assert main(["localize", "--map", made, "--retrieval", file, *image, "--json"]) == 0
    assert "describe" in json.loads(capsys.readouterr().out)["latency_ms"]
    assert main(["localize", "--map", made, *image]) == 2
    assert "--retrieval places0.safetensors" in capsys.readouterr().err


def test_files_that_do_not_fit(
    small_world, learned_map, retrieval_checkpoint, ratio_pruner, capsys, tmp_path
):
    image = [str(small_world.query(2)), "--camera", str(small_world.camera_file)]
    for options, words in (
        (["--map", str(small_world.map), "--retrieval", str(retrieval_checkpoint)], "made without weights"),
        (["--map", str(learned_map), "--retrieval", str(ratio_pruner)], "one_to_one.ltfgc"),
        (["--map", str(learned_map), "--retrieval", "none.yaml"], "none.yaml"),
        (["--scene", str(ratio_pruner), "--retrieval", str(retrieval_checkpoint)], "references of a map"),
    ):
        assert main(["localize", *options, *image]) == 2
        assert words in capsys.readouterr().err
    add = ["map", "add", str(learned_map), str(small_world.folder), "--out", str(tmp_path / "x.relmap")]
    assert main(add) == 2
    assert "--retrieval places0.safetensors" in capsys.readouterr().err
