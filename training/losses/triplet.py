"""Triplet ranking loss of global descriptors, as OpenIBL trains NetVLAD."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MARGIN = 0.1**0.5
"""Of plain distances: the root of the 0.1 that NetVLAD's paper takes of squared ones."""

EPSILON = 1e-6
"""Added to each difference, so that the distance of equal descriptors has a gradient."""


def usual_margin(squared: bool) -> float:
    """That of squared distances in NetVLAD's paper, 0.1, or of plain ones as OpenIBL has it, its root."""
    return 0.1 if squared else MARGIN


def triplet_loss(
    anchor: Tensor, positive: Tensor, negatives: Tensor, margin: float = MARGIN, squared: bool = False
) -> Tensor:
    """Mean over tuples and negatives of max(0, d(a, p) - d(a, n) + margin), a scalar.

    `anchor` and `positive` (B, D), `negatives` (B, N, D). d is the Euclidean distance; `squared` takes its
    square, as in Arandjelovic et al., NetVLAD, CVPR 2016, equation 7, where `margin` is 0.1.
    """
    near = _distance(anchor, positive, squared)[:, None]
    far = _distance(anchor[:, None], negatives, squared)
    return functional.relu(near - far + margin).mean()


def _distance(a: Tensor, b: Tensor, squared: bool) -> Tensor:
    """Distances (...) of descriptors (..., D)."""
    if squared:
        return (a - b).square().sum(dim=-1)
    distance: Tensor = torch.linalg.vector_norm(a - b + EPSILON, dim=-1)
    return distance
