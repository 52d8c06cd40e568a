"""A small matcher that matches, without having been trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from relpose_ros.networks.imp.matcher import Matcher


@pytest.fixture
def working_matcher() -> Callable[..., Matcher]:
    """Makes one in float64 and eval mode: small changes of the descriptors, projections near the identity."""

    def make(cls: type[Matcher], descriptor_size: int = 32, **parameters: Any) -> Matcher:
        torch.manual_seed(8)
        network = cls(descriptor_size=descriptor_size, **parameters).double().eval()
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if "mlp.3" in name or "kenc.encoder.12" in name:
                    parameter.mul_(0.1)
                elif "final_proj" in name and parameter.ndim == 3:
                    parameter.copy_(7 * torch.eye(descriptor_size).unsqueeze(-1))
            network.bin_score.fill_(5.0)
        return network

    return make


@pytest.fixture
def random_inputs() -> Callable[..., tuple[torch.Tensor, ...]]:
    """Inputs of a matcher in float64, `batch` pairs of 37 and 29 keypoints, 20 of them alike."""

    def draw(network: Matcher, batch: int = 1) -> tuple[torch.Tensor, ...]:
        given = network.example_inputs(batch, torch.Generator().manual_seed(7))
        return tuple(x.double() for x in given)

    return draw
