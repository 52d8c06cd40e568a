"""ConvMatch and ConvMatch+: the grid, and what must not matter."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.networks.one_to_one.convmatch import ConvMatch
from relpose_ros.networks.one_to_one.convmatch_plus import ConvMatchPlus
from relpose_ros.networks.one_to_one.motion_field import cell_centres

both = pytest.mark.parametrize("cls", [ConvMatch, ConvMatchPlus])


def inputs():
    return torch.rand(2, 40, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5


def made(cls, **arguments):
    torch.manual_seed(0)
    return cls(layers=2, **arguments).double().eval()


@both
def test_the_order_of_correspondences_is_the_order_of_logits(cls):
    network = made(cls)
    with torch.no_grad():
        straight, turned = network(inputs()), network(inputs().flip(1))
    assert len(straight) == 2
    for a, b in zip(straight, turned, strict=True):
        torch.testing.assert_close(a, b.flip(1))


@both
def test_the_cells_of_cpu_and_cuda_differ_in_the_original(cls):
    with torch.no_grad():
        ours, theirs = (made(cls, compat=c)(inputs())[-1] for c in (False, True))
    assert (ours - theirs).abs().max() > 1e-6


def test_six_layers_are_published():
    with torch.device("meta"):
        network = ConvMatch()
    assert network.output_names == tuple(f"logits_{i}" for i in range(1, 7))
    with torch.no_grad():
        assert [x.shape for x in network(torch.zeros(1, 9, 4, device="meta"))] == [(1, 9)] * 6


def test_cell_centres_are_the_middles_of_16_by_16_cells():
    centres = cell_centres(ConvMatch().margin, torch.zeros(1, dtype=torch.float64))
    assert centres.shape == (2, 256)
    assert centres[:, 0].tolist() == [-0.9375, 0.9375] and centres[:, 1].tolist() == [-0.8125, 0.9375]
    torch.testing.assert_close(centres[0, :16].diff(), torch.full((15,), 0.125, dtype=torch.float64))


@both
def test_all_parameters_learn(cls):
    network = made(cls).train()
    torch.stack(network(inputs())).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())
