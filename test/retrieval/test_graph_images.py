"""What a network over graphs sees: the same geometry whatever the camera."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.datasets.colour_statistics import SEVEN_SCENES
from relpose_ros.errors import ConfigurationError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.resampling import resize_short_side
from relpose_ros.retrieval.graph_images import (
    GraphCamera,
    GraphInput,
    colour_statistics,
    graph_image,
    graph_pixels,
    normalised,
)

INPUT = GraphInput("canonical", 96, 72, 80.0)
CAMERAS = {
    "pinhole": Camera("pinhole", 300.0, 320.0, 155.0, 122.0, 320, 240),
    "distorted": Camera("plumb_bob", 260.0, 260.0, 160.0, 118.0, 320, 240, (-0.2, 0.03, 0.001, 0.0)),
    "fisheye": Camera("equidistant", 120.0, 120.0, 159.5, 119.5, 320, 240, (0.01, 0.0, 0.0, 0.0)),
    "coarse": Camera("pinhole", 40.0, 40.0, 31.5, 23.5, 64, 48),
}


def scene_of(directions):
    """BGR of directions (N, 2) on the plane z = 1: smooth, other in each channel."""
    x, y = directions.T
    waves = np.stack([np.sin(5 * x + 1), np.cos(4 * y), np.sin(3 * x - 4 * y)], 1)
    return 127 + 90 * waves


def photographed(camera):
    y, x = np.mgrid[: camera.height, : camera.width].reshape(2, -1)
    rays = camera.rays(np.stack([x, y], 1))
    colours = np.where(np.isfinite(rays[:, :1]), scene_of(np.nan_to_num(rays)), 0)
    return np.clip(colours.round(), 0, 255).astype(np.uint8).reshape(camera.height, camera.width, 3)


@pytest.mark.parametrize("name", CAMERAS)
def test_every_camera_shows_the_same(name):
    seen = graph_pixels(photographed(CAMERAS[name]), CAMERAS[name], INPUT)
    truth = photographed(INPUT.graph_camera.camera)[..., ::-1]
    assert seen.shape == (72, 96, 3) and seen.dtype == np.uint8
    inside = reached(CAMERAS[name])
    assert inside.mean() > 0.15
    assert np.abs(seen.astype(int) - truth)[inside].mean() < (6 if name == "coarse" else 2.5)


def reached(camera):
    """Canonical pixels (H, W) well inside of an image."""
    wanted = INPUT.graph_camera.camera
    y, x = np.mgrid[:72, :96].reshape(2, -1)
    rays = wanted.rays(np.stack([x, y], 1))
    at = camera.project(np.concatenate([rays, np.ones((len(rays), 1))], 1))
    margin = 4 * camera.fx / wanted.fx + 2
    size = np.array([camera.width, camera.height])
    with np.errstate(invalid="ignore"):
        return ((at > margin) & (at < size - margin)).all(1).reshape(72, 96)


def test_what_lies_outside_is_black():
    narrow = Camera("pinhole", 400.0, 400.0, 99.5, 74.5, 200, 150)
    seen = graph_pixels(np.full((150, 200, 3), 200, np.uint8), narrow, INPUT)
    assert (seen[36, 48] == 200).all() and not seen[0].any() and not seen[:, 0].any()


def test_its_own_camera_is_left_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (72, 96, 3)).astype(np.uint8)
    camera = INPUT.graph_camera.camera
    assert (graph_pixels(image, camera, INPUT) == image[..., ::-1]).all()
    assert (graph_pixels(image[..., 0], camera, INPUT) == image[..., :1]).all(), "grey"


def test_a_fine_pattern_does_not_alias():
    camera = Camera("pinhole", 640.0, 640.0, 383.5, 287.5, 768, 576)
    stripes = np.tile(np.array([0, 255], np.uint8), (576, 384))
    seen = graph_pixels(stripes, camera, INPUT).astype(float)
    assert np.abs(seen[4:-4, 4:-4] - 127.5).max() < 4


def test_the_published_input_is_the_short_side():
    image = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 256, (480, 640, 3)).astype(np.uint8), (0, 0), 2
    )
    camera = Camera("pinhole", 525.0, 525.0, 320.0, 240.0, 640, 480)
    heads = SEVEN_SCENES["heads"]
    seen = graph_image(image, camera, GraphInput.published().in_scene(heads))
    assert seen.shape == (3, 256, 341)
    assert np.abs(seen - heads.normalise(resize_short_side(image, 256))).max() < 1e-6
    assert GraphInput.published().size_of(camera) == (256, 341)
    assert INPUT.in_scene(heads) == INPUT, "fixed colours stay"


def test_batches_are_normalised_as_single_images():
    images = np.random.default_rng(2).integers(0, 256, (2, 3, 72, 96, 3)).astype(np.uint8)
    planes = normalised(images, INPUT)
    assert planes.shape == (2, 3, 3, 72, 96) and planes.dtype == np.float32
    value = (images[1, 2, 5, 7, 0] / 255 - INPUT.mean[0]) / INPUT.deviation[0]
    assert abs(planes[1, 2, 0, 5, 7] - value) < 1e-5
    assert normalised(images[:0], INPUT).shape == (0, 3, 3, 72, 96)


def test_statistics_of_a_scene():
    images = np.random.default_rng(3).integers(0, 200, (4, 20, 30, 3)).astype(np.uint8)
    found = colour_statistics(images)
    np.testing.assert_allclose(found.mean, images.mean((0, 1, 2)) / 255)
    np.testing.assert_allclose(found.variance, images.var((0, 1, 2)) / 255**2)


@given(st.integers(8, 400), st.integers(8, 400), st.floats(1, 159))
@settings(max_examples=30, deadline=None)
def test_an_input_survives_a_header(width, height, degrees):
    camera = GraphCamera.of_field(width, height, degrees)
    made = GraphInput("canonical", camera.width, camera.height, camera.focal)
    assert GraphInput.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    left, right = made.graph_camera.camera.bearings(
        [[-0.5, 0.5 * (height - 1)], [width - 0.5, 0.5 * (height - 1)]]
    )
    assert abs(np.degrees(np.arccos(left @ right)) - degrees) < 1e-6


@pytest.mark.parametrize(
    "change",
    [{"kind": "round"}, {"width": "224"}, {"width": 4}, {"focal": 0.0}, {"deviation": [0.0, 1.0, 1.0]},
     {"mean": [0.5]}, {"mean": "abc"}, {"height": True}, {"per_scene": 1}, {"focal": float("nan")}],
)  # fmt: skip
def test_a_broken_header_is_refused(change):
    with pytest.raises(ConfigurationError):
        GraphInput.from_dict({**INPUT.to_dict(), **change})
    with pytest.raises(ConfigurationError, match="expected the input"):
        GraphInput.from_dict({"kind": "canonical"})


@pytest.mark.parametrize("shape", [(240, 320, 4), (240, 300, 3), (320,)])
def test_another_image_is_refused(shape):
    with pytest.raises(ImageError, match="expected"):
        graph_image(np.zeros(shape, np.uint8), CAMERAS["pinhole"], INPUT)
    with pytest.raises(ImageError, match="uint8"):
        graph_image(np.zeros((240, 320)), CAMERAS["pinhole"], INPUT)  # type: ignore[arg-type]
