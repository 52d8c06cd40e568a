"""Files of weights from strangers: read as data, refused otherwise, never run."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import zipfile

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.errors import CheckpointError


class Hostile:
    """Unpickled carelessly, it makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (os.system, (f"touch {self.mark}",))


class HostileByEval(Hostile):
    def __reduce__(self):
        return (eval, (f"open({str(self.mark)!r}, 'w')",))


def zipped(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def legacy(content) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize("save", [zipped, legacy, pickle.dumps], ids=["zip", "legacy", "bare pickle"])
@pytest.mark.parametrize("kind", [Hostile, HostileByEval])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path, save, kind):
    mark = tmp_path / "it_ran"
    path = tmp_path / "model.pth.tar"
    path.write_bytes(save({"state_dict": {"w": torch.zeros(2)}, "epoch": kind(mark)}))
    with pytest.raises(CheckpointError, match=r"(?s)refused.*[Nn]othing in it was executed"):
        read_container(path)
    assert not mark.exists()
    pickle.loads(pickle.dumps(kind(mark)))  # noqa: S301 (so this test can fail: loaded carelessly, it does run)
    assert mark.exists()


def test_the_refusal_names_what_it_would_have_called(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(zipped(Hostile(tmp_path / "x")))
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        read_container(path)


@pytest.mark.parametrize("save", [zipped, legacy], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tmp_path, save, share):
    whole = save({"w": torch.arange(5000.0)})
    path = tmp_path / "model.pth"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"model\.pth.*whole"):
        read_container(path)


@pytest.mark.parametrize("content", [b"<html>404 Not Found</html>" * 50, bytes(1000), b"\x80\x02" * 200])
def test_something_else_is_refused(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="expected a torch checkpoint"):
        read_container(path)


def test_numpy_scalars_and_arrays_of_published_checkpoints_are_read(tmp_path):
    path = tmp_path / "model_best.pth.tar"
    best = {"best_recall5": np.float64(0.93), "losses": np.arange(6.0).reshape(2, 3), "flag": np.bool_(True)}
    path.write_bytes(zipped({"state_dict": {"w": torch.ones(3)}, **best}))
    content = read_container(path)
    assert content["best_recall5"] == 0.93 and content["flag"]
    np.testing.assert_array_equal(content["losses"], best["losses"])


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="found none"):
        read_container(tmp_path / "nothing.pth")


def test_hdf5_arrays_are_read_and_links_are_not_followed(tmp_path):
    secret, path = tmp_path / "secret.h5", tmp_path / "centres.hdf5"
    with h5py.File(secret, "w") as file:
        file["inside"] = np.ones(3)
    with h5py.File(path, "w") as file:
        file["centroids"] = np.arange(6, dtype=">f4").reshape(2, 3)  # of either byte order
        file["words"] = "text is no weight"
        file["elsewhere"] = h5py.ExternalLink(str(secret), "inside")
    content = read_container(path)
    assert list(content) == ["centroids"]
    np.testing.assert_array_equal(content["centroids"], np.arange(6).reshape(2, 3))


def test_hdf5_arrays_that_lie_in_other_files_are_not_read(tmp_path):
    secret, source, path = tmp_path / "secret.txt", tmp_path / "source.h5", tmp_path / "centres.hdf5"
    secret.write_text("password")
    with h5py.File(source, "w") as file:
        file["inside"] = np.ones(3)
    layout = h5py.VirtualLayout(shape=(3,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(source), "inside", shape=(3,))
    with h5py.File(path, "w") as file:
        file["centroids"] = np.ones(2)
        file.create_dataset("external", shape=(8,), dtype="u1", external=[(str(secret), 0, 8)])
        file.create_virtual_dataset("virtual", layout)
    with h5py.File(path) as file:  # so this test can fail: read carelessly, it is there
        assert bytes(file["external"][()]) == b"password" and file["virtual"][0] == 1
    assert list(read_container(path)) == ["centroids"]


def test_an_hdf5_array_larger_than_its_file_can_hold_is_refused(tmp_path):
    path = tmp_path / "centres.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("centroids", shape=(1 << 20, 1 << 18), dtype="f4", chunks=(64, 64))
    with pytest.raises(CheckpointError, match="times as large as the file"):
        read_container(path)


def test_a_packed_archive_is_refused(tmp_path):
    path = tmp_path / "model.pth"
    whole = zipped({"w": torch.zeros(100_000)})
    with zipfile.ZipFile(io.BytesIO(whole)) as stored, zipfile.ZipFile(path, "w") as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name), zipfile.ZIP_DEFLATED)
    assert torch.load(path, weights_only=True)["w"].numel() == 100_000  # torch itself would unpack it
    with pytest.raises(CheckpointError, match="packed into"):
        read_container(path)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ending", [".pth", ".legacy.pth", ".safetensors", ".h5"])
def test_damaged_bytes_are_refused_or_read_but_never_a_crash(tmp_path, ending, seed):
    path, generator = tmp_path / f"model{ending}", np.random.default_rng(seed)
    content = {"w": torch.arange(12.0), "best": np.float64(0.5)}
    if ending == ".h5":
        with h5py.File(path, "w") as file:
            file["w"] = np.arange(12.0)
    elif ending == ".safetensors":
        save_file({"w": torch.arange(12.0)}, path)
    else:
        path.write_bytes(legacy(content) if "legacy" in ending else zipped(content))
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(40):
        damaged = whole.copy()
        damaged[generator.integers(len(whole), size=3)] = generator.integers(256, size=3)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(CheckpointError):
            read_container(path)


def test_broken_hdf5_is_refused(tmp_path):
    path = tmp_path / "centres.hdf5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))
    with pytest.raises(CheckpointError, match="expected an HDF5 file"):
        read_container(path)


def test_hdf5_without_numbers_is_refused(tmp_path):
    path = tmp_path / "centres.hdf5"
    with h5py.File(path, "w") as file:
        file["words"] = "text"
    with pytest.raises(CheckpointError, match="expected arrays of numbers"):
        read_container(path)


@pytest.mark.parametrize(
    "content",
    [b"", struct.pack("<Q", 1 << 60) + b"{}", struct.pack("<Q", 10) + b"not json!!", b"\x00" * 100],
    ids=["empty", "header of an exabyte", "no json", "zeros"],
)
def test_broken_safetensors_are_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="safetensors"):
        read_container(path)
