"""Networks whose programs are large, and the pose that losses are made of: XLA against the CPU."""

from __future__ import annotations

import pytest
import torch
import torch_xla

from relpose_ros.networks.one_to_one.candidates import SMALL
from relpose_ros.networks.one_to_one.clnet import CLNet
from relpose_ros.networks.one_to_one.eot import EOT
from relpose_ros.networks.one_to_one.synthetic import synthetic_correspondences
from relpose_training.recipes.one_to_one.config import OneToOneConfig
from relpose_training.recipes.one_to_one.module import make_module

NETWORKS = {
    "clnet": (lambda: CLNet(blocks=1), {"correspondences": 32}),
    "eot": (lambda: EOT(list(SMALL)), {"correspondences": 16, "channels": SMALL, "regression": "none"}),
}
"""Of sixteen correspondences fewer than eight may count: then there is no one essential matrix to compare."""


def batch_of(count, width):
    """Two pairs whose epipolar geometry is made up: gradients are compared, nothing is learned."""
    generator = torch.Generator().manual_seed(3)
    turn, _ = torch.linalg.qr(torch.randn(2, 3, 3, generator=generator))
    return {
        "correspondences": synthetic_correspondences(2, count, generator)[..., :width],
        "labels_distance": 2e-4 * torch.rand(2, count, generator=generator),
        "R": turn,
        "t": torch.randn(2, 3, generator=generator),
        "virtual_points": synthetic_correspondences(2, 10, generator)[..., :4],
    }


def gradients(module, batch, device):
    """The loss and its gradient by every parameter, on the host."""
    module = module.to(device)
    values = module({name: value.to(device) for name, value in batch.items()}, 10)
    trained = [p for p in module.parameters() if p.requires_grad]
    found = torch.autograd.grad(values["loss"], trained, allow_unused=True)
    torch_xla.sync()  # else every gradient would be a program of its own
    return values["loss"].item(), [None if g is None else g.cpu() for g in found]


@pytest.mark.parametrize("name", NETWORKS)
def test_losses_and_gradients_are_those_of_the_cpu(name, tmp_path):
    make, settings = NETWORKS[name]
    torch.manual_seed(1)
    config = OneToOneConfig(out=tmp_path, data="nowhere", model=name, regression_start=5, **settings)
    module = make_module(make(), config)
    batch = batch_of(config.correspondences, module.network.width)
    start = {key: value.clone() for key, value in module.state_dict().items()}
    there, found = gradients(module, batch, torch_xla.device())
    module.load_state_dict(start)
    loss, expected = gradients(module, batch, "cpu")
    assert there == pytest.approx(loss, rel=1e-5)
    assert len(found) == len(expected) > 20
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            assert float((ours - theirs).norm()) <= 2e-2 * float(theirs.norm()) + 1e-6
