"""A small network with weights that do not change."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from relpose_ros.networks.relpose_gnn.model import RelPoseGNN


@pytest.fixture
def small() -> Callable[..., RelPoseGNN]:
    """Make a network of width 16; keyword arguments as the class takes them."""

    def make(**parameters) -> RelPoseGNN:
        torch.manual_seed(0)
        return RelPoseGNN(**{"dimension": 16, **parameters}).eval()

    return make


@pytest.fixture
def nodes() -> torch.Tensor:
    """Descriptors (2, 6, 16)."""
    return torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(1))
