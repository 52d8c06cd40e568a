"""Two images compared cell by cell: where each cell of one went in the other, summed up in one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from relpose_ros.networks.relpose_gnn.edges import at_ends

TEMPERATURE = 20.0
"""Of the cosines between cells at the start of the training; it is learnt from there."""


def cell_centres(rows: int, columns: int) -> Tensor:
    """Centres (rows * columns, 2) x, y of the cells of an image, row by row; x runs from -1 to 1."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    centred = torch.stack([x - (columns - 1) / 2, y - (rows - 1) / 2], dim=-1)
    return centred.reshape(-1, 2).float() / (columns / 2)


class CellComparison(nn.Module):
    """Cells of a source and of a target to one vector of `dimension` for the edge between them.

    Each source cell looks for itself in the target by a softmax over cosines of its `keys`, and may find
    nothing; what it finds (where, how scattered, how surely, and what else was known there: `values`, which
    may be a distance) goes through a perceptron, and the mean over all cells describes the motion. A mean of
    the products that a perceptron can form is what the normal equations of a pose are made of.
    """

    def __init__(self, keys: int, values: int, dimension: int, hidden: int = 96) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.scale = nn.Parameter(torch.tensor(TEMPERATURE).log())
        self.nothing = nn.Parameter(torch.tensor([0.3]))
        self.cell = nn.Sequential(
            *(nn.Linear(8 + 2 * values, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, dimension),
        )
        self.affine = nn.Linear(6, dimension)

    def forward(self, cells: Tensor, edges: Tensor, centres: Tensor) -> Tensor:
        """Cells (B, K, N, keys + values), edges (B, 2, E), centres (N, 2) -> (B, E, dimension)."""
        key, value = cells.split([self.keys, self.values], dim=-1)
        # Less the image's mean: what all cells share tells none of them from another, and before training it
        # is most of what there is.
        key = key - key.mean(dim=2, keepdim=True)
        ends = torch.cat([functional.normalize(key, dim=-1), value], dim=-1)
        source, target = (_at_ends(ends, edges[:, end]) for end in (0, 1))
        key, value = source.split([self.keys, self.values], dim=-1)
        found = self.look_for(key, target, centres)
        sure = found[..., :1]
        there = found[..., 1:] / sure.clamp(min=1e-3)
        at = centres.expand(*key.shape[:-1], 2)
        scatter = there[..., 2:3] - there[..., :2].square().sum(dim=-1, keepdim=True)
        moved = there[..., :2] - at
        known = [sure, at, value, there[..., :2], moved, scatter, there[..., 3:]]
        described: Tensor = self.cell(torch.cat(known, dim=-1))
        affine: Tensor = self.affine(affine_motion(moved, at, sure))
        return described.mean(dim=-2) + affine

    def look_for(self, key: Tensor, target: Tensor, centres: Tensor) -> Tensor:
        """Source cells' keys (B, E, N, keys), of norm 1, in the target's cells: (B, E, N, 4 + values).

        The share of the softmax that something has, and times that share the mean x, y, x^2 + y^2 and values
        of what was found.
        """
        other, value = target.split([self.keys, self.values], dim=-1)
        at = torch.cat([centres, centres.square().sum(dim=1, keepdim=True)], dim=1)
        at = functional.pad(at, (1, 0), value=1.0)
        seen = torch.cat([at.expand(*value.shape[:-1], 4), value], dim=-1)
        # "Nothing" is one more cell whose values are 0; one more number, which is 1 there and 0 in all other
        # cells, makes its cosine the threshold that is learnt.
        query = self.scale.exp() * torch.cat([key, self.nothing.expand(*key.shape[:-1], 1)], dim=-1)
        wanted = functional.pad(other, (0, 1))
        last = functional.pad(torch.ones_like(wanted[..., :1, :1]), (wanted.shape[-1] - 1, 0))
        return attend(query, torch.cat([wanted, last], dim=-2), functional.pad(seen, (0, 0, 0, 1)))


def affine_motion(moved: Tensor, at: Tensor, sure: Tensor) -> Tensor:
    """Six numbers (..., 6) of motions (..., N, 2) at (N, 2) or (..., N, 2): their mean, weighted by `sure`
    (..., N, 1), and their mean products with the place.

    They are most of what a small motion of the camera does to an image, and there before anything is learnt:
    in a mean over perceptrons that start at random they are a small part of a large constant.
    """
    weights = sure / sure.sum(dim=-2, keepdim=True).clamp(min=1e-3)
    products = (moved[..., :, None] * at[..., None, :]).flatten(-2)
    return (weights * torch.cat([moved, 4 * products], dim=-1)).sum(dim=-2)


def attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(query keys^T) values: (..., N, C), (..., M, C), (..., M, V) -> (..., N, V)."""
    width = max(query.shape[-1], values.shape[-1])  # one for all is what the fast implementation asks for
    q, k, v = (functional.pad(x, (0, width - x.shape[-1])) for x in (query, keys, values))
    found: Tensor = functional.scaled_dot_product_attention(q, k, v, scale=1.0)
    return found[..., : values.shape[-1]]


def _at_ends(cells: Tensor, ends: Tensor) -> Tensor:
    """Cells (B, K, N, C) of the images at one end of each edge, `ends` (B, E): (B, E, N, C)."""
    return at_ends(cells.flatten(2), ends).reshape(*ends.shape, *cells.shape[2:])
