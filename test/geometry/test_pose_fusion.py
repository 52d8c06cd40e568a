"""Fusion of opinions that say how sure they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.geometry.covariance import nees, rotate_covariance
from relpose_ros.geometry.pose_fusion import fused_pose, moved_covariance
from relpose_ros.geometry.rigid import Rigid

TRUTH = Rigid.from_rotation_vector([0.3, -0.7, 0.2], [1.0, 2.0, -0.5])


def covariances(generator: np.random.Generator, count: int) -> np.ndarray:
    """Of different sizes and shapes."""
    out = []
    for _ in range(count):
        mixed = generator.normal(size=(6, 6)) * np.repeat([0.1, 0.03], 3)[:, None]
        out.append(mixed @ mixed.T * generator.uniform(0.2, 3) + np.diag(np.repeat([1e-4, 1e-5], 3)))
    return np.stack(out)


def opinions(generator: np.random.Generator, covariance: np.ndarray) -> Rigid:
    twist = np.stack([generator.multivariate_normal(np.zeros(6), one) for one in covariance])
    return Rigid.stack([TRUTH] * len(covariance)).perturbed(twist)


def test_its_covariance_is_that_of_the_error() -> None:
    generator = np.random.default_rng(0)
    values = []
    for _ in range(150):
        covariance = covariances(generator, 7)
        fused = fused_pose(opinions(generator, covariance), covariance)
        values.append(nees(fused.pose.error_to(TRUTH), fused.covariance))
    # Mean 6 with a deviation of sqrt(12 / 150); Cauchy weights cost a little.
    assert 5.2 < np.mean(values) < 7.4
    assert 0.9 < np.mean(np.array(values) < 12.592) < 0.98


def test_it_is_better_than_the_best_and_than_the_unweighted() -> None:
    from relpose_ros.geometry.averaging import robust_mean

    generator = np.random.default_rng(1)
    sizes = np.repeat([0.01, 0.3, 0.3, 0.3, 0.3], 1)
    covariance = sizes[:, None, None] ** 2 * np.eye(6)
    errors = []
    for _ in range(40):
        given_ = opinions(generator, covariance)
        fused, plain = fused_pose(given_, covariance).pose, robust_mean(given_).pose
        errors.append([TRUTH.distance_to(p)[0] for p in (fused, plain)])
    weighted, unweighted = np.median(errors, axis=0)
    assert weighted < 0.02 < 0.08 < unweighted


def test_those_that_are_wrong_have_no_say() -> None:
    generator = np.random.default_rng(2)
    covariance = np.stack([np.diag(np.repeat([0.05**2, 0.02**2], 3))] * 7)
    for _ in range(25):
        given_ = opinions(generator, covariance)
        twist = np.zeros((7, 6))
        twist[:3] = generator.normal(0, [2] * 3 + [1] * 3, (3, 6)) + 0.5
        fused = fused_pose(given_.perturbed(twist), covariance)
        assert not fused.agreeing[:3].any() and fused.agreeing[3:].sum() >= 3
        assert nees(fused.pose.error_to(TRUTH), fused.covariance) < 30


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_it_turns_with_the_map(seed: int, motion: list[float]) -> None:
    generator = np.random.default_rng(seed)
    covariance = covariances(generator, 5)
    given_ = opinions(generator, covariance)
    new_from_old = Rigid.from_rotation_vector(motion[:3], motion[3:])
    both = Rigid.stack([new_from_old] * 5)
    moved = fused_pose(both @ given_, moved_covariance(covariance, both))
    here = fused_pose(given_, covariance)
    distance, angle = moved.pose.distance_to(new_from_old @ here.pose)
    assert distance < 1e-5 and angle < 1e-5
    np.testing.assert_allclose(
        moved.covariance, rotate_covariance(here.covariance, new_from_old), rtol=1e-3, atol=1e-7
    )
    np.testing.assert_array_equal(moved.agreeing, here.agreeing)


def test_where_none_agree_it_says_so() -> None:
    apart = Rigid.stack([TRUTH.perturbed([x, 0, 0, 0, 0, 0]) for x in (-10.0, 10.0)])
    fused = fused_pose(apart, np.stack([1e-4 * np.eye(6)] * 2))
    assert fused.agreeing.sum() <= 1 and np.isfinite(fused.covariance).all()


@pytest.mark.parametrize(
    ("poses", "covariance"),
    [
        (Rigid.stack([TRUTH]), np.zeros((1, 6, 6))),
        (Rigid.stack([TRUTH]), np.eye(6)),
        (Rigid.stack([TRUTH] * 2), np.stack([np.eye(6)])),
        (Rigid.stack([TRUTH]), np.full((1, 6, 6), np.nan)),
        (Rigid(np.zeros((0, 3, 3)), np.zeros((0, 3))), np.zeros((0, 6, 6))),
    ],
)
def test_what_is_no_covariance_is_refused(poses: Rigid, covariance: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected"):
        fused_pose(poses, covariance)
