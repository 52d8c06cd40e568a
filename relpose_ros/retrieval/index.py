"""Nearest global descriptors: exact while a map is small, by binary signatures when it is large."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError, MapError
from relpose_ros.retrieval.signatures import Signatures, build_signatures

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

EXACT_LIMIT = 100_000
"""References up to which every search is exact (measured: benchmarks/retrieval_index.py)."""

HELD_BYTES = 1 << 30
"""Descriptors of an exact index that lie in a file are read into memory once, up to this size: 8,192 of the
32,768 values of NetVLAD. Larger ones are read for every query, and a warning says so."""

BLOCK_VALUES = 1 << 24
"""Similarities, or descriptor values, held at once (64 MB)."""


class Rows(Protocol):
    """Descriptors (N, D) that may lie in a file: indexing with a slice or an array reads those rows."""

    shape: tuple[int, ...]

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any) -> NDArray[Any]: ...


class DescriptorIndex:
    """Global descriptors (N, D), float32, L2-normalised, and the nearest of them to a query.

    Similarity is the cosine, that is the dot product. A row of zeros (an image without
    features) is allowed and never a good answer. Results do not depend on the number of threads:
    candidates are scored again in float64 in a fixed order, and ties go to the lower index. Raises
    MapError for descriptors that are not (N, D), not finite or not normalised.

    `stored`: descriptors are in a file (`Rows`), and only what a search asks for is read and checked.
    `signatures`: those of these descriptors, where they were made before; MapError if they cannot be.
    """

    def __init__(
        self,
        descriptors: ArrayLike | Rows,
        exact_limit: int = EXACT_LIMIT,
        *,
        stored: bool = False,
        signatures: Signatures | None = None,
    ) -> None:
        self._descriptors: Any = (
            _checked_rows(descriptors) if stored else _checked(descriptors, "reference descriptors")
        )
        self._exact_limit = exact_limit
        self.dimension = int(self._descriptors.shape[1])
        self._signatures = signatures if len(self) > exact_limit else None
        if self._signatures is not None:
            try:
                self._signatures.check(len(self), self.dimension)
            except ValueError as error:
                raise MapError(
                    f"these are not the signatures of the descriptors: {error}; build them again"
                ) from error
        if stored and self.is_small:
            self._hold()
        self._grow_signatures()

    def __len__(self) -> int:
        return len(self._descriptors)

    def _hold(self) -> None:
        """Read descriptors that are searched exactly into memory, if they are not too large for it."""
        size = 4 * len(self) * self.dimension
        if size <= HELD_BYTES:
            self._descriptors = _checked(self._descriptors[:], "reference descriptors")
        else:
            logging.getLogger(__name__).warning(
                "%d descriptors of %d values (%.1f GB) are read from the map for every query; "
                "a PCA to 512 or fewer (`relpose test retrieval --pca 512 --save FILE`) makes that needless",
                len(self),
                self.dimension,
                size / 1e9,
            )

    @property
    def is_small(self) -> bool:
        """Whether there are too few descriptors for signatures."""
        return len(self) <= self._exact_limit

    @property
    def is_exact(self) -> bool:
        """Whether searches compare with every descriptor."""
        return self._signatures is None

    @property
    def signatures(self) -> Signatures | None:
        """What to store beside the descriptors; None while searches are exact."""
        return self._signatures

    def add(self, descriptors: ArrayLike) -> None:
        """Append descriptors (M, D); they get the indices from `len(index)` on."""
        new = _checked(descriptors, "new descriptors", self.dimension)
        self._descriptors = np.concatenate([self._rows(slice(None)), new])
        self._grow_signatures()

    def grown(self, descriptors: Floats) -> DescriptorIndex:
        """An index of `descriptors` (M, D): this one and what is new, where they begin with this one's.

        Where they do not, everything is built anew. Compared as stored, in half precision.
        """
        checked = _checked(descriptors, "reference descriptors")
        known = self._signatures if self._begins(checked) else None
        if known is not None:
            known = known.extended(lambda a, b: _halved(checked[a:b]), len(checked))
        return DescriptorIndex(checked, self._exact_limit, signatures=known)

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
        for row, chosen in enumerate(self._candidates(checked, k)):
            indices[row], scores[row] = self._ranked(checked[row], chosen, k)
        return indices, scores

    def search_among(self, query: ArrayLike, chosen: Indices, k: int) -> tuple[Indices, Floats]:
        """The k nearest of `chosen` (M,) to one descriptor (D,): indices and similarities (k,), best first.

        Raises as `search` does.
        """
        if k < 1:
            raise ConfigurationError(f"expected k >= 1 neighbours, got {k}")
        checked = _checked(np.atleast_2d(np.asarray(query)), "query descriptors", self.dimension)
        return self._ranked(checked[0], np.asarray(chosen, np.int64), k)

    def _candidates(self, queries: Floats, k: int) -> list[Indices]:
        """For each query what may be among its k nearest."""
        if self._signatures is None:
            return self._exact_candidates(queries, k)
        return [self._signatures.candidates(query, k) for query in queries]

    def _exact_candidates(self, queries: Floats, k: int) -> list[Indices]:
        """For each query, every index that may be among its k best once rounding is undone."""
        slack = self.dimension * np.finfo(np.float32).eps  # bound of two float32 sums' errors
        block = max(1, BLOCK_VALUES // len(self))
        found: list[Indices] = []
        for start in range(0, len(queries), block):
            for similarity in self._similarities(queries[start : start + block]):
                kth = np.partition(similarity, -k)[-k]
                found.append(np.flatnonzero(similarity >= kth - slack))
        return found

    def _similarities(self, queries: Floats) -> Floats:
        """(Q, N); descriptors in a file are read in parts."""
        if isinstance(self._descriptors, np.ndarray):
            return np.asarray(queries @ self._descriptors.T)
        step = max(1, BLOCK_VALUES // self.dimension)
        parts = [queries @ self._rows(slice(i, i + step)).T for i in range(0, len(self), step)]
        return np.concatenate(parts, axis=1)

    def _ranked(self, query: Floats, candidates: Indices, k: int) -> tuple[Indices, Floats]:
        """The k best candidates by float64 similarity, the lower index first among equals."""
        parts = np.array_split(candidates, len(candidates) // 4096 + 1)
        scores = np.concatenate([_dot(self._rows(part), query) for part in parts])
        order = np.lexsort((candidates, -scores))[:k]
        return candidates[order], scores[order].astype(np.float32)

    def _rows(self, index: Any) -> Floats:
        if isinstance(self._descriptors, np.ndarray):
            return np.asarray(self._descriptors[index])
        return _checked(self._descriptors[index], "stored descriptors")

    def _grow_signatures(self) -> None:
        """Make or extend the signatures, once there are enough descriptors to want some."""
        if self.is_small:
            return
        count = len(self)
        if self._signatures is None:
            self._signatures = build_signatures(self._stored_values, count, self.dimension)
        elif len(self._signatures) < count:
            self._signatures = self._signatures.extended(self._stored_values, count)

    def _stored_values(self, start: int, stop: int) -> Floats:
        return _halved(self._rows(slice(start, stop)))

    def _begins(self, descriptors: Floats) -> bool:
        """Whether these begin with the index's own descriptors."""
        count = len(self)
        if len(descriptors) < count or descriptors.shape[1] != self.dimension:
            return False
        step = 1 << 14
        return all(
            np.array_equal(
                self._stored_values(i, min(i + step, count)), _halved(descriptors[i : min(i + step, count)])
            )
            for i in range(0, count, step)
        )


def _halved(rows: Floats) -> Floats:
    """As a map file keeps them: signatures do not change when a map is saved and opened."""
    return rows.astype(np.float16).astype(np.float32)


def _dot(rows: Floats, query: Floats) -> NDArray[np.float64]:
    """Dot products in float64; einsum sums in one thread and in one order, unlike BLAS."""
    products: NDArray[np.float64] = np.einsum("nd,d->n", rows, query, dtype=np.float64)
    return products


def _checked_rows(rows: Any) -> Any:
    if len(rows.shape) != 2 or rows.shape[1] == 0:
        raise MapError(f"expected reference descriptors of shape (N, D), got {rows.shape}")
    return rows


def _checked(descriptors: Any, what: str, dimension: int | None = None) -> Floats:
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
