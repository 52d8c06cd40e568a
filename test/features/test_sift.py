"""RootSIFT on images: repeatable, unbiased at half size, and quiet on images that show nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from relpose_ros.datasets.base import Source
from relpose_ros.errors import ConfigurationError
from relpose_ros.features.base import Features, rank_scores
from relpose_ros.features.matching import match
from relpose_ros.features.registry import EXTRACTORS, make_extractor
from relpose_ros.features.sift import RootSift, root_sift

Image = NDArray[np.uint8]


@pytest.fixture(scope="session")
def images(rendered_world: Source) -> list[Image]:
    return [rendered_world.images[i].load() for i in (0, 4, 8, 12, 16)]


def grey(image: Image) -> Image:
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))


def assert_same(first: Features, second: Features) -> None:
    np.testing.assert_array_equal(first.keypoints, second.keypoints)
    np.testing.assert_array_equal(first.scales, second.scales)
    np.testing.assert_array_equal(first.descriptors, second.descriptors)


def test_same_image_same_features(images: list[Image]) -> None:
    first = RootSift().extract(images[0])
    assert len(first) > 100
    assert_same(first, RootSift().extract(images[0].copy()))
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        assert_same(first, RootSift().extract(images[0]))
        cv2.setNumThreads(1)
        assert_same(first, RootSift().extract(images[0]))
    finally:
        cv2.setNumThreads(threads)


def test_one_extractor_for_many_images_remembers_nothing(images: list[Image]) -> None:
    extractor = RootSift()
    first = extractor.extract(images[0])
    extractor.extract(images[1])
    assert_same(first, extractor.extract(images[0]))


def test_shapes_and_norms(images: list[Image]) -> None:
    features = RootSift(200).extract(images[0])
    assert features.keypoints.shape == (200, 2) and features.scales.shape == (200,)
    assert features.descriptors.shape == (200, 64)
    assert {features.keypoints.dtype, features.scales.dtype, features.descriptors.dtype} == {
        np.dtype(np.float32)
    }
    np.testing.assert_allclose(np.linalg.norm(features.descriptors, axis=1), 1, atol=1e-5)
    assert (features.scales > 0).all()
    height, width = images[0].shape[:2]
    assert (features.keypoints >= -0.5).all() and (features.keypoints <= [width - 0.5, height - 0.5]).all()


def test_the_strongest_come_first(images: list[Image]) -> None:
    """Asking for fewer gives a beginning of the longer list."""
    many, few = RootSift(400).extract(images[1]), RootSift(100).extract(images[1])
    assert len(few) == 100
    known = {tuple(k) for k in many.keypoints[:140].tolist()}
    assert np.mean([tuple(k) in known for k in few.keypoints.tolist()]) > 0.9


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("shape", [(240, 320), (240, 320, 3)])
def test_a_blank_image_has_no_features(level: int, shape: tuple[int, ...]) -> None:
    features = RootSift().extract(np.full(shape, level, np.uint8))
    assert len(features) == 0
    assert features.keypoints.shape == (0, 2) and features.descriptors.shape == (0, 64)


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (8, 8), (1, 200), (16, 16, 3)])
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_tiny_image_does_no_harm(shape: tuple[int, ...], scale: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    features = RootSift(scale=scale).extract(image)
    assert np.isfinite(features.keypoints).all() and np.isfinite(features.descriptors).all()


def test_colour_is_looked_at_in_grey(images: list[Image]) -> None:
    image = grey(images[2])
    colour = np.repeat(image[:, :, None], 3, axis=2)
    assert_same(RootSift().extract(image), RootSift().extract(colour))


def test_an_image_that_is_not_contiguous(images: list[Image]) -> None:
    image = grey(images[0])
    padded = np.zeros((image.shape[0], 2 * image.shape[1]), np.uint8)
    padded[:, ::2] = image
    assert_same(RootSift().extract(padded[:, ::2]), RootSift().extract(image))


def test_half_size_finds_the_same_points_without_bias(images: list[Image]) -> None:
    """The offset was a quarter of a pixel with OpenCV's imprecise upscale."""
    offsets = []
    for image in images:
        full, half = RootSift().extract(image), RootSift(scale=0.5).extract(image)
        pairs, _ = match(full.descriptors, half.descriptors)
        offset = half.keypoints[pairs[:, 1]] - full.keypoints[pairs[:, 0]]
        offsets.append(offset[np.linalg.norm(offset, axis=1) < 3])
    offset = np.concatenate(offsets)
    assert len(offset) > 200
    assert np.abs(np.median(offset, axis=0)).max() < 0.05
    same = full.scales[pairs[:, 0]], half.scales[pairs[:, 1]]
    assert 0.8 < np.median(same[1] / same[0]) < 1.25


def test_a_shifted_image_shifts_its_features(images: list[Image]) -> None:
    """Shifted by whole pixels: the same features, so pixel coordinates mean what they say."""
    image = grey(images[3])
    first = RootSift().extract(image[:-8, :-16])
    second = RootSift().extract(image[8:, 16:])
    pairs, _ = match(first.descriptors, second.descriptors)
    offset = first.keypoints[pairs[:, 0]] - second.keypoints[pairs[:, 1]]
    near = np.linalg.norm(offset - [16, 8], axis=1) < 2
    assert near.sum() > 50
    np.testing.assert_allclose(np.median(offset[near], axis=0), [16, 8], atol=0.02)


def test_root_sift_is_the_hellinger_map() -> None:
    raw = np.random.default_rng(0).integers(0, 200, (20, 128)).astype(np.float32)
    ours = root_sift(raw)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, rtol=1e-6)
    share = raw / raw.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours @ ours.T, np.sqrt(share[:, None] * share[None]).sum(axis=2), rtol=1e-5)
    assert np.isfinite(root_sift(np.zeros((2, 128), np.float32))).all()


def test_registry_makes_extractors_by_the_name_that_maps_record() -> None:
    for name in EXTRACTORS:
        extractor = make_extractor(name, 100, 0.5)
        assert extractor.name == name
        features = extractor.extract(np.zeros((32, 32), np.uint8))
        assert features.descriptors.shape == (0, extractor.dimension)


def test_an_unknown_feature_type_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"'superglue'.*rootsift64.*Rebuild"):
        make_extractor("superglue", 100)


def test_features_can_be_indexed(images: list[Image]) -> None:
    features = RootSift(50).extract(images[0])
    assert len(features[:7]) == 7
    assert_same(features[np.arange(50) < 3], features[np.array([0, 1, 2])])


def test_plain_root_sift_is_opencvs_own(images: list[Image]) -> None:
    plain = make_extractor("rootsift128", 300).extract(images[0])
    keypoints, raw = cv2.SIFT.create(300).detectAndCompute(grey(images[0]), None)
    response = np.array([k.response for k in keypoints])
    order = np.argsort(-response, kind="stable")[:300]
    np.testing.assert_allclose(plain.keypoints, np.asarray(cv2.KeyPoint.convert(keypoints))[order], atol=1e-5)
    np.testing.assert_allclose(plain.descriptors, root_sift(raw[order]), atol=1e-6)
    assert plain.descriptors.shape[1] == make_extractor("rootsift128", 2).dimension == 128


@pytest.mark.parametrize("name", list(EXTRACTORS))
def test_scores_fall_and_are_kept_when_features_are_chosen(name: str, images: list[Image]) -> None:
    features = make_extractor(name, 100).extract(images[0])
    assert features.scores is not None and features.scores.dtype == np.float32
    assert features.scores[0] > 0 and (np.diff(features.scores) <= 0).all()
    chosen = features[np.arange(0, 100, 7)].scores
    assert chosen is not None
    np.testing.assert_array_equal(chosen, features.scores[::7])
    without = Features(features.keypoints, features.scales, features.descriptors)
    assert without[:3].scores is None


def test_scores_by_rank_need_nothing_but_the_order() -> None:
    np.testing.assert_allclose(rank_scores(4), [1, 0.75, 0.5, 0.25])
    assert rank_scores(0).shape == (0,) and rank_scores(1).tolist() == [1.0]
