"""Edge dropout, as RelPoseGNN's paper describes it; its code drops nothing."""

from __future__ import annotations

import torch
from torch import Tensor


def random_edges(edges: Tensor, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Which of the edges (B, 2, E) to keep: (B, E) bool, each with probability `share` (the paper: 0.5).

    For `RelPoseGNN.poses(..., keep=...)` and `relative_pose_l1(..., keep=...)`. The shape is static.
    """
    shape = (edges.shape[0], edges.shape[2])
    return torch.rand(shape, generator=generator, device=edges.device) < share
