"""GeM: its formula, its limits, and that parts add up."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from relpose_ros.networks.retrieval.gem import Gem


def maps(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(2, 8, 4, 6, generator=torch.Generator().manual_seed(1), dtype=dtype)


def described(p: float) -> torch.Tensor:
    pool = Gem(p).double()
    with torch.no_grad():
        return pool.finish(pool(maps()))


@pytest.mark.parametrize("p", [1.0, 3.0, 4.5])
def test_it_is_the_root_of_the_mean_of_powers(p):
    means = maps().clamp_min(1e-6).pow(p).mean(dim=(2, 3)).pow(1 / p)
    assert torch.allclose(described(p), functional.normalize(means, dim=1), atol=1e-12)


def test_a_large_power_is_the_maximum():
    peaks = functional.normalize(maps().clamp_min(0).amax(dim=(2, 3)), dim=1)
    assert torch.allclose(described(200.0), peaks, atol=0.02)
    assert not torch.allclose(described(1.0), peaks, atol=0.1)


def test_parts_of_a_map_add_up():
    pool = Gem().double()
    left, right = maps().chunk(2, dim=3)
    assert torch.allclose(pool(left) + pool(right), pool(maps()))


def test_the_power_and_the_features_are_trained():
    pool, features = Gem(), maps(torch.float32).requires_grad_()
    pool.finish(pool(features))[:, 0].sum().backward()
    assert pool.p.grad is not None and torch.isfinite(pool.p.grad).all() and pool.p.grad.abs() > 0
    assert torch.isfinite(features.grad).all() and (features.grad[features > 0.1] != 0).any()


@pytest.mark.parametrize("p", [3.0, 7.5, 20.0])
def test_dead_features_have_finite_gradients(p):
    """Also where 1e-6 to the power is 0 in float32."""
    pool, features = Gem(p), torch.zeros(1, 4, 2, 2, requires_grad=True)
    out = pool.finish(pool(features))
    out[0, 0].backward()
    assert torch.isfinite(out).all() and torch.isfinite(features.grad).all()
    assert torch.isfinite(pool.p.grad).all()


@pytest.mark.parametrize("p", [3.0, 8.0, 20.0])
def test_a_dead_channel_leaves_the_others_alone(p):
    pool, features = Gem(p), maps(torch.float32)
    features[:, 0] = -1
    out = pool.finish(pool(features.requires_grad_()))
    out.square().mul(torch.arange(8.0)).sum().backward()
    assert torch.isfinite(pool.p.grad).all() and torch.isfinite(features.grad).all()
    assert (features.grad[:, 0] == 0).all() and (features.grad[:, 1:] != 0).any()
    with torch.no_grad():
        exact = Gem(p).double()
        expected = exact.finish(exact(features.double()))
        assert torch.allclose(out[:, 1:].double(), expected[:, 1:], atol=1e-4)
        assert (out[:, 0] < 0.01).all(), "tiny^(1/20) is 0.013 of a feature of 1"


def test_autocast_does_not_reach_it():
    pool = Gem()
    with torch.autocast("cpu", torch.bfloat16):
        assert pool.finish(pool(maps(torch.bfloat16))).dtype == torch.float32
