"""Warped pairs: homography, depth and labels tell the same story."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.features.registry import make_extractor
from relpose_training.data.illumination import change_light
from relpose_training.data.image_folders import ImageFolder, image_sequences
from relpose_training.data.matching_fields import FIELDS
from relpose_training.data.picture_shots import ShotRange, draw_shots
from relpose_training.data.warped_pairs import WarpOptions, warped_pair

OPTIONS = WarpOptions(max_keypoints=400, least_keypoints=30, least_matches=5)


@pytest.fixture(scope="module")
def picture(rendered_world):
    return rendered_world.images[0].load()


@pytest.fixture(scope="module")
def extractor():
    return make_extractor("rootsift64", 400)


@pytest.mark.parametrize("seed", range(8))
def test_the_homography_is_what_the_cameras_see_of_the_wall(seed):
    width, height, texel = 320, 240, 1 / 320
    for shot in draw_shots(width, height, ShotRange(), np.random.default_rng(seed)):
        texels = np.random.default_rng(seed).uniform([0, 0], [width - 1, height - 1], (30, 2))
        wall = np.c_[(texels - [(width - 1) / 2, (height - 1) / 2]) * texel, np.zeros(30)]
        local = shot.camera_from_wall.apply(wall)
        assert local[:, 2].min() > 0
        seen = np.c_[texels, np.ones(30)] @ shot.homography(texel, width, height).T
        pixels = seen[:, :2] / seen[:, 2:]
        np.testing.assert_allclose(pixels, shot.camera.project(local), atol=1e-6)
        np.testing.assert_allclose(shot.depth(pixels), local[:, 2], rtol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_labels_follow_the_homography(picture, extractor, seed):
    sample = warped_pair(picture, extractor, OPTIONS, np.random.default_rng(seed))
    height, width = picture.shape[:2]
    shots = draw_shots(width, height, OPTIONS.shots, np.random.default_rng(seed))
    first, second = (shot.homography(1 / width, width, height) for shot in shots)
    H = second @ np.linalg.inv(first)
    landed = cv2.perspectiveTransform(sample["keypoints0"][None].astype(float), H)[0]
    a, b = sample["matches"].T
    assert len(a) > 5
    assert np.linalg.norm(landed[a] - sample["keypoints1"][b], axis=1).max() <= OPTIONS.inlier_px + 0.05
    alone = sample["unmatched0"]
    apart = np.linalg.norm(landed[alone][:, None] - sample["keypoints1"], axis=2).min(axis=1)
    assert apart.min() >= OPTIONS.outlier_px - 0.05
    assert set(sample) == set(FIELDS) and 0 <= sample["overlap"] <= 1


def test_the_pose_is_that_of_the_matches(picture, extractor):
    sample = warped_pair(picture, extractor, OPTIONS, np.random.default_rng(1))
    tx, ty, tz = sample["t"] / np.linalg.norm(sample["t"])
    E = np.array([[0, -tz, ty], [tz, 0, -tx], [-ty, tx, 0]]) @ sample["R"]
    a, b = sample["matches"].T
    x1, x2 = (np.c_[sample[f"rays{k}"][i], np.ones(len(i))] for k, i in ((0, a), (1, b)))
    lines = x1 @ E.T
    pixels = np.abs((x2 * lines).sum(1)) / np.hypot(lines[:, 0], lines[:, 1]) * sample["K1"][0, 0]
    assert np.median(pixels) < 0.7 and pixels.max() < 2.1


def test_no_keypoint_is_at_the_rim_of_the_picture(extractor):
    """A picture without anything in it has corners on the wall, and they are no features of it."""
    blank = np.full((200, 260), 255, np.uint8)
    light = np.random.default_rng(0)
    sample = warped_pair(blank, extractor, OPTIONS, light)
    assert len(sample["keypoints0"]) < 10


def test_the_generator_decides(picture, extractor):
    one, two, other = (warped_pair(picture, extractor, OPTIONS, np.random.default_rng(s)) for s in (1, 1, 2))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not np.array_equal(one["R"], other["R"])


def test_large_images_are_reduced(picture, extractor):
    large = cv2.resize(picture, None, fx=3, fy=3)
    sample = warped_pair(large, extractor, replace(OPTIONS, largest=320), np.random.default_rng(0))
    assert sample["size0"].tolist() == [320, 240]


@pytest.mark.parametrize("shape", [(60, 80), (60, 80, 3), (60, 80, 1)])
def test_light_changes_values_not_shapes(shape):
    image = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    changed = change_light(image, np.random.default_rng(1))
    assert changed.shape == shape and changed.dtype == np.uint8 and not np.array_equal(changed, image)


def test_a_folder_of_images_is_enough(tmp_path, picture):
    (tmp_path / "photos").mkdir()
    for name in ("b.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / "photos" / name), picture)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")

    def posed(sources):
        raise DatasetError("not posed")

    (folder,) = image_sequences([str(tmp_path / "photos")], posed)
    assert isinstance(folder, ImageFolder) and folder.images()[0].name == "a.jpg"
    tally = OPTIONS.new_tally()
    samples = list(folder_samples(folder, tally, tmp_path))
    assert len(samples) == 4 and tally.unreadable == 1 and tally.images == 2
    (tmp_path / "empty").mkdir()
    for nothing in ("empty", "nowhere"):
        with pytest.raises(DatasetError):
            image_sequences([str(tmp_path / nothing)], posed)


def folder_samples(folder, tally, tmp_path):
    return replace(OPTIONS, pairs=2).samples(folder, tmp_path, tally=tally)


@pytest.mark.parametrize("change", [{"tilt_deg": 80}, {"turn_deg": 181}, {"scale": 0.5}, {"shift": -1}])
def test_ranges_that_cannot_be(change):
    with pytest.raises(ConfigurationError, match="expected turns"):
        ShotRange(**change)


@pytest.mark.parametrize("change", [{"pairs": 0}, {"largest": 10}, {"inlier_px": 9.0}, {"seed": -1}])
def test_options_that_cannot_be(change):
    with pytest.raises(ConfigurationError, match="expected"):
        replace(OPTIONS, **change)
