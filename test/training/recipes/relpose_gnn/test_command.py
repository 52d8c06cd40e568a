"""`relpose test relpose_gnn` from checkpoints, folders and files to tables, JSON and a picture."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.cli.main import main
from relpose_ros.networks.registry import build_network


@pytest.fixture
def checkpoint(recipe, tmp_path):
    """`checkpoint("name", **settings)`: what such a recipe would leave, with the weights it begins with."""

    def make(name="small", **settings):
        torch.manual_seed(0)
        chosen = recipe(**settings)
        weights, info = chosen.module().network.state_dict(), CheckpointInfo(**chosen.checkpoint())
        return write_checkpoint(tmp_path / f"{name}.safetensors", weights, info)

    return make


def run(*words) -> int:
    return main(["test", "relpose_gnn", *map(str, words), "--device", "cpu"])


def read(folder):
    return json.loads((folder / "results.json").read_text())


def test_the_command_from_beginning_to_end(checkpoint, walls, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(checkpoint(), walls, "--split", "val", "--out", out, "--save-predictions") == 0
    printed = capsys.readouterr().out
    assert "as on a robot" in printed and "mean of scenes" in printed
    assert (out / "table.txt").read_text().rstrip() in printed
    assert (out / "errors.png").stat().st_size > 5000
    (test,) = read(out)["tests"]
    assert set(test["all"]) == {"first edge", "robust mean", "as on a robot", "best reference"}
    assert set(test["scenes"]) == {"wall12", "wall13", "wall14"} and len(test["queries"]) == 15
    wall = [q for q in test["queries"] if q["scene"] == "wall13"]
    far = test["scenes"]["wall13"]["robust mean"]["median_translation_m"]
    assert far == pytest.approx(np.median([q["robust mean"][0] for q in wall]))
    medians = [ways["first edge"]["median_rotation_deg"] for ways in test["scenes"].values()]
    assert test["average"]["first edge"]["median_rotation_deg"] == pytest.approx(np.mean(medians))
    shares = test["coverage"]["parts"]["edges"]["shares"]
    assert 0 <= shares["0.5"] <= shares["0.95"] <= 1
    assert_scored_again(out, test, tmp_path)


def assert_scored_again(out, test, tmp_path):
    """The files that were left give the numbers that were found."""
    files = sorted(out.glob("small_wall*.npz"))
    assert len(files) == 3
    assert run(*files, "--out", tmp_path / "again") == 0
    again = read(tmp_path / "again")
    for path, row in again["predictions"].items():
        scene = path.split("small_")[1].split("__")[0]
        found = test["scenes"][scene]["first edge"]["median_translation_m"]
        assert row["median_translation_m"] == pytest.approx(found, abs=1e-9)
        assert row["named"] in row["file_name"] and path.endswith(row["file_name"])
    assert not again["tests"] and not (tmp_path / "again/errors.png").exists()


def test_checkpoints_of_one_name_are_told_apart(checkpoint, walls, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        shutil.copy(checkpoint(), folder / "best.safetensors")
    words = (first / "best.safetensors", second / "best.safetensors", walls, "--split", "val", "--every", 5)
    assert run(*words, "--scene", "wall12", "wall14", "--out", tmp_path / "out") == 0
    tests = read(tmp_path / "out")["tests"]
    assert len({test["checkpoint"] for test in tests}) == 2
    assert [len(test["queries"]) for test in tests] == [2, 2], "every fifth of five, of two scenes"
    assert tests[0]["all"] == tests[1]["all"]


def test_published_networks_keep_their_dropout_and_answer_by_seed(checkpoint, walls, tmp_path, capsys):
    path = checkpoint(
        "release", published=True, convention="vector_difference_cambridge", compat=True, dropout=0.5
    )
    words = (path, walls, "--split", "val", "--every", 2)
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert run(*words, "--seed", seed, "--out", tmp_path / name) == 0
    a, b, c = (read(tmp_path / name)["tests"][0] for name in "abc")
    assert a["all"] == b["all"] and a["all"] != c["all"]
    assert a["coverage"] is None
    wall = a["published_protocol"]["release_wall12"]
    assert wall["extrinsic"] and wall["median_translation_m"] != wall["centres"]["median_translation_m"]
    centres = a["scenes"]["wall12"]["first edge"]["median_translation_m"]
    assert wall["centres"]["median_translation_m"] == pytest.approx(centres, abs=1e-9)
    assert "published protocol" in capsys.readouterr().out


def test_fewer_neighbours_may_be_asked(checkpoint, walls, tmp_path):
    path = checkpoint()
    assert run(path, walls, "--split", "val", "--neighbours", 1, "--out", tmp_path / "one") == 0
    ways = read(tmp_path / "one")["tests"][0]["all"]
    for metric, value in ways["first edge"].items():
        assert ways["robust mean"][metric] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{checkpoint}"], "expected a folder of graphs"),
        (["{walls}"], "expected checkpoints"),
        (["{checkpoint}", "{walls}"], "test.json: not there"),
        (["{checkpoint}", "{walls}", "--split", "val", "--scene", "wall99"], "no scene 'wall99'"),
        (["{checkpoint}", "{walls}", "--split", "val", "--fixed"], "references drawn"),
        (["{checkpoint}", "{walls}", "--split", "val", "--period", "9"], "expected 19 references"),
        (["{checkpoint}", "{walls}", "--every", "0"], "--every"),
        (["{checkpoint}", "{walls}", "--neighbours", "0"], "--neighbours"),
        (["{checkpoint}", "{walls}", "--split", "val", "--save-predictions"], "needs --out"),
        (["{folder}/nowhere.npz"], "expected predictions"),
    ],
)
def test_what_cannot_be_done_is_said(checkpoint, walls, tmp_path, capsys, words, message):
    given = [word.format(checkpoint=checkpoint(), walls=walls, folder=tmp_path) for word in words]
    capsys.readouterr()
    assert run(*given) != 0
    assert message in capsys.readouterr().err


def test_images_of_another_kind_are_refused(checkpoint, walls, tmp_path, capsys):
    folder = tmp_path / "others"
    shutil.copytree(walls, folder)
    index = json.loads((folder / "val.json").read_text())
    index["input"]["focal"] = 55.0
    (folder / "val.json").write_text(json.dumps(index))
    assert run(checkpoint(), folder, "--split", "val") != 0
    assert "was trained on images as" in capsys.readouterr().err


def test_another_network_is_refused(walls, tmp_path, capsys):
    network = build_network("one_to_one.ltfgc", blocks=1)
    info = CheckpointInfo("one_to_one.ltfgc", parameters={"blocks": 1})
    path = write_checkpoint(tmp_path / "other.safetensors", network.state_dict(), info)
    assert run(path, walls, "--split", "val") != 0
    assert "expected a network over graphs" in capsys.readouterr().err
