"""What a matcher is fed: constant shapes, labels that agree, fillers that teach nothing wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.matching_batch import NO_LABEL, NO_PARTNER, matching_item
from relpose_training.data.matching_fields import StoredImage, TrueMatches, encode, matching_fields
from relpose_training.data.matching_sample import SampleOptions

OPTIONS = SampleOptions(64, min_inliers=10, max_inliers=20)


def stored(counts=(90, 80), matches=40, seed=0):
    """The keypoint with number k of an image has its number as x coordinate."""
    rng = np.random.default_rng(seed)
    images = []
    for count in counts:
        pixels = np.stack([np.arange(count), rng.uniform(0, 99, count)], 1).astype(np.float32)
        values = rng.normal(size=(count, 16))
        K = np.array([[90.0, 0, 60], [0, 95, 50], [0, 0, 1]])
        images.append(
            StoredImage(
                pixels, 1 - np.arange(count) / count,
                encode(values / np.linalg.norm(values, axis=1, keepdims=True)),
                (pixels - K[:2, 2]) / K[[0, 1], [0, 1]], K, (120, 100),
            )
        )  # fmt: skip
    pairs = np.stack([rng.permutation(count)[:matches] for count in counts], axis=1)
    alone = [np.setdiff1d(np.arange(count), pairs[:, k])[::2] for k, count in enumerate(counts)]
    move = Rigid.from_rotation_vector([0.1, 0.2, 0], [3.0, 0, 4.0])
    return matching_fields(images[0], images[1], TrueMatches(pairs, *alone), move, 0.5)


def numbers(item, side):
    """Which stored keypoint each of a sample is (read off its x coordinate)."""
    return np.rint(item[f"keypoints{side}"][:, 0] * (0.7 * 120) + 60).astype(int)


def draw(sample, options=OPTIONS, seed=0):
    return matching_item(sample, options, np.random.default_rng(seed))


@pytest.mark.parametrize("counts", [(90, 80), (64, 64), (20, 300), (30, 25), (0, 70)])
def test_shapes_and_types_never_change(counts):
    item = draw(stored(counts, min(18, *counts)))
    facts = {name: (value.shape, value.dtype) for name, value in item.items()}
    number, label = np.dtype(np.float32), np.dtype(np.int64)
    for side in (0, 1):
        assert facts[f"keypoints{side}"] == facts[f"rays{side}"] == ((64, 2), number)
        assert facts[f"scores{side}"] == ((64,), number) and facts[f"partner{side}"] == ((64,), label)
        assert facts[f"descriptors{side}"] == ((64, 16), number)
        np.testing.assert_allclose(np.linalg.norm(item[f"descriptors{side}"], axis=1), 1, rtol=1e-5)
    assert facts["essential"] == ((3, 3), number) and len(facts) == 11
    assert all(np.isfinite(value).all() for value in item.values())


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_those_of_the_shards_and_agree(seed):
    sample = stored(seed=seed)
    item = draw(sample, seed=seed)
    ids = numbers(item, 0), numbers(item, 1)
    matched = np.flatnonzero(item["partner0"] >= 0)
    assert 10 <= len(matched) <= 40 and (item["partner1"][item["partner0"][matched]] == matched).all()
    assert (item["partner1"] >= 0).sum() == len(matched)
    pairs = {tuple(pair) for pair in sample["matches"].tolist()}
    assert {(ids[0][k], ids[1][item["partner0"][k]]) for k in matched} <= pairs
    for side in (0, 1):
        alone = set(ids[side][item[f"partner{side}"] == NO_PARTNER].tolist())
        assert alone and alone <= set(sample[f"unmatched{side}"].tolist())
        unlabelled = ids[side][item[f"partner{side}"] == NO_LABEL]
        assert not set(unlabelled.tolist()) & set(sample[f"unmatched{side}"].tolist())


def test_a_match_that_is_not_taken_leaves_neither_of_its_keypoints():
    sample = stored((120, 120), 50)
    item = draw(sample)
    ids = numbers(item, 0), numbers(item, 1)
    for side in (0, 1):
        taken = {ids[side][k] for k in np.flatnonzero(item[f"partner{side}"] >= 0)}
        assert set(sample["matches"][:, side].tolist()) & set(ids[side].tolist()) == taken


def test_all_matches_without_random_inliers():
    item = draw(stored(), replace(OPTIONS, random_inliers=False))
    assert (item["partner0"] >= 0).sum() == 40


def test_fillers_have_no_label_no_score_and_lie_in_the_image():
    sample = stored((30, 25), 12)
    item = draw(sample)
    for side, count in ((0, 30), (1, 25)):
        fillers = item[f"scores{side}"] == 0
        assert fillers.sum() == 64 - count
        assert (item[f"partner{side}"][fillers] == NO_LABEL).all()
        pixels = item[f"keypoints{side}"] * (0.7 * 120) + [60, 50]
        assert (pixels >= -0.5).all() and (pixels < [119.5, 99.5]).all()
        K = sample[f"K{side}"]
        rays = (pixels - K[:2, 2]) / K[[0, 1], [0, 1]]
        np.testing.assert_allclose(item[f"rays{side}"], rays, atol=1e-4)
    assert (item["partner0"] >= 0).sum() == 12


def test_the_essential_matrix_is_of_a_translation_of_length_one():
    sample = stored()
    E = draw(sample)["essential"]
    np.testing.assert_allclose(np.linalg.svd(E)[1], [1, 1, 0], atol=1e-6)
    tx, ty, tz = sample["t"] / 5
    np.testing.assert_allclose(
        E, np.array([[0, -tz, ty], [tz, 0, -tx], [-ty, tx, 0]]) @ sample["R"], atol=1e-6
    )
    turned = draw({**sample, "t": np.zeros(3, np.float32)})
    assert not turned["essential"].any()


def test_as_published_everyone_else_is_alone_and_pixels_are_half_off():
    sample = stored()
    ours, published = (draw(sample, replace(OPTIONS, compat=compat)) for compat in (False, True))
    assert (published["partner0"] != NO_LABEL).all() and (ours["partner0"] == NO_LABEL).any()
    shift = (ours["keypoints0"] - published["keypoints0"]) * 0.7 * 120
    np.testing.assert_allclose(shift, 0.5, atol=1e-4)
    np.testing.assert_allclose((ours["rays0"] - published["rays0"]) * [90, 95], 0.5, atol=1e-4)


def test_the_generator_decides():
    sample = stored()
    first, second, other = (draw(sample, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["keypoints0"], other["keypoints0"])


@pytest.mark.parametrize(
    ("name", "value"),
    [("matches", [[0, 80]]), ("matches", [[-1, 2]]), ("unmatched0", [90]), ("unmatched1", [-3])],
)
def test_labels_of_keypoints_that_are_not_there(name, value):
    with pytest.raises(DatasetError, match="not there"):
        draw({**stored(), name: np.array(value, np.int32)})
