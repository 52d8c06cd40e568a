"""Generalised-mean pooling (Radenovic, Tolias and Chum, PAMI 2018): between the mean and the maximum."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAST = 1e-6
"""Features are raised to it, so that their powers have a derivative."""


class Gem(nn.Module):
    """(N, D, H, W) -> sums of powers (N, D); `finish` makes descriptors of them.

    The mean over the map is left to the norm that follows: it cancels. So sums of the parts of a map add up
    to that of the map, as VLADs do. Always in float32, also under autocast. `p` is trained.
    """

    def __init__(self, p: float = 3.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), p))

    def forward(self, features: Tensor) -> Tensor:
        """Sum over the pixels of max(x, LEAST)^p, (N, D): the inner sum of equation 3 of the paper."""
        with torch.autocast(features.device.type, enabled=False):
            return features.to(self.p.dtype).clamp_min(LEAST).pow(self.p).sum(dim=(2, 3))

    def finish(self, sums: Tensor) -> Tensor:
        """Sums (..., D) -> descriptors (..., D), norm 1.

        Of a channel without features the sum is LEAST^p, in float32 0 from p = 7.5 on, where a root has no
        derivative: no sum counts as less than the smallest normal number.
        """
        with torch.autocast(sums.device.type, enabled=False):
            sums = sums.clamp_min(torch.finfo(sums.dtype).tiny)
            return functional.normalize(sums.pow(1.0 / self.p), dim=-1)
