"""A matcher that begins as what it has to beat."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from relpose_ros.networks.imp.layers import Pointwise
from relpose_ros.networks.imp.matcher import Matcher

SHARPNESS = 30.0
"""Similarities are cosines times this: a true match of cosine 0.9 then outweighs a thousand others of 0.6."""

LEAST_COSINE = 0.8
"""Below this the dustbin wins at first."""


@torch.no_grad()
def start_as_nearest_neighbours(network: Matcher) -> None:
    """Make the network a soft search for mutual nearest neighbours of the descriptors, in place.

    Residual layers and the keypoint encoder end in zeros, so that descriptors pass unchanged, and every
    final projection is the identity, scaled. The layers before the zeros keep their random values: the
    first steps of training give the last ones something to say (as in Zhang et al., Fixup, ICLR 2019).
    """
    for layer in _last_of_each_residual(network):
        torch.nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)
    size = network.descriptor_size
    identity = (SHARPNESS * size**0.5) ** 0.5 * torch.eye(size).unsqueeze(2)
    for projection in network.final_proj:
        assert isinstance(projection, Pointwise)
        projection.weight.copy_(identity)
        if projection.bias is not None:
            torch.nn.init.zeros_(projection.bias)
    network.bin_score.fill_(SHARPNESS * LEAST_COSINE)


def _last_of_each_residual(network: Matcher) -> Iterator[Pointwise]:
    for part in (network.kenc.encoder, *(getattr(layer, "mlp") for layer in network.gnn.layers)):  # noqa: B009
        last = part[-1]
        assert isinstance(last, Pointwise)
        yield last
