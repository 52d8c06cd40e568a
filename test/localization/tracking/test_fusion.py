"""Fusing where nothing, something and everything is in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking import Fix, TrackerOptions
from relpose_ros.localization.tracking.fusion import fused, gate, share_in_common, squared_distance
from relpose_ros.localization.tracking.track import Track

OPTIONS = TrackerOptions()


def spread(seed: int, size: float = 0.02) -> np.ndarray:
    random = np.random.default_rng(seed)
    factor = random.normal(size=(6, 6)) * size
    return factor @ factor.T + np.eye(6) * size**2 * 0.1


def track(seed: int, stamp: float = 0.0, moved: float = 0.0) -> Track:
    random = np.random.default_rng(1000 + seed)
    pose = Rigid.from_rotation_vector([0.1, 0.2, 1.0], [3.0, 2.0, 1.0]).perturbed(
        random.normal(size=6) * 0.02
    )
    made = Track.of(Fix(stamp, pose, spread(seed)), Rigid.identity())
    return replace(made, by_motion=moved * spread(seed + 7))


def test_with_nothing_in_common_it_is_the_kalman_update():
    first, second = track(1), track(2)
    joined = fused(first, second, 0.0, OPTIONS)
    information = np.linalg.inv(first.by_fixes) + np.linalg.inv(second.by_fixes)
    np.testing.assert_allclose(joined.covariance(OPTIONS), np.linalg.inv(information), rtol=1e-9)
    shift = np.linalg.inv(information) @ np.linalg.solve(
        second.by_fixes, first.map_from_base.error_to(second.map_from_base)
    )
    np.testing.assert_allclose(first.map_from_base.error_to(joined.map_from_base), shift, atol=1e-12)


def test_the_same_fix_twice_is_no_more_than_once():
    fix = track(3)
    joined = fused(fix, fix, 1.0, OPTIONS)
    np.testing.assert_allclose(joined.covariance(OPTIONS), fix.covariance(OPTIONS), rtol=1e-6)
    np.testing.assert_allclose(joined.map_from_base.matrix, fix.map_from_base.matrix, atol=1e-12)


def test_no_number_of_fixes_is_sharper_than_their_common_share():
    joined = track(4)
    alone = joined.covariance(OPTIONS)
    for _ in range(300):
        joined = fused(joined, track(4), 0.5, OPTIONS)
    ratio = np.linalg.eigvals(np.linalg.solve(alone, joined.covariance(OPTIONS))).real
    assert ratio.min() >= 0.5 - 1e-9 and ratio.max() < 0.6


@settings(max_examples=40, deadline=None)
@given(
    seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)),
    share=st.floats(0, 1),
    moved=st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
)
def test_never_indefinite_and_never_worse_than_either(seeds, share, moved):
    first, second = track(seeds[0], moved=moved), track(seeds[1])
    covariance = fused(first, second, share, OPTIONS).covariance(OPTIONS)
    scale = np.sqrt(np.diag(covariance))
    assert np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0] > 0
    volumes = [np.linalg.slogdet(t.covariance(OPTIONS))[1] for t in (first, second)]
    assert np.linalg.slogdet(covariance)[1] <= min(volumes) + 0.2


@pytest.mark.parametrize("correlated", [0.0, 0.5, 1.0])
def test_honest_whatever_the_correlation_that_is_allowed_for(correlated):
    """Errors of a track and a fix with that correlation, fused with all in common: none too sure."""
    random = np.random.default_rng(5)
    truth = Rigid.from_rotation_vector([0.3, 0, 0.2], [1, 2, 3])
    shape, values = spread(11), []
    factor = np.linalg.cholesky(shape)
    for _ in range(300):
        shared, own = random.normal(size=6), random.normal(size=(2, 6))
        errors = correlated**0.5 * shared + (1 - correlated) ** 0.5 * own
        first, second = (
            Track.of(Fix(0.0, truth.perturbed(factor @ e), shape), Rigid.identity()) for e in errors
        )
        joined = fused(first, second, 1.0, OPTIONS)
        error = joined.map_from_base.error_to(truth)
        values.append(error @ np.linalg.solve(joined.covariance(OPTIONS), error))
    assert np.mean(values) < 6.6


def test_what_fixes_have_in_common_fades_with_time_to_a_rest():
    options = TrackerOptions(correlation_seconds=2.0, common_share=0.1)
    made = track(0, stamp=10.0)
    shares = [share_in_common(made, 10.0 + s, options) for s in (0.0, 2.0, -2.0, 100.0)]
    np.testing.assert_allclose(shares, [1.0, np.exp(-1), np.exp(-1), 0.1])
    assert share_in_common(made, 10.0, replace(options, correlation_seconds=0.0)) == 0.1


def test_the_gate_is_chi_squares():
    assert gate(OPTIONS) == pytest.approx(22.458, abs=1e-3)
    assert gate(replace(OPTIONS, gate_probability=0.95)) == pytest.approx(12.592, abs=1e-3)
    assert squared_distance(track(1), track(1), OPTIONS) == 0.0
