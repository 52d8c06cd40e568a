"""The random numbers of GCC's C++ library, so that a published minimal set can be drawn again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


class UniformIntegers:
    """`std::mt19937` behind `std::uniform_int_distribution`, as libstdc++ has them since GCC 11.

    Lemire, "Fast Random Integer Generation in an Interval", 2019: the high word of raw * range, drawn again
    where the low word falls into the remainder of 2^32 / range.
    """

    def __init__(self, seed: int) -> None:
        self._generator = np.random.RandomState(seed)
        self._raw = np.zeros(0, np.uint64)

    def draw(self, ranges: Integers) -> Integers:
        """One integer in [0, range) for each of `ranges` (K,), in this order."""
        self._refill(len(ranges))
        while True:
            product = self._raw[: len(ranges)] * ranges.astype(np.uint64)
            rejected = np.flatnonzero((product & 0xFFFFFFFF) < (2**32 - ranges) % ranges)
            if not len(rejected):
                self._raw = self._raw[len(ranges) :]
                return np.asarray(product >> 32, np.int64)
            self._raw = np.delete(self._raw, rejected[0])  # rare: less than range / 2^32 of all draws
            self._refill(len(ranges))

    def _refill(self, count: int) -> None:
        missing = count - len(self._raw)
        if missing > 0:
            fresh = self._generator.randint(0, 2**32, size=missing, dtype=np.uint32)
            self._raw = np.concatenate([self._raw, fresh.astype(np.uint64)])
