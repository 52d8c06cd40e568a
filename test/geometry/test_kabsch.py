"""Rigid alignment of points."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.geometry.kabsch import align_points
from relpose_ros.geometry.rigid import Rigid


def test_batched_poses_are_recovered() -> None:
    generator = np.random.default_rng(0)
    truth = Rigid.from_rotation_vector(generator.normal(size=(20, 3)), generator.normal(size=(20, 3)))
    source = generator.normal(size=(20, 6, 3))
    target = np.einsum("bij,bnj->bni", truth.rotation, source) + truth.translation[:, None]
    np.testing.assert_allclose(align_points(source, target).error_to(truth), 0, atol=1e-9)


def test_a_mirror_image_is_not_answered_by_a_reflection() -> None:
    source = np.random.default_rng(1).normal(size=(10, 3))
    found = align_points(source, source * [1, 1, -1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_noise_is_averaged() -> None:
    generator = np.random.default_rng(2)
    source = generator.normal(size=(2000, 3))
    found = align_points(source, source + 0.01 * generator.normal(size=source.shape))
    assert np.abs(found.error_to(Rigid.identity())).max() < 1e-3


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3)), ((4, 3), (5, 3)), ((4, 2), (4, 2))])
def test_shapes_that_do_not_fit_are_refused(shapes) -> None:
    with pytest.raises(ValueError, match="N >= 3"):
        align_points(np.zeros(shapes[0]), np.zeros(shapes[1]))
