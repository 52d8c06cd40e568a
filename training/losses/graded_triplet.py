"""CamNet's loss over three grades of image pairs (Ding et al., ICCV 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from relpose_training.losses.reprojection import full_precision


@full_precision
def graded_triplet_loss(
    fine: Tensor, medium: Tensor, negative: Tensor, margin: float = 0.1, hardest: bool = False
) -> Tensor:
    """max(fine - medium + margin, 0) + max(medium - negative + margin, 0) of distances (B,); a scalar.

    `fine` pairs look at the same place from about the same side, `medium` ones from another, `negative`
    ones hardly share anything. Mean over the batch; `hardest`: of the largest distance of the nearer grade
    and the smallest of the farther one.
    """
    terms = []
    for near, far in ((fine, medium), (medium, negative)):
        difference = near.amax(0) - far.amin(0) if hardest else near - far
        terms.append(torch.relu(difference + margin).mean())
    return terms[0] + terms[1]


def pairwise_distance(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances (N, M) of rows of (N, D) and (M, D), with a finite gradient at 0."""
    squared = (x[:, None] - y[None, :]).square().sum(-1)
    apart = squared > 0
    return torch.where(apart, torch.where(apart, squared, torch.ones_like(squared)).sqrt(), squared)
