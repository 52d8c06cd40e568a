"""Judge a fit on data that it did not see: each block of the data by the fit to all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Fit = TypeVar("Fit")

BLOCKS = 5


def cross_fitted(
    items: Sequence[T], fit: Callable[[Sequence[T]], Fit], runs: Sequence[int] = ()
) -> list[Fit]:
    """For each item the fit to the blocks that it is not in.

    Blocks are neighbours: images that were taken one after the other err together, and one must not answer
    for the next. `runs`: lengths of the recordings that follow each other in `items` (default: one); each
    block has its part of each of them.
    """
    lengths = runs or (len(items),)
    block = np.concatenate([BLOCKS * np.arange(length) // max(length, 1) for length in lengths])
    fits = {
        number: fit([item for item, other in zip(items, block, strict=True) if other != number])
        for number in np.unique(block).tolist()
    }
    return [fits[number] for number in block.tolist()]
