"""Our checkpoint: what it says of itself, and what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from relpose_ros.checkpoints.format import (
    CheckpointInfo,
    describe_difference,
    load_network,
    load_weights,
    read_info,
    tensor_shapes,
    write_checkpoint,
)
from relpose_ros.errors import CheckpointError
from relpose_ros.networks.registry import build_network

NAME = "scene_coordinates.dsacstar_tiny"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(NAME).eval()


@pytest.fixture
def checkpoint(network, tmp_path):
    info = CheckpointInfo(NAME, licence="BSD-3-Clause", metrics={"recall": 0.5}, recipe={"name": "x"})
    return write_checkpoint(tmp_path / "net.safetensors", network.state_dict(), info)


def test_what_it_says_comes_back(checkpoint, network):
    info = read_info(checkpoint)
    assert (info.network, info.licence, info.metrics) == (NAME, "BSD-3-Clause", {"recall": 0.5})
    assert tensor_shapes(checkpoint) == {k: tuple(v.shape) for k, v in network.state_dict().items()}


def test_reading_what_it_says_needs_no_torch(checkpoint):
    code = (
        "import sys; from relpose_ros.checkpoints.format import read_info, tensor_shapes\n"
        f"read_info({str(checkpoint)!r}); tensor_shapes({str(checkpoint)!r})\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_left_behind_when_writing_fails(tmp_path, network):
    with pytest.raises(CheckpointError, match="must be JSON"):
        write_checkpoint(
            tmp_path / "n.safetensors",
            network.state_dict(),
            CheckpointInfo(NAME, metrics={"a": float("nan")}),
        )
    assert not list(tmp_path.iterdir())


def test_the_name_must_end_in_safetensors(tmp_path, network):
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors"):
        write_checkpoint(tmp_path / "n.pth", network.state_dict(), CheckpointInfo(NAME))


def test_whoever_may_read_files_of_this_user_may_read_it(tmp_path, checkpoint):
    (tmp_path / "plain").touch()
    assert checkpoint.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_tensors_that_share_memory_are_kept(tmp_path):
    value = torch.arange(4.0)
    path = write_checkpoint(
        tmp_path / "n.safetensors", {"mean": value, "decoder.mean": value[:]}, CheckpointInfo(NAME)
    )
    assert tensor_shapes(path) == {"mean": (4,), "decoder.mean": (4,)}


def test_a_truncated_checkpoint_is_refused(checkpoint):
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="cannot read it"):
        read_info(checkpoint)


def test_a_strange_safetensors_file_says_how_to_import_it(tmp_path):
    save_file({"w": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="checkpoint import"):
        read_info(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("not json", "header of this checkpoint is broken"),
        ("[]", "header of this checkpoint is broken"),
        (json.dumps({"version": 1}), "header of this checkpoint is broken"),
        (json.dumps({"version": 99, "network": NAME}), "update relpose_ros"),
        ("[" * 5000, "header of this checkpoint is broken"),
        ('{"version": 1e400, "network": "x"}', "header of this checkpoint is broken"),
        (json.dumps({"version": 1, "network": [NAME]}), "wrong or missing: network"),
        (json.dumps({"version": 1, "network": NAME, "parameters": 5}), "wrong or missing: parameters"),
    ],
)
def test_a_strange_header_is_refused(tmp_path, header, message):
    path = tmp_path / "x.safetensors"
    save_file({"w": torch.zeros(1)}, path, metadata={"relpose": header})
    with pytest.raises(CheckpointError, match=message):
        read_info(path)


def test_an_unknown_network_is_said(tmp_path):
    path = write_checkpoint(tmp_path / "x.safetensors", {"w": torch.zeros(1)}, CheckpointInfo("imp.future"))
    with pytest.raises(CheckpointError, match=r"imp\.future.*newer version"):
        load_network(path)


def test_weights_that_do_not_fit_are_described_and_nothing_is_loaded(network):
    before = {k: v.clone() for k, v in network.state_dict().items()}
    wrong = {k: torch.ones_like(v) for k, v in before.items() if k != "fc3.bias"}
    wrong["fc3.weight"] = torch.zeros(5, 5)
    wrong["extra"] = torch.zeros(1)
    with pytest.raises(CheckpointError) as caught:
        load_weights(network, wrong, "file.pth")
    assert "1 missing: fc3.bias" in str(caught.value)
    assert "1 unexpected: extra" in str(caught.value)
    assert "fc3.weight is [5, 5], expected [3, 128, 1, 1]" in str(caught.value)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64])
def test_weights_that_are_no_reals_are_refused(network, kind):
    weights = {k: v.to(kind) for k, v in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"of another kind: mean is {kind}, expected torch.float32"):
        load_weights(network, weights, "file.pth")


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_reals_of_another_precision_are_converted(network, kind):
    load_weights(network, {k: v.to(kind) for k, v in network.state_dict().items()}, "file.pth")
    assert {v.dtype for v in network.state_dict().values()} == {torch.float32}


def test_a_long_difference_is_cut_short():
    text = describe_difference({f"w{i}": (1,) for i in range(100)}, {})
    assert text.startswith("100 missing: w0, w1") and "94 more" in text and len(text) < 100


def test_float_types_are_kept(tmp_path):
    weights = {"a": torch.zeros(2, dtype=torch.bfloat16), "b": torch.zeros(2, dtype=torch.int64)}
    path = write_checkpoint(tmp_path / "x.safetensors", weights, CheckpointInfo(NAME))
    from relpose_ros.checkpoints.containers import read_container

    assert {k: v.dtype for k, v in read_container(path).items()} == {k: v.dtype for k, v in weights.items()}
    assert tensor_shapes(path) == {"a": (2,), "b": (2,)}  # though NumPy has no bfloat16
