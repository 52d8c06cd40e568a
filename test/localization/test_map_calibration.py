"""A map calibrated on held-out images: judged on what it did not see, never made careless in silence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.calibration import Calibration, Sample
from relpose_ros.localization.cross_fit import cross_fitted
from relpose_ros.localization.held_out import Found, apart_from, localize_held_out
from relpose_ros.localization.judgement import deviation, inside
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.map_calibration import MIN_SAMPLES, MapCalibration, calibrate_map, store
from relpose_ros.maps import storage, stored_index
from relpose_ros.maps.bundle import Map
from relpose_ros.retrieval import index as retrieval_index
from relpose_ros.types import Evidence, Hypothesis

LAW = Calibration(scale=9.0, translation_floor=2.0, rotation_floor=1.5, view_slope=2.0, min_inliers=20)


def found(count: int, seed: int, support: int = 100, wrong: bool = False) -> list[Found]:
    """Held-out images whose errors follow `LAW`, or are simply wrong."""
    generator = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        evidence = Evidence(
            support, 150, spread=0.5, residual_px=1.0, view_change=generator.uniform(0, 0.6),
            depth=generator.uniform(2, 10), residual_angle=generator.uniform(0.0005, 0.002),
        )  # fmt: skip
        root = generator.normal(size=(6, 12)) * np.array([[0.003]] * 3 + [[0.001]] * 3) / np.sqrt(12)
        pose = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(size=3))
        hypothesis = Hypothesis(pose, root @ root.T, evidence, "structure")
        error = generator.multivariate_normal(np.zeros(6), LAW.covariance(hypothesis))
        truth = pose.perturbed([30, 0, 0, 0, 1, 0] if wrong else error)
        out.append(Found(hypothesis, float(support), Sample(hypothesis, truth)))
    return out


def test_an_overconfident_map_is_mended() -> None:
    """And fresh images say the same as the cross-fitted figures."""
    careless = replace(LAW, scale=0.5, translation_floor=0.2, rotation_floor=0.2)
    result = calibrate_map(careless, found(120, 0), 150)
    before, after = result.judgement.coverage
    assert before < 0.6 and 0.88 < after < 0.99 and not result.notes
    fresh = [f.sample for f in found(500, 1) if f.sample is not None]
    assert inside(np.array([result.calibration.nees(s) for s in fresh])) == pytest.approx(after, abs=0.05)
    assert (result.calibration.samples, result.calibration.availability) == (120, 0.8)
    assert "fitted to 120 poses" in result.covariance


def test_a_map_that_becomes_less_careful_says_so() -> None:
    timid = replace(LAW, scale=90.0, translation_floor=8.0, rotation_floor=6.0)
    result = calibrate_map(timid, found(120, 2), 120)
    assert result.judgement.coverage[0] == 1.0 and 0.88 < result.judgement.coverage[1] < 1
    assert len(result.notes) == 2 and all("less careful: standard deviations" in n for n in result.notes)


def test_a_good_calibration_stays() -> None:
    """What cannot be told to be better on images that it did not see is not taken."""
    kept = [calibrate_map(LAW, found(60, seed), 60) for seed in range(6)]
    for result in kept:
        before, after = result.judgement.coverage
        if "kept" in result.covariance:
            assert replace(result.calibration, samples=0, coverage_95=None, availability=None) == LAW
            assert before == after and not result.notes
        else:
            assert after >= min(before, 0.95)
    assert any("kept" in r.covariance for r in kept)


def test_figures_of_afterwards_are_cross_fitted() -> None:
    """Each sample is judged by a fit without its block: the mean of the others here."""
    items = list(range(10))
    means = cross_fitted(items, lambda others: (min(others), max(others), len(others)))
    assert means[0] == means[1] == (2, 9, 8) and means[9] == (0, 7, 8)
    seen: list[Any] = []
    cross_fitted(items, seen.append)
    assert [sorted(set(items) - set(others)) for others in seen] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    seen.clear()
    cross_fitted(items, seen.append, (5, 5))
    assert [sorted(set(items) - set(others)) for others in seen] == [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]]
    assert cross_fitted([1, 2], sum, (2, 0)) == [2, 1], (
        "two blocks of one, and nothing of the other recording"
    )


@pytest.mark.parametrize(
    ("right", "wrong", "says"), [(MIN_SAMPLES - 1, 0, "give more images"), (5, 30, "in the map's frame")]
)
def test_too_few_samples_are_refused(right: int, wrong: int, says: str) -> None:
    with pytest.raises(DatasetError, match=f"at least {MIN_SAMPLES} images .*got {right} of 60.*{says}"):
        calibrate_map(LAW, [*found(right, 0), *found(wrong, 1, wrong=True)], 60)


def test_support_that_is_too_little_is_never_made_enough() -> None:
    weak = found(30, 3, support=12)
    result = calibrate_map(LAW, [*found(40, 0), *weak], 70)
    assert result.published == 40 and result.calibration.min_inliers == LAW.min_inliers


def test_other_places_raise_the_support_that_it_takes() -> None:
    outside = [replace(f, sample=None) for f in found(3, 4, support=30)]
    result = calibrate_map(LAW, found(40, 0), 40, outside)
    assert result.calibration.min_inliers == 45 > LAW.min_inliers and result.published == 40


def test_confidence_is_fitted_where_there_are_wrong_poses_enough() -> None:
    """Before, 60 inliers counted as certain; half of such poses are wrong."""
    mixed = [*found(60, 0, 180), *found(30, 1, 60), *found(30, 2, 60, wrong=True)]
    order = np.random.default_rng(0).permutation(len(mixed)).tolist()
    result = calibrate_map(LAW, [mixed[i] for i in order], 120)
    assert "fitted to how often 120 poses are right, 30 of them wrong" in result.confidence
    assert LAW.confidence(60, 0) > 0.99 and result.calibration.confidence(60, 0) == pytest.approx(
        0.5, abs=0.2
    )
    assert result.calibration.confidence(180, 0) > 0.85
    right = result.judgement.right
    assert result.judgement.confidence_after[~right].mean() < result.judgement.confidence_after[right].mean()


def test_other_places_are_wrong_poses_to_learn_from() -> None:
    """Too weak to be published, they say where the curve begins."""
    mixed = [*found(60, 0, 180), *found(30, 1, 60), *found(30, 2, 60, wrong=True)]
    order = np.random.default_rng(0).permutation(len(mixed)).tolist()
    outside = [replace(f, sample=None) for f in found(30, 6, support=12)]
    result = calibrate_map(LAW, [mixed[i] for i in order], 120, outside)
    assert "fitted to how often 150 poses are right, 60 of them wrong" in result.confidence
    assert result.calibration.min_inliers == LAW.min_inliers
    low, high = (result.calibration.confidence(support, 0) for support in (21, 180))
    assert low < 0.4 and high > 0.8 and len(result.judgement.right) == 120


def test_without_wrong_poses_the_confidence_stays_and_says_so() -> None:
    result = calibrate_map(LAW, found(60, 0), 60)
    assert "not fitted to a frequency: there are 60 right and 0 wrong" in result.confidence
    assert result.calibration.confidence_samples == 0
    assert (result.judgement.confidence_before == result.judgement.confidence_after).all()


def test_distance_from_the_diagonal() -> None:
    from scipy.stats import chi2

    even = chi2.ppf((np.arange(1000) + 0.5) / 1000, 6)
    assert deviation(even) < 0.01 < deviation(2 * even) and deviation(np.zeros(5)) == pytest.approx(0.5)


def test_evidence_lies_in_the_map(hall: Map, tmp_path: Path) -> None:
    result: MapCalibration = calibrate_map(LAW, found(60, 0), 70)
    evidence = json.loads(json.dumps(result.evidence("drive/", 7, "default")))
    known = replace(hall, calibration={**LAW.to_dict(), "kept": 1})
    store(known, result, evidence, tmp_path / "hall.relmap")
    stored = Map.open(tmp_path / "hall.relmap").calibration
    assert stored["evidence"] == evidence and stored["kept"] == 1 and stored["tried"] == 70
    assert Calibration.from_dict(stored) == result.calibration
    assert Calibration.from_dict(evidence["before"]) == LAW, "it can be put back"
    assert (
        evidence["images"] == 70 and evidence["localized"] == 60 and evidence["images_of_other_places"] == 7
    )


def test_the_retrieval_index_is_not_made_again(
    hall: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (storage, stored_index):
        monkeypatch.setattr(module, "EXACT_LIMIT", 3)
    monkeypatch.setattr(retrieval_index.DescriptorIndex.__init__, "__defaults__", (3,))
    replace(hall).save(tmp_path / "large.relmap")
    opened = Map.open(tmp_path / "large.relmap")
    assert not opened.retrieval_index.is_exact
    monkeypatch.setattr(retrieval_index, "build_signatures", lambda *_: pytest.fail("built again"))
    result = calibrate_map(LAW, found(60, 0), 70)
    store(opened, result, result.evidence("drive/", 0, "default"), tmp_path / "calibrated.relmap")
    kept = Map.open(tmp_path / "calibrated.relmap").retrieval_index.signatures
    np.testing.assert_array_equal(kept.words, opened.retrieval_index.signatures.words)


def test_a_lost_calibration_is_no_longer_noted(hall: Map, tmp_path: Path) -> None:
    noted = replace(hall, provenance={**hall.provenance, "notes": {"calibration": "gone", "vlad": "few"}})
    result = calibrate_map(LAW, found(60, 0), 70)
    stored = store(noted, result, result.evidence("drive/", 0, "default"), tmp_path / "a.relmap")
    assert stored.provenance["notes"] == {"vlad": "few"}


# On a map of points and on images.


def test_references_of_the_map_are_no_evidence(hall: Map) -> None:
    def image(pose: Rigid | None) -> PosedImage:
        return PosedImage("i.jpg", hall.cameras[0], pose, "query", lambda: np.zeros((240, 320), np.uint8))

    near = hall.reference_poses[3].perturbed([0.01, 0, 0, 0, 0, 0])
    images = [image(hall.reference_poses[3]), image(near), image(None)]
    assert apart_from(hall, images) == images[1:]


def test_images_are_localized_as_the_localizer_does(office: Map, rendered_world: Source) -> None:
    """The same poses as are published, with their raw covariances; an unreadable image is not found."""
    localizer = Localizer(office)
    queries = list(rendered_world.queries)[:4]

    def unreadable() -> Any:
        raise DatasetError("gone")

    seen = localize_held_out(localizer, [*queries, replace(queries[0], load=unreadable)])
    answers = [localizer.localize(q.frame()) for q in queries]
    published = [a.map_from_camera for a in answers if a.map_from_camera is not None]
    ours = [f.hypothesis.map_from_camera for f in seen if f.support >= localizer.calibration.min_inliers]
    assert len(published) >= 3 and len(ours) >= len(published)
    for pose in published:
        assert min(np.abs(pose.translation - o.translation).max() for o in ours) < 1e-12
    assert all(f.right for f in seen if f.support >= 3 * localizer.calibration.min_inliers)
    elsewhere = localize_held_out(localizer, queries[:1], outside=True)
    assert all(f.sample is None and not f.right for f in elsewhere)
