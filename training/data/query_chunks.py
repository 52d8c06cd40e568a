"""Which queries are trained with when: descriptors are extracted anew before each chunk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from relpose_ros.errors import ConfigurationError

T = TypeVar("T")


def query_chunks(count: int, size: int, epoch: int, seed: int = 43) -> list[list[int]]:
    """The numbers below `count` in an order of this seed and epoch, in chunks of `size`, the last shorter."""
    if size < 1:
        raise ConfigurationError(f"expected chunks of at least 1 query, got {size}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch))
    return [chunk.tolist() for chunk in order.split(size)] if count else []


def interleaved_share(items: Sequence[T], rank: int, world: int) -> list[T]:
    """Every `world`-th of `items` from `rank` on; wrapped around, so that all ranks have as many."""
    return _wrapped(items, rank, world)[rank::world]


def contiguous_share(items: Sequence[T], rank: int, world: int) -> list[T]:
    """The `rank`-th of `world` slices of `items`; wrapped around, so that all ranks have as many."""
    padded = _wrapped(items, rank, world)
    size = len(padded) // world
    return padded[rank * size : (rank + 1) * size]


def _wrapped(items: Sequence[T], rank: int, world: int) -> list[T]:
    if not 0 <= rank < world:
        raise ConfigurationError(f"expected a rank from 0 to {world - 1}, got {rank}")
    if not items:
        return []
    length = -(-len(items) // world) * world
    return [items[i % len(items)] for i in range(length)]
