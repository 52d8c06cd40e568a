"""Descriptors of many images in one array, in memory or in a file, whichever there is room for."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import CheckpointError
from relpose_ros.progress import Progress
from relpose_ros.retrieval.pca import Pca

Floats = NDArray[np.float32]

IN_MEMORY = 1 << 30
"""Bytes up to which descriptors are held in memory; more go to a temporary file."""

BLOCK = 1024
"""Descriptors that a PCA is applied to at once."""


@dataclass(frozen=True)
class Described:
    """Descriptors (Q, D) and (G, D) of norm 1 (0 where an image shows nothing), and milliseconds an image."""

    queries: Floats
    gallery: Floats
    image_ms: float

    def reduced(self, pca: Pca, whiten: bool = True) -> Described:
        """The same after a PCA."""
        queries, gallery = (_reduced(x, pca, whiten) for x in (self.queries, self.gallery))
        return Described(queries, gallery, self.image_ms)


def empty_rows(count: int, dimension: int) -> Floats:
    """Room for `count` descriptors: memory, or a temporary file that goes when the array does."""
    if 4 * count * dimension <= IN_MEMORY:
        return np.empty((count, dimension), np.float32)
    file = tempfile.TemporaryFile(prefix="descriptors")  # noqa: SIM115 (the array keeps it open)
    return np.memmap(file, np.float32, "w+", shape=(count, dimension))


def collect_rows(
    batches: Iterable[Floats], count: int, dimension: int, progress: Progress, stage: str, name: str
) -> tuple[Floats, float]:
    """All batches (B, D) as one array (count, D), and the seconds that they took.

    Raises CheckpointError, naming `name`, if a batch has another D than `dimension`.
    """
    rows = empty_rows(count, dimension)
    done, began = 0, time.perf_counter()
    progress(0, count, stage)
    for batch in batches:
        if batch.shape[1] != dimension:
            raise CheckpointError(
                f"{name}: its header says descriptors of dimension {dimension}, its network gives "
                f"{batch.shape[1]}; is `output` the right one of its outputs?"
            )
        rows[done : done + len(batch)] = batch
        done += len(batch)
        progress(done, count, stage)
    return rows, time.perf_counter() - began


def _reduced(rows: Floats, pca: Pca, whiten: bool) -> Floats:
    reduced = empty_rows(len(rows), pca.dimension)
    for start in range(0, len(rows), BLOCK):
        part = np.asarray(rows[start : start + BLOCK])
        reduced[start : start + len(part)] = pca.apply(part, whiten)
    return reduced
