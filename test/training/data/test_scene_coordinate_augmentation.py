"""Samples for scene coordinates: whatever is done to an image, label, camera and pose still agree."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relpose_ros.errors import ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_targets import cell_targets
from relpose_training.data.published_scene_sample import published_scene_sample
from relpose_training.data.scene_changes import Augmentation, AugmentationRange, luma
from relpose_training.data.scene_coordinate_augmentation import View, scene_sample

POSE = Rigid.from_rotation_vector([0.2, -0.4, 0.1], [1.0, 2.0, 3.0])
CAMERAS = {
    "landscape": Camera("pinhole", 200.0, 230.0, 150.0, 130.0, 320, 240),
    "portrait": Camera("pinhole", 200.0, 200.0, 119.5, 159.5, 240, 320),
    "distorted": Camera("plumb_bob", 200.0, 200.0, 155.0, 120.0, 320, 240, (-0.2, 0.04, 2e-3, -1e-3)),
}
WAYS = {
    "plain": Augmentation(),
    "small, turned": Augmentation(0.7, math.radians(25)),
    "large, turned back": Augmentation(1.4, math.radians(-30)),
}


def slope(camera: Camera) -> np.ndarray:
    """Depth (H, W) of a plane that leans away; its points have z = 4 + 0.5 x."""
    y, x = np.mgrid[: camera.height, : camera.width]
    rays = camera.rays(np.stack([x.ravel(), y.ravel()], axis=1))
    return (4 / (1 - 0.5 * rays[:, 0])).reshape(camera.height, camera.width).astype(np.float32)


def bright(camera: Camera, at) -> np.ndarray:
    """A black image with a bright, soft spot at a pixel."""
    y, x = np.mgrid[: camera.height, : camera.width]
    spot = 255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * 6**2))
    return np.repeat(spot[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CAMERAS)
def test_dense_labels_project_to_the_pixel_of_their_cell(name, way) -> None:
    camera = CAMERAS[name]
    view = View(np.zeros((camera.height, camera.width), np.uint8), camera, POSE, depth=slope(camera))
    sample = scene_sample(view, 240, WAYS[way])
    height, width = sample.known.shape
    targets, _ = cell_targets(sample.camera, height, width)
    local = sample.map_from_camera.inverse().apply(sample.coordinates.reshape(3, -1).T)[sample.known.ravel()]
    assert sample.known.mean() > 0.6
    np.testing.assert_allclose(local[:, :2] / local[:, 2:], targets.rays[sample.known.ravel()], atol=1e-5)
    # The depth is that of the nearest pixel: on the plane to within a pixel's slope.
    flat = POSE.inverse().apply(sample.coordinates.reshape(3, -1).T)[sample.known.ravel()]
    np.testing.assert_allclose(flat[:, 2], 4 + 0.5 * flat[:, 0], atol=0.03)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CAMERAS)
def test_the_image_shows_a_landmark_where_pose_and_camera_say(name, way) -> None:
    camera = CAMERAS[name]
    local = np.array([[0.4, -0.3, 4.0]])
    image = bright(camera, camera.project(local)[0])
    landmark = POSE.apply(local)
    sample = scene_sample(View(image, camera, POSE, landmarks=landmark), 240, WAYS[way])
    pixel = sample.camera.project(sample.map_from_camera.inverse().apply(landmark))[0]
    light = np.maximum(sample.image[0] - sample.image.min(), 0) ** 2
    y, x = np.mgrid[: light.shape[0], : light.shape[1]]
    np.testing.assert_allclose(
        [(x * light).sum() / light.sum(), (y * light).sum() / light.sum()], pixel, atol=0.5
    )
    (row,), (column,) = np.nonzero(sample.known)
    assert [column, row] == np.floor((pixel + 0.5) / 8).astype(int).tolist()
    np.testing.assert_allclose(sample.coordinates[:, row, column], landmark[0], rtol=1e-6)


def test_the_nearest_landmark_wins_and_those_behind_or_outside_do_not_count() -> None:
    camera = CAMERAS["landscape"]
    local = np.array([[0, 0, 9.0], [0, 0, 3.0], [0, 0, -3.0], [50.0, 0, 3.0]])
    image = np.zeros((240, 320), np.uint8)
    sample = scene_sample(View(image, camera, Rigid.identity(), landmarks=local), 240)
    assert sample.known.sum() == 1
    np.testing.assert_allclose(sample.coordinates[:, sample.known][:, 0], [0, 0, 3])


def test_sizes_follow_the_short_side_and_the_published_focal_length_does_not() -> None:
    camera = CAMERAS["portrait"]
    image = np.zeros((320, 240, 3), np.uint8)
    ours = scene_sample(View(image, camera, POSE), 120)
    assert ours.image.shape == (1, 160, 120) and ours.camera.fx == pytest.approx(100)
    published = published_scene_sample(image, POSE.matrix, 200.0, 120)
    assert published.image.shape == (160, 120) and published.focal == pytest.approx(75)


def test_depth_of_another_size_is_looked_up_in_its_own_pixels() -> None:
    camera = CAMERAS["landscape"]
    depth = slope(camera.resized(640, 480))
    view = View(np.zeros((240, 320), np.uint8), camera, POSE, depth=depth)
    flat = POSE.inverse().apply(scene_sample(view, 240).coordinates.reshape(3, -1).T)
    np.testing.assert_allclose(flat[:, 2], 4 + 0.5 * flat[:, 0], atol=0.03)


def test_grey_is_scaled_as_the_network_wants_it_and_relit() -> None:
    camera = CAMERAS["landscape"]
    view = View(np.full((240, 320), 102, np.uint8), camera, POSE)
    np.testing.assert_allclose(scene_sample(view, 240).image, 0, atol=1e-6)
    brighter = scene_sample(view, 240, Augmentation(brightness=1.1))
    np.testing.assert_allclose(brighter.image, 0.04 / 0.25, atol=1e-5)
    assert scene_sample(view, 240).coordinates.any() == np.False_


def test_draws_are_within_the_published_ranges_and_repeat_for_a_seed() -> None:
    draw = AugmentationRange().draw
    one, two = (draw(np.random.default_rng(3)) for _ in range(2))
    assert one == two
    drawn = [draw(np.random.default_rng(s)) for s in range(200)]
    assert min(d.scale for d in drawn) >= 2 / 3 and max(d.scale for d in drawn) <= 3 / 2
    assert np.ptp([d.angle for d in drawn]) == pytest.approx(math.radians(60), rel=0.1)


def test_grey_stays_and_green_counts_most() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert luma(grey) is grey
    np.testing.assert_array_equal(luma(np.repeat(grey[..., None], 3, axis=2)), grey)
    assert luma(np.array([[[0, 255, 0]]], np.uint8))[0, 0] == 150


def test_an_image_of_another_size_is_refused() -> None:
    with pytest.raises(ImageError, match="320x240"):
        scene_sample(View(np.zeros((10, 10), np.uint8), CAMERAS["landscape"], POSE))


def test_without_augmentation_labels_are_those_of_every_eighth_pixel() -> None:
    camera = CAMERAS["landscape"]
    depth = np.random.default_rng(0).uniform(2, 5, (240, 320)).astype(np.float32)
    sample = scene_sample(View(np.zeros((240, 320), np.uint8), camera, Rigid.identity(), depth=depth), 240)
    np.testing.assert_allclose(sample.coordinates[2], depth[4::8, 4::8], rtol=1e-6)
