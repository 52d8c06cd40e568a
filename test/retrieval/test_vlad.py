"""VLAD with signed square roots, for ORB."""

from __future__ import annotations

import numpy as np

from relpose_ros.retrieval.vlad import signed_root_vlad

GENERATOR = np.random.default_rng(0)
CENTRES = GENERATOR.normal(0, 50, (4, 8)) + 128


def test_norm_size_and_order_of_descriptors():
    descriptors = GENERATOR.integers(0, 256, (60, 8), dtype=np.uint8)
    vlad = signed_root_vlad(descriptors, CENTRES)
    assert vlad.shape == (32,)
    np.testing.assert_allclose(np.linalg.norm(vlad), 1.0)
    np.testing.assert_allclose(signed_root_vlad(descriptors[::-1], CENTRES), vlad, atol=1e-9)


def test_roots_of_residuals_keep_their_sign():
    vlad = signed_root_vlad(np.array([[4.0, -9.0]]), np.array([[0.0, 0.0], [100.0, 100.0]]))
    np.testing.assert_allclose(vlad, np.array([2.0, -3.0, 0.0, 0.0]) / np.sqrt(13))


def test_no_descriptors_or_none_but_centres_give_zeros():
    assert not signed_root_vlad(np.zeros((0, 8)), CENTRES).any()
    assert not signed_root_vlad(CENTRES, CENTRES).any()
