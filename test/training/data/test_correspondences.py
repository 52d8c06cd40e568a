"""Correspondences of posed images: their truth is true, what cannot be learnt from is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.epipolar import essential_matrix
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.correspondences import (
    FARTHEST,
    INLIER,
    CorrespondenceOptions,
    Tally,
    View,
    pair_sample,
    sequence_pairs,
    squared_distances,
)
from relpose_training.data.view_pairs import sight_without_depth

OPTIONS = CorrespondenceOptions(max_keypoints=400, pairs=6, least_matches=20)


def view(world, pose, camera=None, seed=0):
    """What a camera in the point world sees."""
    camera = camera or world.camera
    features = world.features(pose, camera, seed=seed)
    return View(sight_without_depth(camera, pose, 5.0), features, camera.rays(features.keypoints))


def published_distance(sample):
    """The specification's formula, term by term."""
    tx, ty, tz = sample["t"].astype(float)
    E = np.array([[0, -tz, ty], [tz, 0, -tx], [-ty, tx, 0]]) @ sample["R"].astype(float)
    distances = []
    for x1, y1, x2, y2 in sample["xs"].astype(float):
        a, b = E @ [x1, y1, 1], E.T @ [x2, y2, 1]
        distances.append(
            (np.array([x2, y2, 1]) @ a) ** 2 * (1 / (a[0] ** 2 + a[1] ** 2) + 1 / (b[0] ** 2 + b[1] ** 2))
        )
    return np.array(distances)


BARREL = Camera("plumb_bob", 200.0, 220.0, 161.0, 118.0, 320, 240, (-0.2, 0.03, 0.001, -0.001))


@pytest.mark.parametrize("camera", [None, BARREL])
def test_true_matches_fulfil_the_true_geometry(point_world, camera):
    first, second = point_world.pose(0.0), point_world.pose(0.2, x=0.6, z=0.3)
    sample = pair_sample(view(point_world, first, camera), view(point_world, second, camera, seed=1))
    confident = (sample["mutuals"] > 0) & (sample["ratios"] < 0.6)
    assert confident.sum() > 50
    assert (sample["ys"][confident] < INLIER).mean() > 0.95
    assert (sample["ys"][~confident] < INLIER).mean() < 0.3
    np.testing.assert_allclose(sample["ys"], published_distance(sample), rtol=2e-3, atol=1e-8)


def test_the_truth_is_second_from_first_of_length_one(point_world):
    first, second = point_world.pose(0.1, x=0.2), point_world.pose(-0.2, x=1.0, z=0.5)
    sample = pair_sample(view(point_world, first), view(point_world, second))
    point = np.array([0.3, -0.2, 4.0])
    in_first, in_second = first.inverse().apply([point])[0], second.inverse().apply([point])[0]
    moved = in_second - sample["R"] @ in_first
    np.testing.assert_allclose(np.linalg.norm(sample["t"]), 1, atol=1e-6)
    np.testing.assert_allclose(moved / np.linalg.norm(moved), sample["t"], atol=1e-5)


def test_a_sample_has_the_published_fields(point_world):
    pose = point_world.pose(0.0), point_world.pose(0.1, x=0.5)
    first, second = view(point_world, pose[0]), view(point_world, pose[1])
    sample = pair_sample(first, second)
    n = len(first.features)
    shapes = {name: value.shape for name, value in sample.items()}
    assert shapes == {
        "xs": (n, 4), "ys": (n,), "ratios": (n,), "mutuals": (n,), "R": (3, 3), "t": (3,),
        "cameras": (2, 4),
    }  # fmt: skip
    assert {value.dtype for value in sample.values()} == {np.dtype(np.float32)}
    assert set(np.unique(sample["mutuals"])) <= {0.0, 1.0}
    assert sample["ratios"].min() >= 0 and sample["ratios"].max() <= 1 + 1e-6
    back = pair_sample(second, first)
    assert back["mutuals"].sum() == sample["mutuals"].sum()


def test_a_point_at_the_epipole_has_a_finite_distance():
    essential = essential_matrix(Rigid(np.eye(3), np.array([0.0, 0.0, 1.0])))
    points = np.array([[0.0, 0.0], [0.1, 0.0], [1e-12, 0.0]])
    distances = squared_distances(essential, points, np.array([[0.2, 0.1], [0.0, 0.0], [0.0, 0.4]]))
    assert np.isfinite(distances).all() and distances.max() <= FARTHEST


@pytest.mark.parametrize("depth", [True, False])
def test_pairs_of_rendered_or_photographed_images(wall, depth):
    tally = Tally()
    samples = list(sequence_pairs("wall", wall(8, depth=depth), OPTIONS, tally=tally))
    assert len(samples) == tally.kept == 6 and tally.images == 8
    for sample in samples:
        confident = (sample["mutuals"] > 0) & (sample["ratios"] < 0.7)
        assert (sample["ys"][confident] < INLIER).mean() > 0.7


def test_a_simulated_world(rendered_world):
    images = rendered_world.images[:10]
    options = replace(OPTIONS, max_keypoints=600, pairs=8)
    samples = list(sequence_pairs("office", images, options))
    assert len(samples) >= 4
    right = [(s["ys"] < INLIER) & (s["mutuals"] > 0) & (s["ratios"] < 0.9) for s in samples]
    assert all(r.sum() >= 12 for r in right)


def test_the_same_seed_gives_the_same_pairs(wall):
    images = wall(7)
    first, second, other = (
        [s["R"] for s in sequence_pairs("wall", images, replace(OPTIONS, seed=seed))] for seed in (1, 1, 2)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_progress_counts_images_and_pairs(wall):
    told = []
    list(sequence_pairs("wall", wall(6), OPTIONS, lambda done, total, stage: told.append((done, total))))
    assert [done for done, _ in told] == list(range(1, 13)) and {total for _, total in told} == {12}


def test_without_poses_there_is_nothing_to_learn(wall):
    images = [replace(image, map_from_camera=None) for image in wall(3)]
    with pytest.raises(DatasetError, match=r"wall: 0 of 3 images have a pose.*without poses"):
        list(sequence_pairs("wall", images, OPTIONS))


def test_images_at_one_place_make_no_pair(wall):
    image = wall(1)[0]
    tally = Tally()
    assert not list(sequence_pairs("wall", [image] * 4, OPTIONS, tally=tally))
    assert tally.overlapping == 0


def test_blank_images_are_counted_and_left_out(wall):
    images = wall(5)
    blank = np.full((150, 200), 90, np.uint8)
    images = [replace(image, load=lambda: blank) for image in images]
    tally = Tally()
    assert not list(sequence_pairs("wall", images, OPTIONS, tally=tally))
    assert tally.few_matches == tally.overlapping > 0
    assert "0 pairs of 5 images" in tally.sentence()


def test_wrong_poses_make_no_pairs(wall):
    """Each image says that it is where another one is: hardly a match agrees with that."""
    images = wall(8)
    swapped = [
        replace(image, map_from_camera=Rigid.from_rotation_vector([0, 0, 0.9 * k], [0.3 * k, 0, 0]))
        for k, image in enumerate(images)
    ]
    tally = Tally()
    kept = len(list(sequence_pairs("wall", swapped, replace(OPTIONS, pairs=50), tally=tally)))
    assert tally.few_true > kept


def test_at_most_so_many_images_evenly(wall):
    tally = Tally()
    list(sequence_pairs("wall", wall(9), replace(OPTIONS, images=3), tally=tally))
    assert tally.images == 3


@pytest.mark.parametrize(
    "wrong", [{"pairs": 1}, {"images": 0}, {"least_overlap": 1.0}, {"least_baseline": 0.0}, {"seed": -1}]
)
def test_options_that_cannot_be(wrong):
    with pytest.raises(ConfigurationError):
        CorrespondenceOptions(**wrong)
