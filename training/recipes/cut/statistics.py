"""How far the looks of two images are apart, and whether one kept the other's outlines."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PATCH = 7
DIRECTIONS = 64


def patch_directions(seed: int = 0) -> Tensor:
    """Filters (64, 3, 7, 7) of norm 1: directions in the space of patches; the same for a seed."""
    drawn = torch.randn(DIRECTIONS, 3, PATCH, PATCH, generator=torch.Generator().manual_seed(seed))
    directions: Tensor = drawn / drawn.flatten(1).norm(dim=1)[:, None, None, None]
    return directions


def looks_distance(first: Tensor, second: Tensor, directions: Tensor) -> Tensor:
    """Sliced Wasserstein distance of the 7x7 patches of images (B, 3, H, W) of the same size: (B,).

    Colour and texture, not what is where: patches are compared as sets. Rabin, Peyre, Delon, Bernot:
    Wasserstein Barycenter and its Application to Texture Mixing, SSVM 2011: along each direction the mean
    distance of the sorted projections.
    """
    with torch.autocast(first.device.type, enabled=False):
        a, b = (
            functional.conv2d(images.float(), directions).flatten(2).sort(dim=2).values
            for images in (first, second)
        )
        distance: Tensor = (a - b).abs().mean(dim=(1, 2))
    return distance


def outline_agreement(first: Tensor, second: Tensor) -> Tensor:
    """Correlation (B,) of the gradient magnitudes of images (B, 3, H, W): 1 where outlines are the same."""
    a, b = (_gradient(images).flatten(1) for images in (first, second))
    a, b = (x - x.mean(dim=1, keepdim=True) for x in (a, b))
    norms = a.norm(dim=1) * b.norm(dim=1)
    correlation: Tensor = (a * b).sum(dim=1) / norms.clamp_min(1e-8)
    return correlation


def _gradient(images: Tensor) -> Tensor:
    grey = images.float().mean(dim=1)
    across = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    down = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    magnitude: Tensor = (across.square() + down.square() + 1e-12).sqrt()
    return magnitude
