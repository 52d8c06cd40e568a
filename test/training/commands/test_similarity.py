"""`relpose prepare similarity`, as one types it."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from relpose_ros.cli.main import main
from relpose_training.data.similarity_table import read_table

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

from scene_fixture import write_room


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return write_room(tmp_path_factory.mktemp("room"), 8, 2, domains=("real", "simulated"), shards=2)


def test_a_set_gets_a_table_and_a_picture(room, tmp_path, capsys):
    out, plot = tmp_path / "new" / "table.h5", tmp_path / "plot.png"
    words = ["--out", out, "--plot", plot, "--near", "0.2", "--rerank", "--k1", "4", "--k2", "2"]
    assert main(["prepare", "similarity", *map(str, [room, *words])]) == 0
    assert "16 views, 8 real and 8 simulated" in capsys.readouterr().out
    table = read_table(out)
    assert table.options["metric"] == "distance" and table.options["rerank"] == [4, 2, 0.3]
    assert [p.name for p in out.parent.iterdir()] == ["table.h5"]
    picture = cv2.imread(str(plot))
    right = picture[:, picture.shape[1] // 2 :]
    assert min(picture.shape[:2]) > 300 and (right.std(axis=2) > 5).mean() > 0.1, (
        "there are coloured views in it"
    )


def test_a_source_of_posed_images_will_do(wall_folder, tmp_path, capsys):
    folder = wall_folder(tmp_path / "wall", 5)
    out = tmp_path / "table.h5"
    words = ["--metric", "distance", "--weights", "0", "0.5", "0.5", "--out", str(out)]
    assert main(["prepare", "similarity", str(folder), *words]) == 0
    table = read_table(out)
    assert len(table.names) == 5 and not table.simulated.any()
    assert np.array_equal(table.distance, table.distance.T) and table.distance.max() > 50


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--points", "0"], "points of 1 or more"),
        (["--metric", "surface"], "surfaces need depth"),
        ([], "no view knows what it sees"),
    ],
)
def test_what_cannot_be_done_is_said(wall_folder, tmp_path, capsys, words, said):
    folder = wall_folder(tmp_path / "wall", 3)
    assert main(["prepare", "similarity", str(folder), "--out", str(tmp_path / "t.h5"), *words]) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "t.h5").exists()
