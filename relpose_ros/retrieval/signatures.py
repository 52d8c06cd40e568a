"""Binary signatures: on which side of random planes a descriptor lies, to find candidates among very many.

The share of planes that separate two descriptors estimates their angle (Charikar, "Similarity estimation
techniques from rounding algorithms", STOC 2002). Comparing is an exclusive or and a count of bits, so all
of a million are looked at in some ten milliseconds, and nothing is trained or linked: adding is appending.
Planes go through the mean, and are orthogonal as far as the dimension allows. Counts are integers: an answer
depends neither on the number of threads nor on what else is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Words = NDArray[np.uint64]
ReadRows = Callable[[int, int], Floats]
"""start, stop -> descriptors (stop - start, D) of that range."""

BITS = 512
CANDIDATES = 200
"""Bits of a signature; descriptors compared exactly, at least (measured: benchmarks/retrieval_index.py)."""

MEAN_SAMPLES = 10_000
BLOCK_ROWS = 1 << 13
SCAN_ROWS = 1 << 16
"""Signatures compared at once: what fits into a processor's cache."""


@dataclass(frozen=True)
class Signatures:
    """Signatures of N descriptors: bit b of descriptor x is the sign of (x - mean) . plane[:, b].

    `mean` (D,) and `planes` (D, BITS) float32; `words` (BITS / 64, N): the bits, word by word.
    """

    mean: Floats
    planes: Floats
    words: Words

    def __len__(self) -> int:
        return int(self.words.shape[1])

    def check(self, count: int, dimension: int) -> None:
        """Raise ValueError unless these can be the signatures of `count` descriptors."""
        shapes = (self.mean.shape, self.planes.shape, self.words.shape)
        bits = self.planes.shape[-1]
        if shapes != ((dimension,), (dimension, bits), (bits // 64, count)) or bits % 64:
            raise ValueError(f"signatures of {count} x {dimension} descriptors have shapes {shapes}")
        if self.words.dtype != np.uint64:
            raise ValueError(f"signatures are uint64, not {self.words.dtype}")

    def candidates(self, query: Floats, k: int) -> Indices:
        """The max(CANDIDATES, 2 k) descriptors that differ least from `query` (D,), ascending."""
        wanted = min(max(CANDIDATES, 2 * k), len(self))
        differing = self._differing(np.einsum("d,db->b", query - self.mean, self.planes))
        up_to = np.bincount(differing, minlength=self.planes.shape[1] + 1).cumsum()
        limit = int(np.searchsorted(up_to, wanted))
        nearer = np.flatnonzero(differing < limit)
        last = np.flatnonzero(differing == limit)[: wanted - len(nearer)]  # the lower index first
        return np.sort(np.concatenate([nearer, last]))

    def _differing(self, projected: Floats) -> NDArray[np.uint16]:
        """Number of bits (N,) that differ from those of a projected query (BITS,)."""
        asked = _packed(projected[None])[0]
        out = np.zeros(len(self), np.uint16)
        for start in range(0, len(self), SCAN_ROWS):
            part = out[start : start + SCAN_ROWS]
            for words, word in zip(self.words, asked, strict=True):
                part += np.bitwise_count(words[start : start + SCAN_ROWS] ^ word)
        return out

    def extended(self, rows: ReadRows, count: int) -> Signatures:
        """With those of descriptors len(self) to `count` appended."""
        from threadpoolctl import threadpool_limits

        words = np.empty((len(self.words), count), np.uint64)
        words[:, : len(self)] = self.words
        with threadpool_limits(1, "blas"):
            for start in range(len(self), count, BLOCK_ROWS):
                stop = min(count, start + BLOCK_ROWS)
                words[:, start:stop] = _packed((rows(start, stop) - self.mean) @ self.planes).T
        return replace(self, words=words)


def build_signatures(rows: ReadRows, count: int, dimension: int, seed: int = 0) -> Signatures:
    """Signatures of `count` descriptors (count, dimension)."""
    starts = np.linspace(0, max(0, count - 100), max(1, min(count, MEAN_SAMPLES) // 100)).astype(int).tolist()
    samples = np.concatenate([rows(s, min(count, s + 100)) for s in starts])
    empty = Signatures(samples.mean(axis=0), _planes(dimension, seed), np.zeros((BITS // 64, 0), np.uint64))
    return empty.extended(rows, count)


def _planes(dimension: int, seed: int) -> Floats:
    """Normals (D, BITS): orthogonal ones, and as many sets of them as there are bits for."""
    generator = np.random.default_rng(seed)
    width = min(dimension, BITS)
    sets = [np.linalg.qr(generator.standard_normal((dimension, width)))[0] for _ in range(-(-BITS // width))]
    return np.ascontiguousarray(np.concatenate(sets, axis=1)[:, :BITS], np.float32)


def _packed(projected: NDArray[np.floating]) -> Words:
    """(N, BITS) -> (N, BITS / 64): bit by bit whether it is positive."""
    return np.packbits(projected > 0, axis=1).view(np.uint64)
