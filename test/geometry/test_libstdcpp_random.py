"""The random integers of libstdc++."""

from __future__ import annotations

import numpy as np

from relpose_ros.geometry.libstdcpp_random import UniformIntegers


def test_raw_numbers_are_those_of_mt19937() -> None:
    """The ten thousandth number of the default seed is fixed by the C++ standard ([rand.predef])."""
    numbers = UniformIntegers(5489).draw(np.full(10_000, 2**32))
    assert numbers[-1] == 4123659995


def test_draws_in_pieces_are_the_same_numbers() -> None:
    ranges = np.tile([80, 60, 3], 40)
    whole, pieces = UniformIntegers(7), UniformIntegers(7)
    parts = [pieces.draw(part) for part in np.split(ranges, [1, 50, 51])]
    np.testing.assert_array_equal(whole.draw(ranges), np.concatenate(parts))


def test_numbers_that_would_be_biased_are_drawn_again() -> None:
    """Of a range just above 2^31 nearly every second raw number is rejected."""
    ranges = np.full(2000, 2**31 + 1)
    numbers = UniformIntegers(1).draw(ranges)
    raw = UniformIntegers(1).draw(np.full(6000, 2**32)).astype(np.uint64) * np.uint64(2**31 + 1)
    kept = raw[(raw & np.uint64(0xFFFFFFFF)) >= np.uint64(2**32 % (2**31 + 1))] >> np.uint64(32)
    np.testing.assert_array_equal(numbers, kept[:2000].astype(np.int64))
    assert numbers.max() <= 2**31 and abs(numbers.mean() / 2**30 - 1) < 0.05
