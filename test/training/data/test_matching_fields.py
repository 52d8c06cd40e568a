"""Descriptors in one byte a number: as near to what they were as the map's are."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.features.compression import dequantize, quantize
from relpose_training.data.matching_fields import decode, encode


def unit(shape, seed=0, signed=True):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    values = values if signed else np.abs(values)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(("storage", "least"), [("uint8", 0.9999), ("float16", 0.999999)])
def test_what_is_stored_is_what_was_there(storage, least, signed):
    descriptors = unit((50, 64), signed=signed)
    stored = encode(descriptors, storage)
    back = decode(stored)
    assert stored.dtype == np.dtype(storage) and back.dtype == np.float32
    assert (descriptors * back).sum(axis=1).min() > least
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), 1, rtol=1e-5)


def test_one_byte_is_the_maps_own():
    descriptors = unit((20, 64), 1)
    assert np.array_equal(decode(encode(descriptors)), dequantize(quantize(descriptors)))


@pytest.mark.parametrize("storage", ["uint8", "float16"])
def test_none_and_zeros(storage):
    assert decode(encode(np.zeros((0, 8), np.float32), storage)).shape == (0, 8)
    assert np.isfinite(decode(encode(np.zeros((2, 8), np.float32), storage))).all()
