"""Half the descriptor, nearly all of its neighbours."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.base import Source
from relpose_ros.features.compression import compress, dequantize, frequency_basis, quantize
from relpose_ros.features.matching import match, nearest_neighbours
from relpose_ros.features.sift import root_sift


@pytest.fixture(scope="session")
def neighbouring(rendered_world: Source) -> list[np.ndarray]:
    """RootSIFT (N, 128) of the same view in two exposures: what matching meets at the easy end."""
    sift = cv2.SIFT.create(800, enable_precise_upscale=True)
    image = rendered_world.images[0].load()
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    noise = np.random.default_rng(0).normal(0, 4, grey.shape)
    turned = cv2.warpAffine(grey, cv2.getRotationMatrix2D((160, 120), 7, 1.05), (320, 240))
    again = np.clip(0.8 * turned + 15 + noise, 0, 255).astype(np.uint8)
    return [root_sift(sift.detectAndCompute(i, None)[1]) for i in (grey, again)]


def test_basis_is_orthonormal_and_nested() -> None:
    full = frequency_basis(128)
    np.testing.assert_allclose(full.T @ full, np.eye(128), atol=1e-6)
    half = frequency_basis(64)
    assert half.shape == (128, 64) and half.flags.c_contiguous
    np.testing.assert_array_equal(half, full[:, :64])


def test_all_frequencies_keep_all_distances() -> None:
    """A rotation of the whole space: nothing is lost before something is left out."""
    rows = root_sift(np.random.default_rng(0).integers(0, 255, (30, 128)))
    turned = rows @ frequency_basis(128)
    np.testing.assert_allclose(rows @ rows.T, turned @ turned.T, atol=1e-5)


def test_the_constant_comes_last() -> None:
    flat = np.full((1, 128), 128**-0.5, np.float32)
    energy = (flat @ frequency_basis(128))[0] ** 2
    assert energy[-1] == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(flat @ frequency_basis(64)) < 1e-5


def test_compression_keeps_nearest_neighbours(neighbouring: list[np.ndarray]) -> None:
    first, second = neighbouring
    whole = match(first, second, 0.85)
    small = match(compress(first), compress(second), 0.85)
    assert len(whole.pairs) > 80
    kept = {tuple(p) for p in whole.pairs.tolist()} & {tuple(p) for p in small.pairs.tolist()}
    assert len(kept) > 0.8 * len(whole.pairs)
    assert len(small.pairs) > 0.85 * len(whole.pairs)


def test_quantisation_keeps_nearest_neighbours(neighbouring: list[np.ndarray]) -> None:
    first, second = (compress(d) for d in neighbouring)
    stored = dequantize(quantize(second))
    assert (second * stored).sum(axis=1).min() > 0.999
    whole, small = nearest_neighbours(first, second), nearest_neighbours(first, stored)
    distinct = whole.ratio < 0.85
    assert (whole.index == small.index)[distinct].mean() > 0.98


def test_quantising_twice_changes_nothing() -> None:
    """A map that is opened and saved again is the same map."""
    rows = compress(root_sift(np.random.default_rng(1).integers(0, 255, (50, 128))))
    once = quantize(rows)
    np.testing.assert_array_equal(quantize(dequantize(once)), once)
    assert once.dtype == np.int8 and np.abs(once.astype(int)).max(axis=1).min() == 127


@pytest.mark.parametrize("function", [compress, quantize, dequantize])
def test_nothing_in_nothing_out(function) -> None:
    kind = np.int8 if function is dequantize else np.float32
    out = function(np.zeros((0, 128 if function is compress else 64), kind))
    assert out.shape == (0, 64)


def test_a_descriptor_of_zeros_stays_finite() -> None:
    zero = np.zeros((1, 128), np.float32)
    assert np.isfinite(compress(zero)).all()
    assert np.isfinite(dequantize(quantize(compress(zero)))).all()
