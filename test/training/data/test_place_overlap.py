"""What makes two images the same place: what they see, not how near they are."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scene_fixture import room_images

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.place_overlap import OverlapOptions, image_overlaps

CAMERA = Camera("pinhole", 100.0, 100.0, 79.5, 59.5, 160, 120)


def view(x, z, yaw_deg=0.0, depth=None, coordinates=False, name=""):
    """A camera at (x, 0, z) that looks along z, turned by `yaw_deg`, at a wall `depth` ahead of it."""
    pose = Rigid.from_rotation_vector([0.0, np.deg2rad(yaw_deg), 0.0], [x, 0.0, z])
    metres = None if depth is None else np.full((120, 160), depth, np.float32)
    at = np.stack(np.meshgrid(np.arange(160.0), np.arange(120.0)), axis=2).reshape(-1, 2)
    points = None
    if coordinates:
        rays = np.concatenate([CAMERA.rays(at), np.ones((len(at), 1))], axis=1)
        points = pose.apply(depth * rays).reshape(120, 160, 3)
    return PosedImage(
        name or f"{x}_{z}_{yaw_deg}", CAMERA, pose, "map", lambda: np.zeros((120, 160), np.uint8),
        load_depth=None if metres is None or coordinates else lambda: metres,
        load_coordinates=None if points is None else partial(np.copy, points),
    )  # fmt: skip


def between(first, second, **options):
    settings = OverlapOptions(**options)
    found = image_overlaps([first, second], np.array([0]), np.array([1]), settings)
    positive, near = found.positives_and_near(settings)
    return bool(positive[0, 0]), bool(near[0, 0]), found


@pytest.mark.parametrize("metric", ["surface", "frustum"])
def test_a_wall_between_two_near_cameras(metric):
    """Both look the same way; a metre apart, with a wall 0.5 m ahead of the one behind."""
    positive, near, found = between(
        view(0, 0, depth=0.5), view(0, 1.0, depth=5.0), metric=metric, distance=0.1
    )
    assert not positive and not near and found.metric == metric
    positive, near, _ = between(view(0, 0, depth=0.5), view(0, 1.0, depth=5.0), metric=metric, distance=1.5)
    assert not positive and near, "too near to be sure that they share nothing"


@pytest.mark.parametrize("metric", ["surface", "frustum"])
def test_two_cameras_far_apart_that_see_one_facade(metric):
    positive, near, found = between(view(-5, 0, depth=20.0), view(5, 0, depth=20.0), metric=metric)
    assert positive and near and found.apart[0, 0] == 10
    expected = 1 - 10 / (160 / 100 * 20)  # of the width that each of them sees
    assert found.smaller[0, 0] == pytest.approx(expected, abs=0.06)
    positive, near, _ = between(view(-20, 0, depth=20.0), view(20, 0, depth=20.0), metric=metric, distance=1)
    assert not positive and not near, "as far away, but they see other parts of it"


@pytest.mark.parametrize("depth", [5.0, None])
def test_back_to_back_in_one_place(depth):
    positive, near, _ = between(view(0, 0, depth=depth), view(0.1, 0, 180.0, depth=depth), depth=5.0)
    assert not positive and near


def test_two_sides_of_one_wall_are_two_places():
    first, second = view(0, 0, depth=3.0), view(0, 6.05, 180.0, depth=3.0)
    positive, near, found = between(first, second, distance=0.1)
    assert not positive and not near and found.larger[0, 0] < 0.02


def test_a_detail_is_near_but_no_positive_of_the_whole():
    """All of the detail is in the wide view, which has little of it."""
    positive, near, found = between(view(0, 0, depth=20.0), view(0, 17.0, depth=3.0), distance=0.1)
    assert not positive and near
    assert found.smaller[0, 0] < 0.1 and found.larger[0, 0] > 0.8


def test_coordinates_are_as_good_as_depth():
    pair = [view(-5, 0, depth=20.0), view(5, 0, depth=20.0)]
    labelled = [view(-5, 0, depth=20.0, coordinates=True), view(5, 0, depth=20.0, coordinates=True)]
    known, same = (between(*images)[2] for images in (pair, labelled))
    assert same.metric == "surface" and same.depth == pytest.approx(known.depth)
    assert same.smaller[0, 0] == pytest.approx(known.smaller[0, 0], abs=0.02)


def test_without_depth_it_is_guessed_or_told():
    apart = view(-4, 0), view(4, 0)
    guessed = between(*apart)[2]
    assert guessed.metric == "frustum" and guessed.depth == 4.0
    told = between(*apart, depth=40.0)[2]
    assert told.smaller[0, 0] > guessed.smaller[0, 0]
    assert between(*apart, depth=40.0)[0]


def test_the_unit_of_the_poses_does_not_matter():
    """A scene of arbitrary scale: everything a hundred times smaller."""
    for metric in ("surface", "frustum"):
        large = between(view(-5, 0, depth=20.0), view(5, 0, depth=20.0), metric=metric)[2]
        small = between(view(-0.05, 0, depth=0.2), view(0.05, 0, depth=0.2), metric=metric)[2]
        assert small.smaller[0, 0] == pytest.approx(large.smaller[0, 0], abs=0.02)


def test_both_measures_say_the_same_of_a_room():
    images = room_images(12)
    queries, gallery = np.arange(0, 12, 2), np.arange(1, 12, 2)
    surface, frustum = (
        image_overlaps(images, queries, gallery, OverlapOptions(metric)) for metric in ("surface", "frustum")
    )
    assert surface.smaller.shape == frustum.smaller.shape == (6, 6)
    assert np.corrcoef(surface.smaller.ravel(), frustum.smaller.ravel())[0, 1] > 0.9
    tables = [o.positives_and_near(OverlapOptions()) for o in (surface, frustum)]
    assert all((positive <= near).all() for positive, near in tables)
    assert (tables[0][0] == tables[1][0]).mean() > 0.85


def test_surfaces_need_depth_of_all(tmp_path):
    with pytest.raises(ConfigurationError, match="has neither depth nor dense coordinates"):
        between(view(0, 0, depth=5.0), view(1, 0), metric="surface")
    assert between(view(0, 0, depth=5.0), view(1, 0))[2].metric == "frustum"


@pytest.mark.parametrize(
    "bad", [{"positive": 1.1}, {"near": 0.0}, {"near": 0.4}, {"distance": -1.0}, {"depth": -1}, {"points": 0}]
)
def test_options_out_of_range(bad):
    with pytest.raises(ConfigurationError):
        OverlapOptions(**bad)
