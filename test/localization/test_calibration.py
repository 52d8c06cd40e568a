"""Calibration on data whose law we know: it recovers it, it covers fresh data, and it keeps its head."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.calibration import (
    ANOTHER_DRIVE,
    CHI2_6_QUANTILES,
    Calibration,
    Sample,
    fit_calibration,
)
from relpose_ros.types import Evidence, Hypothesis

TRUE = Calibration(scale=9.0, translation_floor=2.0, rotation_floor=1.5, view_slope=2.0)


def raw_covariance(generator: np.random.Generator) -> np.ndarray:
    """Some 3 mm and 0.05 deg, correlated as covariances of poses are."""
    root = generator.normal(size=(6, 12)) * np.array([[0.003]] * 3 + [[0.001]] * 3) / np.sqrt(12)
    return root @ root.T * generator.uniform(0.2, 5)


def samples(count: int, law: Calibration, seed: int, freedom: float | None = None) -> list[Sample]:
    """Held-out references whose errors follow `law` (with heavier tails if `freedom` is given)."""
    generator = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        evidence = Evidence(
            100,
            150,
            spread=0.5,
            residual_px=1.0,
            view_change=generator.uniform(0, 0.6),
            depth=generator.uniform(2, 10),
            residual_angle=generator.uniform(0.0005, 0.002),
        )
        pose = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
        found = Hypothesis(pose, raw_covariance(generator), evidence, "structure")
        error = generator.multivariate_normal(np.zeros(6), law.covariance(found))
        if freedom is not None:
            error /= np.sqrt(generator.chisquare(freedom) / freedom)
        out.append(Sample(found, pose.perturbed(error)))
    return out


def coverage(calibration: Calibration, fresh: list[Sample]) -> float:
    return float(np.mean([calibration.nees(s) < CHI2_6_QUANTILES[0.95] for s in fresh]))


def test_widened_stretches_every_covariance_and_nothing_else() -> None:
    data = samples(60, TRUE, 3)
    plain, wide = fit_calibration(data), fit_calibration(data, widened=1.5)
    for sample in data[:5]:
        expected = 1.5 * plain.covariance(sample.hypothesis)
        assert wide.covariance(sample.hypothesis) == pytest.approx(expected, rel=1e-9)
    assert wide.coverage_95 >= plain.coverage_95 and wide.view_slope == plain.view_slope


def test_the_margin_for_another_drive_covers_worlds_that_scatter() -> None:
    """Variances off by a factor whose logarithm is normal, 0.3 wide: 95 % are inside the stretched region."""
    generator = np.random.default_rng(0)
    values = generator.chisquare(6, 200_000) * np.exp(0.3 * generator.normal(size=200_000))
    limit = CHI2_6_QUANTILES[0.95]
    assert np.mean(values < limit) < 0.935
    assert np.mean(values < ANOTHER_DRIVE * limit) == pytest.approx(0.95, abs=0.003)


def test_a_known_law_is_recovered() -> None:
    fitted = fit_calibration(samples(800, TRUE, 0))
    assert fitted.scale == pytest.approx(TRUE.scale, rel=0.35)
    assert fitted.translation_floor == pytest.approx(TRUE.translation_floor, rel=0.3)
    assert fitted.rotation_floor == pytest.approx(TRUE.rotation_floor, rel=0.3)
    assert fitted.view_slope == pytest.approx(TRUE.view_slope, rel=0.4)
    assert fitted.samples == 800


@pytest.mark.parametrize("law", [TRUE, Calibration(), Calibration(1.0, 0.2, 0.2, 0.5)])
@pytest.mark.parametrize("count", [40, 150])
def test_fresh_data_are_covered(law: Calibration, count: int) -> None:
    """Mean over maps: a single one of 40 references may lie a little outside."""
    covered = [
        coverage(fit_calibration(samples(count, law, seed)), samples(300, law, 1000 + seed))
        for seed in range(4)
    ]
    assert 0.90 < np.mean(covered) < 0.98


def test_heavy_tails_are_covered_too() -> None:
    """Less exactly: the tail of a hundred samples says little about that of the next."""
    covered = [
        coverage(fit_calibration(samples(100, TRUE, s, freedom=5)), samples(300, TRUE, 500 + s, freedom=5))
        for s in range(4)
    ]
    assert 0.86 < np.mean(covered) < 0.98


def test_few_samples_stay_near_the_prior() -> None:
    prior = Calibration()
    assert fit_calibration([]) == prior
    assert fit_calibration(samples(2, TRUE, 0)) == replace(prior, samples=2)
    fitted = fit_calibration(samples(5, Calibration(400.0, 30.0, 30.0, 3.0), 1))
    assert prior.scale < fitted.scale < 100, "moved towards the data, and not all the way"


def test_gross_errors_do_not_stretch_it() -> None:
    clean = samples(60, TRUE, 3)
    wrong = [
        Sample(s.hypothesis, s.hypothesis.map_from_camera.perturbed([30, 0, 0, 0, 1, 0]))
        for s in samples(20, TRUE, 4)
    ]
    assert all(w.is_gross for w in wrong) and not any(s.is_gross for s in clean)
    assert fit_calibration([*clean, *wrong]) == fit_calibration(clean)


def test_errors_turn_gross_at_a_tenth_of_the_depth() -> None:
    (sample,) = samples(1, TRUE, 0)
    pose, depth = sample.hypothesis.map_from_camera, sample.hypothesis.evidence.depth
    for share, gross in ((0.09, False), (0.11, True)):
        assert Sample(sample.hypothesis, pose.perturbed([share * depth, 0, 0, 0, 0, 0])).is_gross is gross
        assert Sample(sample.hypothesis, pose.perturbed([0, 0, 0, share, 0, 0])).is_gross is gross


def test_same_samples_same_calibration() -> None:
    assert fit_calibration(samples(30, TRUE, 0)) == fit_calibration(samples(30, TRUE, 0))


def test_unit_of_length_does_not_matter() -> None:
    """A map in millimetres is calibrated like one in metres."""
    metres = samples(60, TRUE, 5)
    factor = 1000.0
    stretch = np.diag([factor] * 3 + [1.0] * 3)
    millimetres = []
    for s in metres:
        h = s.hypothesis
        evidence = replace(h.evidence, depth=factor * h.evidence.depth)
        pose = Rigid(h.map_from_camera.rotation, factor * h.map_from_camera.translation)
        truth = Rigid(s.map_from_camera.rotation, factor * s.map_from_camera.translation)
        found = replace(
            h, map_from_camera=pose, covariance=stretch @ h.covariance @ stretch, evidence=evidence
        )
        millimetres.append(Sample(found, truth))
    ours, theirs = fit_calibration(metres), fit_calibration(millimetres)
    assert theirs.scale == pytest.approx(ours.scale, rel=0.02)
    assert theirs.translation_floor == pytest.approx(ours.translation_floor, rel=0.02)


@given(
    st.integers(0, 1000),
    st.integers(0, 6),
    st.floats(0, 10),
    st.floats(1e-3, 1e4),
    st.floats(1e-5, 0.1),
)
@settings(max_examples=60, deadline=None)
def test_covariance_is_positive_definite_always(
    seed: int, rank: int, view_change: float, depth: float, residual: float
) -> None:
    """Also where the raw one has lost its rank: the floor is under every direction."""
    root = np.random.default_rng(seed).normal(size=(6, rank)) * 0.01
    evidence = Evidence(50, 60, view_change=view_change, depth=depth, residual_angle=residual)
    found = Hypothesis(Rigid.identity(), root @ root.T, evidence, "structure")
    covariance = Calibration().covariance(found)
    np.testing.assert_array_equal(covariance, covariance.T)
    sigma = np.sqrt(np.diag(covariance))
    assert np.linalg.eigvalsh(covariance / np.outer(sigma, sigma)).min() > 0


def test_covariance_grows_with_view_change_and_residual() -> None:
    (sample,) = samples(1, TRUE, 0)
    base = sample.hypothesis
    values = []
    for change, residual in ((0.0, 0.001), (0.3, 0.001), (0.6, 0.001), (0.6, 0.003)):
        evidence = replace(base.evidence, view_change=change, residual_angle=residual)
        values.append(np.trace(Calibration().covariance(replace(base, evidence=evidence))))
    assert values == sorted(values) and values[0] < values[-1]


@given(st.floats(0, 2000), st.floats(0, 2000), st.integers(0, 500), st.integers(1, 200))
def test_confidence_is_a_probability_and_monotonic(a: float, b: float, rival: int, needed: int) -> None:
    calibration = Calibration(min_inliers=needed)
    low, high = (calibration.confidence(s, rival) for s in sorted((a, b)))
    assert 0 <= low <= high + 1e-12 <= 1 + 1e-9
    assert calibration.confidence(a, rival + 5) <= calibration.confidence(a, rival)


def test_plain_types_there_and_back() -> None:
    fitted = fit_calibration(samples(20, TRUE, 0))
    stored = json.loads(json.dumps({**fitted.to_dict(), "tried": 30, "wrong": 2}))
    assert Calibration.from_dict(stored) == fitted
    assert Calibration.from_dict({}) == Calibration()
