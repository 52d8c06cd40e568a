"""Dense descriptors without weights: histograms of oriented gradients around every cell, in five sizes.

Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005; the root of the
L1-normalised histogram is taken, as RootSIFT does (Arandjelovic and Zisserman, CVPR 2012).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

CELL = 8
ORIENTATIONS = 8
OCTAVES = 4
CHANNELS = ORIENTATIONS * (4 + 9 * OCTAVES)
"""Four histograms of 4x4 pixels within the cell, and 3x3 of 8, 16, 32 and 64 pixels around it."""

MULTIPLE = CELL * 2 ** (OCTAVES - 1)
"""Images are continued to a multiple of so many pixels; the map is cut to the image again."""

WEAK = 1e-2
"""Sum of gradients (grey values 0 to 1) below which a histogram fades: a blank wall has no texture."""

TINY = 1e-8


class OrientedGradients(nn.Module):
    """Grey images (B, 1, H, W), values 0 to 1 -> (B, 320, ceil(H/8), ceil(W/8)), values 0 to 1."""

    directions: Tensor
    window: Tensor
    merge: Tensor

    def __init__(self) -> None:
        super().__init__()
        angle = torch.arange(ORIENTATIONS) * (2 * math.pi / ORIENTATIONS)
        directions = torch.stack([angle.cos(), angle.sin()])[:, :, None, None]
        self.register_buffer("directions", directions, persistent=False)
        self.register_buffer("window", _window([1.0, 3.0, 5.0, 7.0, 7.0, 5.0, 3.0, 1.0]), persistent=False)
        self.register_buffer("merge", _window([1.0, 3.0, 3.0, 1.0]), persistent=False)

    def forward(self, grey: Tensor) -> Tensor:
        rows, columns = (-(-n // CELL) for n in grey.shape[2:])
        bottom, right = (-n % MULTIPLE for n in grey.shape[2:])
        grey = functional.pad(grey, (0, right, 0, bottom), mode="replicate")
        fine = self._histograms(grey)
        parts = [_rooted(functional.pixel_unshuffle(fine, 2))]
        size = (grey.shape[2] // CELL, grey.shape[3] // CELL)
        for octave in range(OCTAVES):
            if octave:
                grey = functional.avg_pool2d(grey, 2)
                fine = self._histograms(grey)
            around = _rooted(_neighbourhood(self._pooled(fine, self.merge, 2)))
            if octave:
                around = functional.interpolate(around, size, mode="bilinear", align_corners=False)
            parts.append(around)
        return torch.cat(parts, dim=1)[:, :, :rows, :columns]

    def _histograms(self, grey: Tensor) -> Tensor:
        """(B, 1, H, W) -> (B, 8, H/4, W/4): gradients by direction, in windows of 8 pixels."""
        padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
        across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        length = (across.square() + down.square() + TINY).sqrt()
        along = torch.relu(across * self.directions[0] + down * self.directions[1])
        return self._pooled(along.square() / length, self.window, 4)

    def _pooled(self, maps: Tensor, window: Tensor, stride: int) -> Tensor:
        return functional.conv2d(
            maps, window.to(maps.dtype), stride=stride, padding=stride // 2, groups=ORIENTATIONS
        )


def _window(weights: list[float]) -> Tensor:
    """Weights of a separable window, summing to one, for each orientation (8, 1, n, n)."""
    line = torch.tensor(weights) / sum(weights)
    return (line[:, None] * line).expand(ORIENTATIONS, 1, -1, -1).clone()


def _neighbourhood(maps: Tensor) -> Tensor:
    """(B, 8, h, w) -> (B, 72, h, w): each cell with the eight around it."""
    rows, columns = maps.shape[2:]
    padded = functional.pad(maps, (1, 1, 1, 1))
    shifted = [padded[:, :, y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    return torch.cat(shifted, dim=1)


def _rooted(histograms: Tensor) -> Tensor:
    """Root of what is L1-normalised over the channels."""
    return (histograms / (histograms.sum(1, keepdim=True) + WEAK) + TINY).sqrt()
