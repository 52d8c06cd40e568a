"""NEES, coverage and its interval against closed forms and Monte Carlo."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from relpose_ros.evaluation.consistency import Share, coverage, inconsistent, nees, reliability, threshold
from relpose_ros.evaluation.results import summarize


def a_covariance(seed: int = 0) -> np.ndarray:
    """Correlated, and with centimetres next to milliradians."""
    mix = np.random.default_rng(seed).normal(size=(6, 6)) + 2 * np.eye(6)
    scale = np.diag([0.02, 0.01, 0.05, 0.002, 0.004, 0.001])
    return scale @ mix @ mix.T @ scale


def test_nees_is_the_mahalanobis_distance():
    covariance, error = a_covariance(), np.array([0.01, -0.02, 0.03, 0.001, 0.002, -0.004])
    assert nees(error, covariance) == pytest.approx(error @ np.linalg.solve(covariance, error), rel=1e-6)


def test_nees_of_one_sigma_in_each_direction_is_six():
    sigma = np.array([0.1, 0.2, 0.3, 0.01, 0.02, 0.03])
    assert nees(sigma, np.diag(sigma**2)) == pytest.approx(6.0)


def test_singular_covariance_gives_a_number():
    singular = np.diag([1e-4, 1e-4, 0, 1e-6, 1e-6, 1e-6])
    along = nees([0.01, 0, 0, 0, 0, 0], singular)
    against = nees([0.01, 0, 0.01, 0, 0, 0], singular)
    assert along == pytest.approx(1.0)
    assert 1e6 < against < math.inf
    rank_one = np.outer(np.arange(1.0, 7), np.arange(1.0, 7)) * 1e-4
    assert nees(np.arange(1.0, 7) * 1e-2, rank_one) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    "bad",
    [
        np.eye(5),
        np.full((6, 6), np.nan),
        np.diag([np.inf, 1, 1, 1, 1, 1]),
        np.diag([-1.0, 1, 1, 1, 1, 1]),
        np.eye(6) + np.eye(6, k=1) * 0.5,
        np.eye(6) + 2 * (np.eye(6, k=1) + np.eye(6, k=-1)),
    ],
    ids=["shape", "nan", "infinite", "negative variance", "asymmetric", "indefinite"],
)
def test_what_cannot_be_a_covariance_is_infinitely_inconsistent(bad):
    assert nees(np.full(6, 0.1), bad) == math.inf


def test_no_covariance_is_unknown_and_an_infinite_error_is_infinite():
    assert math.isnan(nees(np.zeros(6), None))
    assert nees(np.full(6, math.inf), np.eye(6)) == math.inf


def monte_carlo(record, overconfidence: float, count: int = 3000):
    """Results of errors drawn from a covariance, with `overconfidence` times smaller sigmas stated."""
    random = np.random.default_rng(5)
    covariance = a_covariance() * 0.01
    errors = random.multivariate_normal(np.zeros(6), covariance, size=count)
    stated = covariance / overconfidence**2
    return summarize([record(str(i), error=e, covariance=stated) for i, e in enumerate(errors)])


def test_errors_drawn_from_the_stated_covariance_are_covered_95_times_in_100(record):
    results = monte_carlo(record, 1.0)
    assert results["coverage_95"] == pytest.approx(0.95, abs=0.012)
    low, high = results["coverage_95_interval"]
    assert low < 0.95 < high
    assert results["nees_mean"] == pytest.approx(6.0, abs=0.2)
    for row in results["reliability"]:
        assert row["share"] == pytest.approx(row["level"], abs=0.03)
    assert results["inconsistent_poses"] == 0


def test_twice_too_small_sigmas_are_found_out(record):
    results = monte_carlo(record, 2.0, count=400)
    expected = stats.chi2.cdf(threshold(0.95) / 4, 6)
    assert results["coverage_95"] == pytest.approx(expected, abs=0.08)
    assert results["coverage_95_interval"][1] < 0.95
    assert results["nees_mean"] == pytest.approx(24, abs=2.5)


def test_twice_too_large_sigmas_are_found_out(record):
    results = monte_carlo(record, 0.5, count=400)
    assert results["coverage_95_interval"][0] > 0.95
    assert results["nees_mean"] == pytest.approx(1.5, abs=0.2)


def test_rotated_covariance_is_read_in_map_axes(record):
    """Large uncertainty along map x forgives an error along map x, not along map y."""
    covariance = np.diag([1.0, 1e-6, 1e-6, 1e-6, 1e-6, 1e-6])
    along = summarize([record(error=[0.4, 0, 0, 0, 0, 0], covariance=covariance)])
    across = summarize([record(error=[0, 0.4, 0, 0, 0, 0], covariance=covariance)])
    assert along["coverage_95"] == 1.0 and along["inconsistent_poses"] == 0
    assert across["coverage_95"] == 0.0 and across["inconsistent_poses"] == 1


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (10, 10), (95, 100), (1, 1)])
def test_intervals_match_scipy(hits, count):
    expected = stats.binomtest(hits, count).proportion_ci(0.95, method="wilson")
    assert Share(hits, count).interval == pytest.approx((expected.low, expected.high), abs=1e-9)
    below = stats.binomtest(hits, count, alternative="less").proportion_ci(0.95, method="exact")
    assert Share(hits, count).at_most == pytest.approx(below.high, abs=1e-9)


def test_share_of_nothing_is_unknown():
    assert math.isnan(Share(0, 0).value) and math.isnan(Share(0, 0).at_most)
    assert all(map(math.isnan, Share(0, 0).interval))


def test_coverage_counts_infinite_and_leaves_out_unknown():
    cover = coverage(np.array([1.0, math.inf, math.nan, threshold(0.95)]))
    assert (cover.hits, cover.count) == (1, 3)
    assert inconsistent(np.array([1.0, 1e3, math.inf, math.nan])).tolist() == [False, True, True, False]
    assert [row["count"] for row in reliability(np.zeros(0))] == [0] * 11
