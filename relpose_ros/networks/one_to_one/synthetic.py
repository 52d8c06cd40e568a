"""Correspondences of invented scenes, for tests and for the shapes of an export."""

from __future__ import annotations

import torch
from torch import Tensor


def synthetic_correspondences(
    batch: int, count: int, generator: torch.Generator, outliers: float = 0.5, noise: float = 1e-3
) -> Tensor:
    """x1, y1, x2, y2, ratio, mutual (batch, count, 6), float32, of `count` points two to six metres away.

    The second camera is turned by some 0.1 rad and moved by about a metre; of the last share `outliers`
    the second point is drawn at random. `noise` is a standard deviation on the plane z = 1.
    """

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    first = torch.rand(batch, count, 2, generator=generator) * 1.4 - 0.7
    depth = torch.rand(batch, count, 1, generator=generator) * 4 + 2
    spin = 0.1 * normal(batch, 3, 3)
    rotation = torch.linalg.matrix_exp(spin - spin.mT)
    points = torch.cat([first, torch.ones_like(depth)], dim=-1) * depth
    moved = points @ rotation.mT + 0.5 * normal(batch, 1, 3)
    second = moved[..., :2] / moved[..., 2:].clamp(min=0.1)
    second[:, count - round(outliers * count) :] = normal(batch, round(outliers * count), 2) * 0.5
    pairs = torch.cat([first, second], dim=-1) + noise * normal(batch, count, 4)
    ratio = torch.rand(batch, count, 1, generator=generator)
    mutual = (torch.rand(batch, count, 1, generator=generator) < 0.5).float()
    return torch.cat([pairs, ratio, mutual], dim=-1)
