"""Nearest global descriptors: exact while a map is small, an HNSW graph when it is large."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError, DependencyError, MapError

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

EXACT_LIMIT = 100_000
"""References up to which every search is exact (measured: benchmarks/retrieval_index.py)."""

HNSW_LINKS = 32
HNSW_EFFORT = 64
"""Links a node and candidates kept while searching; 0.99 recall@10 on clustered descriptors."""

BLOCK_VALUES = 1 << 24
"""Similarities held at once (64 MB), whatever the number of queries."""


class DescriptorIndex:
    """Global descriptors (N, D), float32, L2-normalised, and the nearest of them to a query.

    Similarity is the cosine, that is the dot product. A row of zeros (an image without
    features) is allowed and never a good answer. Results do not depend on the number of threads:
    candidates are scored again in float64 in a fixed order, ties go to the lower index, and the
    graph is built by one thread. Raises MapError for descriptors that are not (N, D), not finite
    or not normalised.
    """

    def __init__(self, descriptors: ArrayLike, exact_limit: int = EXACT_LIMIT) -> None:
        self._descriptors = _checked(descriptors, "reference descriptors")
        self._graph: Any = None
        self._exact_limit = exact_limit
        self.dimension = int(self._descriptors.shape[1])
        self._grow_graph()

    def __len__(self) -> int:
        return int(self._graph.ntotal) if self._graph is not None else len(self._descriptors)

    @property
    def is_exact(self) -> bool:
        """Whether searches compare with every descriptor."""
        return self._graph is None

    def add(self, descriptors: ArrayLike) -> None:
        """Append descriptors (M, D); they get the indices from `len(index)` on."""
        new = _checked(descriptors, "new descriptors", self.dimension)
        self._descriptors = np.concatenate([self._descriptors, new])
        self._grow_graph()

    def search(self, queries: ArrayLike, k: int) -> tuple[Indices, Floats]:
        """The k nearest to each query: indices (Q, k) and cosine similarities (Q, k), best first.

        `queries` is (Q, D) or one descriptor (D,), which counts as Q = 1. Fewer columns come back
        where the index holds fewer than k. Raises MapError when the index is empty or a query
        does not fit it, ConfigurationError for k < 1.
        """
        if k < 1:
            raise ConfigurationError(f"expected k >= 1 neighbours, got {k}")
        checked = _checked(np.atleast_2d(np.asarray(queries)), "query descriptors", self.dimension)
        if len(self) == 0:
            raise MapError("expected an index with at least one reference, got an empty one; add references")
        k = min(k, len(self))
        indices = np.empty((len(checked), k), np.int64)
        scores = np.empty((len(checked), k), np.float32)
        look_up = self._exact_candidates if self.is_exact else self._graph_candidates
        for row, chosen in enumerate(look_up(checked, k)):
            indices[row], scores[row] = self._ranked(checked[row], chosen, k)
        return indices, scores

    def _exact_candidates(self, queries: Floats, k: int) -> list[Indices]:
        """For each query, every index that may be among its k best once rounding is undone."""
        slack = self.dimension * np.finfo(np.float32).eps  # bound of two float32 sums' errors
        block = max(1, BLOCK_VALUES // len(self))
        found: list[Indices] = []
        for start in range(0, len(queries), block):
            for similarity in queries[start : start + block] @ self._descriptors.T:
                kth = np.partition(similarity, -k)[-k]
                found.append(np.flatnonzero(similarity >= kth - slack))
        return found

    def _graph_candidates(self, queries: Floats, k: int) -> list[Indices]:
        self._graph.hnsw.efSearch = max(HNSW_EFFORT, 2 * k)
        _, found = self._graph.search(queries, k)
        return [np.sort(row[row >= 0]) for row in found]

    def _ranked(self, query: Floats, candidates: Indices, k: int) -> tuple[Indices, Floats]:
        """The k best candidates by float64 similarity, the lower index first among equals."""
        if len(candidates) < k:  # a walk through the graph can end early: look at everything then
            candidates = np.arange(len(self))
        parts = np.array_split(candidates, len(candidates) // 4096 + 1)
        scores = np.concatenate([_dot(self._rows(part), query) for part in parts])
        order = np.lexsort((candidates, -scores))[:k]
        return candidates[order], scores[order].astype(np.float32)

    def _rows(self, indices: Indices) -> Floats:
        if self._graph is None:
            return self._descriptors[indices]
        return np.asarray(self._graph.reconstruct_batch(indices), np.float32)

    def _grow_graph(self) -> None:
        """Move waiting descriptors into the graph, once there are enough to want one."""
        if self._graph is None and len(self._descriptors) <= self._exact_limit:
            return
        faiss = _faiss(len(self._descriptors))
        if self._graph is None:
            self._graph = faiss.IndexHNSWFlat(self.dimension, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # faiss does not promise the same graph from several
        try:
            self._graph.add(self._descriptors)
        finally:
            faiss.omp_set_num_threads(threads)
        self._descriptors = self._descriptors[:0].copy()  # the graph holds its own copy


def _dot(rows: Floats, query: Floats) -> NDArray[np.float64]:
    """Dot products in float64; einsum sums in one thread and in one order, unlike BLAS."""
    products: NDArray[np.float64] = np.einsum("nd,d->n", rows, query, dtype=np.float64)
    return products


def _checked(descriptors: ArrayLike, what: str, dimension: int | None = None) -> Floats:
    values = np.ascontiguousarray(descriptors, np.float32)
    if values.ndim != 2 or values.shape[1] == 0:
        raise MapError(f"expected {what} of shape (N, D), got {values.shape}")
    if dimension is not None and values.shape[1] != dimension:
        raise MapError(
            f"expected {what} of dimension {dimension}, got {values.shape[1]}; "
            "use the descriptor that the map was built with"
        )
    norms = np.sqrt(np.einsum("nd,nd->n", values, values))
    wrong = ~((np.abs(norms - 1) < 1e-2) | (norms == 0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise MapError(
            f"expected {what} that are finite and L2-normalised, got norm {norms[row]:g} in row {row}; "
            "look for broken images"
        )
    return values


def _faiss(count: int) -> Any:
    try:
        import faiss
    except ImportError as error:
        raise DependencyError(
            f"an index of {count} references needs faiss; `pip install faiss-cpu`, or raise exact_limit"
        ) from error
    return faiss
