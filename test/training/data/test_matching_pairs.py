"""The evaluation's HDF5: what is written is read, and other files are refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.matching_pairs import (
    ImageFeatures,
    PosedPair,
    read_features,
    read_pairs,
    write_features,
    write_pairs,
)


def features(count, seed=0):
    generator = np.random.default_rng(seed)
    return ImageFeatures(
        generator.random((count, 3)).astype(np.float32), generator.random((count, 8)).astype(np.float32)
    )


def pair(count=5):
    pose = Rigid.from_rotation_vector([0.1, 0.2, 0.3], [0.6, 0, 0.8])
    matrices = np.diag([500.0, 510, 1]), np.diag([400.0, 410, 1])
    return PosedPair((features(count), features(count + 1)), matrices, ("a/0.jpg", "a/1.jpg"), pose)


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "pairs.hdf5"
    assert write_pairs(path, (pair(n) for n in range(12))) == 12
    found = list(read_pairs(path))
    assert [len(p.features[0].keypoints) for p in found] == list(range(12))
    assert found[3].image_paths == ("a/0.jpg", "a/1.jpg")
    assert np.array_equal(found[3].second_from_first.matrix, pair().second_from_first.matrix)
    assert np.array_equal(found[3].features[1].descriptors, features(4).descriptors)
    assert [p.name for p in tmp_path.iterdir()] == ["pairs.hdf5"]


def test_e_and_f_are_of_norm_one_and_true(tmp_path):
    one = pair()
    point = np.array([0.3, -0.2, 4.0])
    moved = one.second_from_first.apply(point[None])[0]
    x1, x2 = one.matrices[0] @ point, one.matrices[1] @ moved
    assert abs(moved @ one.essential @ point) < 1e-12
    assert abs(x2 @ one.fundamental @ x1) < 1e-6
    assert np.linalg.norm(one.essential) == pytest.approx(1) == np.linalg.norm(one.fundamental)


def test_translations_without_a_second_axis_are_read(tmp_path):
    path = tmp_path / "pairs.hdf5"
    write_pairs(path, [pair()])
    with h5py.File(path, "a") as file:
        del file["T/0"]
        file["T/0"] = np.array([0.6, 0, 0.8])
    assert next(read_pairs(path)).second_from_first.translation.tolist() == [0.6, 0, 0.8]


def test_a_failed_write_leaves_nothing(tmp_path):
    def broken():
        yield pair()
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_pairs(tmp_path / "pairs.hdf5", broken())
    assert not list(tmp_path.iterdir())


def test_names_that_the_layout_cannot_hold_are_refused(tmp_path):
    one = pair()
    named = PosedPair(one.features, one.matrices, ("ä.jpg", "b.jpg"), one.second_from_first)
    with pytest.raises(DatasetError, match="ASCII"):
        write_pairs(tmp_path / "pairs.hdf5", [named])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("K1/0", np.eye(4)),
        ("T/0", np.zeros(4)),
        ("kpt2/0", np.zeros((5, 2))),
        ("desc1/0", np.zeros((4, 8))),
        ("img_path1/0", np.zeros(3)),
        ("R/0", None),
        ("e", None),
    ],
)
def test_other_layouts_are_refused(tmp_path, name, value):
    path = tmp_path / "pairs.hdf5"
    write_pairs(path, [pair()])
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file[name] = value
    if name in ("e", "R/0"):  # not needed to read; an empty R has no pairs
        assert len(list(read_pairs(path))) == (0 if name == "R/0" else 1)
        return
    with pytest.raises(DatasetError, match=r"pairs\.hdf5: expected"):
        list(read_pairs(path))


def test_links_to_other_files_are_refused(tmp_path):
    write_features(tmp_path / "secret.hdf5", features(3))
    path = tmp_path / "features.hdf5"
    with h5py.File(path, "w") as file:
        file["keypoints"] = h5py.ExternalLink("secret.hdf5", "keypoints")
        file["descriptors"] = np.zeros((3, 8), np.float32)
    with pytest.raises(DatasetError, match="expected a group keypoints"):
        read_features(path)


def test_what_is_no_hdf5_is_refused(tmp_path):
    path = tmp_path / "features.hdf5"
    with pytest.raises(DatasetError, match=r"features\.hdf5"):
        read_features(path)
    path.write_bytes(b"no HDF5 at all")
    with pytest.raises(DatasetError, match="not a whole HDF5 file"):
        read_features(path)
    with pytest.raises(DatasetError, match="not a whole HDF5 file"):
        list(read_pairs(path))
    write_features(path, features(4))
    assert np.array_equal(read_features(path).keypoints, features(4).keypoints)
