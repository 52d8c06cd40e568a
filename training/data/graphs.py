"""Which references make a graph with a query, and what is to be learnt of its edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.relative_vectors import InSourceFrame, RelativeVectors
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.retrieval.diversity import strided_neighbours

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class GraphOptions:
    """`neighbours` references a query, every `period`-th of its ranking.

    `halving`: drop half of each ranking at random first, as the published graphs were made. `seed` of what is
    drawn once (`neighbour_table`). `shuffle`: references in random order (training).
    """

    neighbours: int = 7
    period: int = 5
    halving: bool = True
    seed: int = 7
    shuffle: bool = False


def neighbour_table(similarity: ArrayLike, options: GraphOptions, same: bool = False) -> Indices:
    """References of each query: similarities (Q, N) -> indices (Q, neighbours).

    `same`: queries and references are the same images in the same order, so that none is its own reference.
    Raises DatasetError when a ranking is too short.
    """
    state = np.random.RandomState(options.seed) if options.halving else None
    rows = []
    for query, scores in enumerate(np.asarray(similarity)):
        own = query if same else None
        found = strided_neighbours(scores, options.neighbours, options.period, own, state)
        if len(found) < options.neighbours:
            raise DatasetError(
                f"query {query}: expected {options.neighbours} references, {len(scores)} ranked with period "
                f"{options.period} leave {len(found)}; take a shorter period or more references"
            )
        rows.append(found)
    return np.stack(rows) if rows else np.zeros((0, options.neighbours), np.int64)


def pair_targets(map_from_node: Rigid, convention: RelativeVectors | None = None) -> NDArray[np.float32]:
    """Relative vectors (K, K, 6) from every source (first axis) to every target (second)."""
    convention = convention or InSourceFrame()
    count = len(map_from_node)
    source, target = np.divmod(np.arange(count * count), count)
    vectors = convention.write(map_from_node[source], map_from_node[target])
    return vectors.reshape(count, count, 6).astype(np.float32)
