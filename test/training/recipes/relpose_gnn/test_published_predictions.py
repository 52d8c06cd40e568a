"""Files of predictions: theirs, ours, and such as would like to be run."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_training.recipes.relpose_gnn.published_predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)


def poses(seed: int, count: int = 5) -> Rigid:
    rng = np.random.default_rng(seed)
    return Rigid.from_rotation_vector(rng.normal(size=(count, 3)), rng.normal(size=(count, 3)))


def columns(count: int = 5) -> dict:
    """As their program saves them."""
    paths = [Path("chess/seq-03") / f"frame-{k:06d}.color.png" for k in range(count)]
    found = {"rel_path": np.array(paths, object)}
    for name, seed in (("abs", 0), ("targ", 1)):
        quaternion = poses(seed, count).rotation_xyzw[:, [3, 0, 1, 2]]
        translation = poses(seed, count).translation
        found |= {f"{name}_t": translation.astype(np.float32), f"{name}_q": quaternion.astype(np.float32)}
    return found


def saved(path: Path, **changes) -> Path:
    np.savez(path, **{**columns(), **changes})
    return path


def test_their_file_is_scored(tmp_path):
    read = read_predictions(saved(tmp_path / "relpose_gnn__multi_39_chess__0.09_2.9.npz"))
    assert read.label == "relpose_gnn__multi_39_chess" and read.named == "0.09_2.9"
    assert read.names[1] == "chess/seq-03/frame-000001.color.png"
    far, turned = read.errors()
    truth = poses(0).distance_to(poses(1))
    np.testing.assert_allclose(far, truth[0], atol=1e-6)
    np.testing.assert_allclose(turned, np.degrees(truth[1]), atol=1e-4)
    assert read.file_name == f"{read.label}__{np.median(far):.2f}_{np.median(turned):.1f}.npz"


def test_paths_of_any_system_are_names(tmp_path):
    kinds = np.array(
        [PurePosixPath("/a/b.png"), PureWindowsPath("a/b.png"), "c.png", Path("."), Path("d")], object
    )
    read = read_predictions(saved(tmp_path / "x.npz", rel_path=kinds))
    assert read.names == ("/a/b.png", "a/b.png", "c.png", ".", "d")
    assert (read.label, read.named) == ("x", "")


def test_ours_is_read_back_and_holds_no_pickle(tmp_path):
    told = Predictions("best_room:1", ("room:1/a.png", "room:1/b.png"), poses(3, 2), poses(4, 2))
    path = write_predictions(tmp_path, told)
    assert path.name == f"best_room-1__{told.medians}.npz"
    with np.load(path, allow_pickle=False) as stored:
        assert stored["rel_path"].tolist() == list(told.names)
    read = read_predictions(path)
    assert read.names == told.names and read.medians == read.named == told.medians
    np.testing.assert_allclose(read.found.matrix, told.found.matrix, atol=1e-12)


def test_extrinsics_are_scored_as_published_and_as_cameras():
    """A camera that is turned on its spot stays where it is, but its extrinsic translation moves."""
    true = poses(5, 20)
    found = Rigid(poses(6, 20).rotation, true.translation)
    told = Predictions("x", ("a",) * 20, found.inverse(), true.inverse(), extrinsic=True)
    assert told.errors()[0].min() > 0.05
    np.testing.assert_allclose(told.centre_errors()[0], 0, atol=1e-12)
    np.testing.assert_allclose(told.centre_errors()[1], told.errors()[1], atol=1e-6)


def test_no_pose_is_an_infinite_error():
    found = Rigid(poses(0, 2).rotation, [[np.nan] * 3, [0, 0, 0]])
    far, turned = Predictions("x", ("a", "b"), found, poses(1, 2)).errors()
    assert np.isinf([far[0], turned[0]]).all() and np.isfinite([far[1], turned[1]]).all()


class Bomb:
    """Makes a folder when unpickled."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_run(tmp_path):
    marker = tmp_path / "ran"
    for name in ("rel_path", "abs_t"):
        path = saved(tmp_path / "x.npz", **{name: np.array([Bomb(marker)] * 5, object)})
        with pytest.raises(DatasetError, match="mkdir"):
            read_predictions(path)
    assert not marker.exists()


WRONG = {
    "rel_path": [
        np.arange(5),
        np.array(["a"]),
        np.zeros((0,), str),
        np.array([1, "a", "b", "c", "d"], object),
    ],
    "abs_t": [np.zeros((5, 4)), np.zeros((4, 3)), np.zeros((5, 3), int), np.array(["a"] * 5)],
    "targ_q": [np.zeros((5, 4)), np.full((5, 4), np.nan)],
}


@pytest.mark.parametrize(
    ("name", "index"), [(n, k) for n, values in WRONG.items() for k in range(len(values))]
)
def test_what_does_not_fit_is_refused(tmp_path, name, index):
    path = saved(tmp_path / "x.npz", **{name: WRONG[name][index]})
    with pytest.raises(DatasetError, match=r"x\.npz"):
        read_predictions(path)


def test_what_is_no_such_file_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", keypoints=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other", "text", "nowhere"):
        with pytest.raises(DatasetError, match="expected predictions"):
            read_predictions(tmp_path / f"{name}.npz")


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "x.npz"
    whole = bytearray(saved(path).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    try:
        read = read_predictions(path)
    except DatasetError:
        return
    assert len(read.names) == len(read.found) == 5
