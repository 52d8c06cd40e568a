"""Factors that make predicted variances as large as errors are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relpose_ros.geometry.edge_variances import scaled, variance_factors

FACTOR = st.floats(0.01, 100.0)


def covariances(rng: np.random.Generator, count: int) -> np.ndarray:
    """Positive definite (count, 6, 6), no two alike."""
    mixed = rng.normal(size=(count, 6, 6)) * [0.1, 0.2, 0.3, 0.02, 0.03, 0.05]
    return mixed.transpose(0, 2, 1) @ mixed + 1e-4 * np.eye(6)


@given(st.integers(0, 1000), FACTOR, FACTOR)
def test_it_finds_by_what_variances_are_wrong(seed: int, translation: float, rotation: float):
    rng = np.random.default_rng(seed)
    said = covariances(rng, 2000)
    true = scaled(said, (translation, rotation))
    errors = np.einsum("nij,nj->ni", np.linalg.cholesky(true), rng.normal(size=(2000, 6)))
    assert variance_factors(errors, said) == pytest.approx((translation, rotation), rel=0.15)


def test_what_was_not_known_at_all_has_no_say():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(1000, 6))
    errors[:100] *= 1e4
    found = variance_factors(errors, np.tile(np.eye(6), (1000, 1, 1)))
    assert found == pytest.approx((1, 1), rel=0.3)


def test_without_errors_nothing_changes():
    assert variance_factors(np.zeros((0, 6)), np.zeros((0, 6, 6))) == (1.0, 1.0)


@given(st.integers(0, 1000), FACTOR, FACTOR)
def test_scaled_covariances_stay_ones(seed: int, translation: float, rotation: float):
    """Correlations stay as they are, and so does the order of the axes."""
    said = covariances(np.random.default_rng(seed), 3)
    found = scaled(said, (translation, rotation))
    assert (np.linalg.eigvalsh(found) > 0).all()
    np.testing.assert_allclose(found[:, :3, :3], translation * said[:, :3, :3])
    np.testing.assert_allclose(found[:, 3:, 3:], rotation * said[:, 3:, 3:])
    np.testing.assert_allclose(found[:, :3, 3:], np.sqrt(translation * rotation) * said[:, :3, 3:])
