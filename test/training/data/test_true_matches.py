"""Labels: what shows the same point matches, what is hidden never does, one place may be described twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.reprojection_matches import PosedKeypoints, ReprojectionOptions
from relpose_training.data.true_matches import Places, true_matches

K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
OPTIONS = ReprojectionOptions(2.0, 6.0)


def view(points, camera_from_world, noise=0.0, rng=None):
    local = camera_from_world.apply(points)
    pixels = (local @ K.T)[:, :2] / local[:, 2:]
    if rng is not None:
        pixels = pixels + rng.uniform(-noise, noise, pixels.shape)
    return PosedKeypoints(pixels, local[:, 2], K, camera_from_world)


def unit(count, rng):
    values = rng.normal(size=(count, 16)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 1.0))
def test_matches_land_where_they_should_and_keep_the_rest_apart(seed, noise):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-1.5, -1, 3], [1.5, 1, 6], (80, 3))
    move = Rigid.from_rotation_vector(rng.uniform(-0.1, 0.1, 3), rng.uniform(-0.4, 0.4, 3))
    first, second = view(points, Rigid.identity(), noise, rng), view(points, move, noise, rng)
    order = rng.permutation(80)
    second = replace(second, keypoints=second.keypoints[order], depth=second.depth[order])
    descriptors = unit(80, rng), unit(80, rng)
    truth = true_matches(first, second, descriptors, OPTIONS)
    rays = np.c_[(first.keypoints - K[:2, 2]) / 300.0, np.ones(80)] * np.asarray(first.depth)[:, None]
    landed = view(rays, move).keypoints
    distance = np.linalg.norm(landed[:, None] - second.keypoints, axis=2)
    a, b = truth.pairs.T
    assert len(set(a)) == len(a) and len(set(b)) == len(b)
    assert (distance[a, b] <= OPTIONS.inlier_px + 1e-2).all()
    assert (distance[truth.alone0].min(axis=1, initial=np.inf) >= OPTIONS.outlier_px - 1e-2).all()
    assert not set(truth.alone0) & set(a) and not set(truth.alone1) & set(b)


def hidden(step):
    """A near sheet hides a far one from the second camera; keypoints of both lie at the same pixels there."""
    rng = np.random.default_rng(1)
    second_from_first = Rigid(np.eye(3), np.array([-step, 0, 0]))
    near = rng.uniform([0.2, -0.5, 2.0], [0.8, 0.5, 2.0], (20, 3))
    behind = second_from_first.apply(near) * 2.0  # on the same rays of the second camera, twice as far
    first = view(second_from_first.inverse().apply(behind), Rigid.identity())
    return first, view(near, second_from_first), rng


@pytest.mark.parametrize("step", [0.05, 0.2, 1.0])
def test_what_is_hidden_never_matches(step):
    first, second, rng = hidden(step)
    truth = true_matches(first, second, (unit(20, rng), unit(20, rng)), ReprojectionOptions(5.0, 15.0))
    assert not len(truth.pairs)


def test_published_rules_match_what_is_hidden_if_the_cameras_are_close():
    first, second, rng = hidden(0.02)
    published = ReprojectionOptions(5.0, 15.0, compat=True)
    descriptors = unit(20, rng), unit(20, rng)
    assert len(true_matches(first, second, descriptors, published).pairs) == 20
    assert not len(true_matches(first, second, descriptors, replace(published, compat=False)).pairs)


def test_descriptions_of_one_place_are_told_apart():
    rng = np.random.default_rng(0)
    points = rng.uniform([-1, -1, 3], [1, 1, 5], (10, 3))
    twice = np.concatenate([points, points[:4]])  # places 0 to 3 have two orientations
    descriptors = unit(14, rng)
    move = Rigid(np.eye(3), np.array([0.3, 0, 0]))
    first, second = view(twice, Rigid.identity()), view(twice[::-1], move)
    truth = true_matches(first, second, (descriptors, descriptors[::-1]), OPTIONS)
    assert truth.pairs.tolist() == [[k, 13 - k] for k in range(14)]
    alone = true_matches(first, view(points, move), (descriptors, descriptors[:10]), OPTIONS)
    assert alone.pairs.tolist() == [[k, k] for k in range(10)]
    assert not set(range(10, 14)) & set(alone.alone0.tolist())  # their place has a partner


def test_places_come_in_the_order_of_their_first_keypoint():
    places = Places.of(np.array([[5.0, 1], [2, 2], [5, 1], [0, 0], [2, 2]]))
    assert places.first.tolist() == [0, 1, 3] and places.place.tolist() == [0, 1, 0, 2, 1]
    none = Places.of(np.zeros((0, 2)))
    assert not len(none.first) and not len(none.place)


@pytest.mark.parametrize("count", [(0, 5), (5, 0), (0, 0)])
def test_nothing_from_nothing(count):
    rng = np.random.default_rng(0)
    points = rng.uniform([-1, -1, 3], [1, 1, 5], (5, 3))
    images = [view(points[:n], Rigid.identity()) for n in count]
    truth = true_matches(images[0], images[1], (unit(count[0], rng), unit(count[1], rng)), OPTIONS)
    assert truth.pairs.shape == (0, 2)


@pytest.mark.parametrize("bounds", [(0.0, 5.0), (5.0, 5.0), (8.0, 3.0)])
def test_bounds_the_wrong_way_round(bounds):
    with pytest.raises(ConfigurationError, match="inlier_px < outlier_px"):
        ReprojectionOptions(*bounds)
