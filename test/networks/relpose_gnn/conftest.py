"""A small network with weights that do not change."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch

from relpose_ros.networks.relpose_gnn import model
from relpose_ros.networks.relpose_gnn.model import RelPoseGNN
from relpose_ros.networks.relpose_gnn.resnet34 import ResNet34


@pytest.fixture(scope="session")
def trunk() -> ResNet34:
    """Its 21 million weights are drawn once."""
    torch.manual_seed(0)
    return ResNet34(16)


@pytest.fixture
def small(trunk, monkeypatch) -> Callable[..., RelPoseGNN]:
    """Make a network of width 16; keyword arguments as the class takes them."""
    monkeypatch.setattr(model, "ResNet34", lambda dimension: copy.deepcopy(trunk))

    def make(**parameters) -> RelPoseGNN:
        torch.manual_seed(0)
        return RelPoseGNN(**{"dimension": 16, **parameters}).eval()

    return make


@pytest.fixture
def nodes() -> torch.Tensor:
    """Descriptors (2, 6, 16)."""
    return torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(1))
