"""What relpose_ros.networks.base.Network promises, held by every registered network."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, load_network, write_checkpoint
from relpose_ros.checkpoints.state_dicts import shapes_of
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.export import export_onnx
from relpose_ros.networks.registry import ARCHITECTURES, build_network, find_architecture, load_class

BATCH = 2

every_network = pytest.mark.parametrize("name", ARCHITECTURES)
first_of_class = {architecture.factory: name for name, architecture in reversed(ARCHITECTURES.items())}


def make(name: str) -> Network:
    """A small variant in eval mode, always with the same weights."""
    torch.manual_seed(5)
    return build_network(name, **load_class(name).small_parameters()).eval()


def inputs_of(network: Network, batch: int = BATCH) -> tuple[torch.Tensor, ...]:
    return network.example_inputs(batch, torch.Generator().manual_seed(7))


def relative(a: torch.Tensor | np.ndarray, b: torch.Tensor | np.ndarray) -> float:
    """Largest difference over the largest magnitude of `b`; infinite for another shape or a NaN in `a`."""
    a, b = (torch.as_tensor(x).double() for x in (a, b))
    if a.shape != b.shape or not torch.isfinite(a).all():
        return float("inf")
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-12)) if b.numel() else 0.0


def floating(outputs: tuple[torch.Tensor, ...]) -> list[int]:
    return [i for i, output in enumerate(outputs) if output.is_floating_point()]


@every_network
def test_outputs_have_names_and_a_batch_axis(name):
    network = make(name)
    inputs = inputs_of(network)
    with torch.no_grad():
        outputs = network(*inputs)
    assert isinstance(outputs, tuple)
    assert len(inputs) == len(network.input_names) and len(outputs) == len(network.output_names)
    assert all(x.shape[0] == BATCH for x in (*inputs, *outputs))
    assert all(torch.isfinite(outputs[i]).all() for i in floating(outputs))


@every_network
def test_an_item_does_not_depend_on_its_batch(name):
    if find_architecture(name).batch_dependent:
        assert len(find_architecture(name).batch_dependent.split()) > 3, "say why"
        return
    network = make(name).double()
    inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs_of(network))
    with torch.no_grad():
        together = network(*inputs)
        alone = [network(*(x[i : i + 1] for x in inputs)) for i in range(BATCH)]
    for i, single in enumerate(alone):
        assert max(relative(a[0], b[i]) for a, b in zip(single, together, strict=True)) < 1e-6


@every_network
def test_float32_agrees_with_float64(name):
    network = make(name)
    inputs = inputs_of(network)
    with torch.no_grad():
        single = network(*inputs)
        double = network.double()(*(x.double() if x.is_floating_point() else x for x in inputs))
    assert all(double[i].dtype == torch.float64 for i in floating(double)), "it computes in float64"
    tolerance = find_architecture(name).tolerance
    assert max(relative(single[i], double[i]) for i in floating(single)) < tolerance


@every_network
def test_a_checkpoint_gives_the_same_network_back(name, tmp_path):
    network = make(name)
    info = CheckpointInfo(network=name, parameters=load_class(name).small_parameters())
    again, read = load_network(write_checkpoint(tmp_path / "n.safetensors", network.state_dict(), info))
    assert read == info
    inputs = inputs_of(network)
    with torch.no_grad():
        pairs = zip(again(*inputs), network(*inputs), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in first_of_class.values() else pytest.mark.slow) for n in ARCHITECTURES],
)
def test_onnx_agrees(name, tmp_path):
    """Exporting takes seconds: further variants of a class are left to the slow run."""
    network = make(name)
    inputs = inputs_of(network)
    path = export_onnx(network, inputs, tmp_path / "n.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [x.name for x in session.get_inputs()] == list(network.input_names)
    found = session.run(
        list(network.output_names),
        {key: value.numpy() for key, value in zip(network.input_names, inputs, strict=True)},
    )
    with torch.no_grad():
        expected = network(*inputs)
    assert max(map(relative, found, expected)) < find_architecture(name).tolerance


@every_network
def test_bfloat16_autocast_is_finite_and_near(name):
    network = make(name)
    inputs = inputs_of(network)
    with torch.no_grad():
        expected = network(*inputs)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(*inputs)
    assert all(torch.isfinite(outputs[i]).all() for i in floating(outputs))
    nearest = find_architecture(name).bfloat16
    assert nearest == float("inf") or all(
        relative(outputs[i], expected[i]) < nearest for i in floating(outputs)
    )


@every_network
def test_channels_last_changes_nothing(name):
    network = make(name).double()
    inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs_of(network))
    turned = tuple(x.to(memory_format=torch.channels_last) if x.ndim == 4 else x for x in inputs)
    with torch.no_grad():
        expected = network(*inputs)
        found = network.to(memory_format=torch.channels_last)(*turned)  # type: ignore[call-overload]
    assert max(map(relative, found, expected)) < 1e-6


@every_network
def test_it_can_be_outlined_without_memory(name):
    with torch.device("meta"):
        outline = build_network(name, **load_class(name).small_parameters())
    assert shapes_of(outline.state_dict()) == shapes_of(make(name).state_dict())


@every_network
def test_its_shapes_tell_its_parameters(name):
    cls = load_class(name)
    with torch.device("meta"):
        state = build_network(name).state_dict()
        again = build_network(name, **cls.parameters_from(shapes_of(state)))
    assert shapes_of(again.state_dict()) == shapes_of(state)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigurationError, match=r"unknown network 'resnet9000'.*expected one of"):
        build_network("resnet9000")


def test_an_unknown_parameter_is_named():
    with pytest.raises(ConfigurationError, match="colour"):
        build_network(next(iter(ARCHITECTURES)), colour="blue")
