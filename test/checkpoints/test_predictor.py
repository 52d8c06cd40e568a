"""A checkpoint run by ONNX Runtime and by torch: the same answers, and no torch once the file is made."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
from relpose_ros.checkpoints.predictor import Predictor
from relpose_ros.checkpoints.runtimes import agree
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.networks.registry import build_network

NAME = "scene_coordinates.dsacstar_tiny"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("checkpoint") / "net.safetensors"
    return write_checkpoint(path, build_network(NAME).state_dict(), CheckpointInfo(NAME))


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).standard_normal((1, 1, 64, 96)).astype(np.float32)


def test_all_backends_agree(checkpoint, image, tmp_path):
    kinds = ("torch", "onnxruntime", "openvino", "auto")
    runs = [Predictor(checkpoint, kind, cache=tmp_path, threads=1) for kind in kinds]
    (expected,), *others = (run(image) for run in runs)
    assert expected.shape == (1, 3, 8, 12)
    for (found,) in others:
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert runs[0].identity == runs[1].identity and len(runs[0].identity) == 64


def test_a_runtime_that_disagrees_is_not_taken(checkpoint, image, tmp_path, monkeypatch):
    (expected,) = Predictor(checkpoint, "onnxruntime", cache=tmp_path)(image)
    calls = []

    def wrong(path, threads):
        return lambda *arrays: (calls.append(1) or 1.01 * expected,)

    monkeypatch.setattr("relpose_ros.checkpoints.predictor.run_in_openvino", wrong)
    run = Predictor(checkpoint, cache=tmp_path)
    for _ in range(2):
        np.testing.assert_array_equal(run(image)[0], expected)
    assert len(calls) == 1  # asked once, not trusted


@pytest.mark.parametrize(
    ("found", "alike"),
    [([1.0, 2.0], True), ([1.0, 2.001], True), ([1.0, 2.1], False), ([1.0], False), ([1.0, np.nan], False)],
)
def test_what_agrees(found, alike):
    assert agree((np.array(found),), (np.array([1.0, 2.0]),), 1e-3) == alike
    assert not agree((np.array([3]),), (np.array([4]),), 1e3)


def test_each_shape_has_its_file_and_keeps_it(checkpoint, image, tmp_path):
    run = Predictor(checkpoint, "onnxruntime", cache=tmp_path)
    run(image), run(image), run(image[..., :64])
    files = sorted(tmp_path.glob("*.onnx"))
    assert len(files) == 2
    stamps = [file.stat().st_mtime_ns for file in files]
    Predictor(checkpoint, "onnxruntime", cache=tmp_path)(image)
    assert [file.stat().st_mtime_ns for file in files] == stamps


def test_torch_is_not_needed_once_the_file_is_there(checkpoint, image, tmp_path):
    (expected,) = Predictor(checkpoint, "onnxruntime", cache=tmp_path)(image)
    np.save(tmp_path / "image.npy", image)
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from relpose_ros.checkpoints.predictor import Predictor\n"
        f"run = Predictor({str(checkpoint)!r}, cache={str(tmp_path)!r})\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, run(np.load({str(tmp_path / 'image.npy')!r}))[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, atol=1e-4 * np.abs(expected).max())


def test_without_torch_a_missing_file_says_what_to_do(checkpoint, tmp_path):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np; from relpose_ros.checkpoints.predictor import Predictor\n"
        f"Predictor({str(checkpoint)!r}, cache={str(tmp_path)!r})(np.zeros((1, 1, 64, 64), np.float32))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "DependencyError" in done.stderr and "relpose_ros[learned]" in done.stderr


def test_wrong_use_is_said(checkpoint, tmp_path):
    with pytest.raises(ConfigurationError, match="unknown backend 'tensorrt'"):
        Predictor(checkpoint, "tensorrt")
    with pytest.raises(CheckpointError, match="found no file"):
        Predictor(tmp_path / "no.safetensors")
