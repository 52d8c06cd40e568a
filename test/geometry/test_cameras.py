"""Cameras: round trips over the whole image, agreement with OpenCV, wide lenses, bad descriptions."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from relpose_ros.errors import CameraError
from relpose_ros.geometry.cameras import Camera

Array = NDArray[np.float64]

CAMERAS = {
    "pinhole": Camera("pinhole", 525.0, 480.0, 310.5, 245.0, 640, 480),
    "plumb_bob, 4": Camera("plumb_bob", 458.7, 457.3, 367.2, 248.4, 752, 480, (-0.283, 0.074, 2e-4, 2e-5)),
    "plumb_bob, 5": Camera(
        "plumb_bob", 517.3, 490.5, 318.6, 255.3, 640, 480, (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)
    ),
    "plumb_bob, barrel": Camera("plumb_bob", 900.0, 850.0, 320, 240, 640, 480, (-0.4, 0.0, 1e-3, -1e-3)),
    "rational": Camera(
        "rational_polynomial",
        *(916.0, 880.0, 639.0, 366.0, 1280, 720),
        (0.5286, -2.7385, 4e-4, -1.7e-4, 1.66, 0.404, -2.55, 1.58),
    ),
    "equidistant": Camera("equidistant", 350.0, 320.0, 319.0, 241.0, 640, 480, (-0.013, 0.02, -0.011, 0.002)),
}
FISHEYE_180 = Camera(
    "equidistant", 190.98, 190.97, 254.9, 256.9, 512, 512, (0.00348, 0.000715, -0.00205, 0.000203)
)
FOLDING = Camera("plumb_bob", 500.0, 460.0, 320.0, 240.0, 640, 480, (-0.4, 0.0, 0.0, 0.0))
"""k1 = -0.4 and a short focal length: the polynomial turns round at 42 degrees, inside the corners."""

camera_cases = pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())


def whole_image(camera: Camera, step: int = 9) -> Array:
    """Pixels (N, 2) from corner to corner."""
    x, y = np.meshgrid(np.arange(0, camera.width, step), np.arange(0, camera.height, step))
    edge = [[camera.width - 1, 0], [0, camera.height - 1], [camera.width - 1, camera.height - 1]]
    return np.concatenate([np.stack([x.ravel(), y.ravel()], axis=1), edge]).astype(float)


def in_front(camera: Camera, pixels: Array, seed: int = 0) -> Array:
    """Points (N, 3) at various depths along the pixels' rays."""
    rays = camera.rays(pixels)
    depth = np.random.default_rng(seed).uniform(0.2, 60, (len(rays), 1))
    return np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * depth


def cone(degrees: float, count: int = 400, seed: int = 0) -> Array:
    """Points (N, 3) in all directions up to an angle from the optical axis."""
    generator = np.random.default_rng(seed)
    angle = np.deg2rad(generator.uniform(0, degrees, count))
    around = generator.uniform(-np.pi, np.pi, count)
    direction = np.stack([np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around), np.cos(angle)], 1)
    return np.asarray(direction * generator.uniform(0.1, 30, (count, 1)))


@camera_cases
def test_rays_and_project_are_inverse_over_the_whole_image(camera: Camera) -> None:
    pixels = whole_image(camera)
    points = in_front(camera, pixels)
    assert np.all(np.isfinite(points))
    np.testing.assert_allclose(camera.project(points), pixels, atol=1e-6)


@camera_cases
def test_bearings_are_unit_vectors_along_the_rays(camera: Camera) -> None:
    pixels = whole_image(camera, 41)
    bearings = camera.bearings(pixels)
    np.testing.assert_allclose(np.linalg.norm(bearings, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(bearings[:, :2] / bearings[:, 2:], camera.rays(pixels), atol=1e-9)


@camera_cases
def test_ideal_pixels_are_what_the_pinhole_sees(camera: Camera) -> None:
    pixels = whole_image(camera, 41)
    np.testing.assert_allclose(
        camera.ideal_pixels(pixels), camera.ideal.project(in_front(camera, pixels)), atol=1e-6
    )
    assert camera.ideal.model == "pinhole" and not camera.ideal.distortion


@camera_cases
def test_projection_agrees_with_opencv(camera: Camera) -> None:
    points = in_front(camera, whole_image(camera, 23))
    if camera.model == "equidistant":
        expected, _ = cv2.fisheye.projectPoints(
            points[:, None], np.zeros(3), np.zeros(3), camera.matrix, np.array(camera.distortion)
        )
    else:
        expected, _ = cv2.projectPoints(
            points[:, None], np.zeros(3), np.zeros(3), camera.matrix, np.array(camera.distortion)
        )
    np.testing.assert_allclose(camera.project(points), expected.reshape(-1, 2), atol=1e-6)


def test_a_wide_fisheye_agrees_with_opencv_up_to_the_limit() -> None:
    points = cone(84.9)
    expected, _ = cv2.fisheye.projectPoints(
        points[:, None], np.zeros(3), np.zeros(3), FISHEYE_180.matrix, np.array(FISHEYE_180.distortion)
    )
    np.testing.assert_allclose(FISHEYE_180.project(points), expected[:, 0], atol=1e-6)


def test_a_180_degree_fisheye_has_rays_up_to_85_degrees_and_none_beyond() -> None:
    pixels = whole_image(FISHEYE_180, 7)
    centred = (pixels - [FISHEYE_180.cx, FISHEYE_180.cy]) / [FISHEYE_180.fx, FISHEYE_180.fy]
    k1, k2, k3, k4 = FISHEYE_180.distortion
    theta = np.deg2rad(85)
    edge = theta + k1 * theta**3 + k2 * theta**5 + k3 * theta**7 + k4 * theta**9
    inside = np.linalg.norm(centred, axis=1) < edge
    rays = FISHEYE_180.rays(pixels)
    np.testing.assert_array_equal(np.isfinite(rays).all(axis=1), inside)
    assert 0.02 < 1 - inside.mean() < 0.3  # the corners really are outside
    points = np.concatenate([rays[inside], np.ones((inside.sum(), 1))], axis=1)
    np.testing.assert_allclose(FISHEYE_180.project(points), pixels[inside], atol=1e-6)


def test_points_beside_a_fisheye_are_nan() -> None:
    beside = np.array([[1, 0, 0.05], [1, 0, 0], [0, -1, -0.1], [3, 3, 0.1]])
    assert np.isnan(FISHEYE_180.project(beside)).all()


def test_a_folding_lens_does_not_bring_outside_points_back() -> None:
    """OpenCV's formula puts a point 50 degrees off the axis into the image: a map is full of such points."""
    beyond = np.array([[1.19, 0.05, 1.0], [0.0, 1.3, 1.0], [2.2, 0.0, 1.0]])
    naive, _ = cv2.projectPoints(
        beyond[:, None], np.zeros(3), np.zeros(3), FOLDING.matrix, np.array(FOLDING.distortion)
    )
    assert FOLDING.contains(naive[:2, 0]).all()
    assert np.isnan(FOLDING.project(beyond)).all()


def test_a_folding_lens_is_right_where_it_sees() -> None:
    pixels = whole_image(FOLDING)
    rays = FOLDING.rays(pixels)
    seen = np.isfinite(rays).all(axis=1)
    turn = np.sqrt(1 / 1.2)  # d/dr (r - 0.4 r^3) = 0
    assert 0.75 < seen.mean() < 0.9  # the corners lie outside of what the polynomial can reach
    assert np.linalg.norm(rays[seen], axis=1).max() <= turn * (1 + 1e-6)
    points = np.concatenate([rays[seen], np.ones((seen.sum(), 1))], axis=1)
    np.testing.assert_allclose(FOLDING.project(points), pixels[seen], atol=1e-4)


coefficient = st.floats(-0.6, 0.6)
tangential = st.floats(-3e-3, 3e-3)
lenses = st.one_of(
    st.builds(
        lambda k1, k2, p1, p2, k3: ("plumb_bob", (k1, k2, p1, p2, k3)),
        *(coefficient, coefficient, tangential, tangential, coefficient),
    ),
    st.tuples(*[coefficient] * 5).map(lambda k: ("rational_polynomial", (k[0], k[1], 0.0, 0.0, 0.0, *k[2:]))),
    st.tuples(*[st.floats(-s, s) for s in (0.2, 0.1, 0.03, 0.01)]).map(lambda k: ("equidistant", k)),
)


@settings(max_examples=60, deadline=None)
@given(lenses)
def test_no_lens_at_all_folds(lens: tuple[str, tuple[float, ...]]) -> None:
    """Whatever the coefficients: a projected point comes back as itself, or was never projected."""
    camera = Camera(lens[0], 400.0, 380.0, 320.0, 240.0, 640, 480, lens[1])
    points = cone(84)
    pixels = camera.project(points)
    seen = camera.contains(pixels)
    rays = camera.rays(pixels[seen])
    truth = points[seen, :2] / points[seen, 2:]
    found = np.isfinite(rays).all(axis=1)
    apart = np.linalg.norm(rays - truth, axis=1)[found] / (1 + np.sum(truth[found] ** 2, axis=1))
    assert found.sum() >= 0.99 * seen.sum()
    assert np.all(apart < 5e-3)  # flat near the turn: a pixel there says little about its ray


@camera_cases
def test_resized_projects_to_the_scaled_pixel_centres(camera: Camera) -> None:
    points = in_front(camera, whole_image(camera, 53))
    scale = np.array([0.5, 0.25])
    small = camera.resized(camera.width // 2, camera.height // 4)
    expected = (camera.project(points) + 0.5) * scale - 0.5
    np.testing.assert_allclose(small.project(points), expected, atol=1e-6)
    assert (small.width, small.height) == (camera.width // 2, camera.height // 4)


@camera_cases
def test_cropped_shifts_the_pixels(camera: Camera) -> None:
    points = in_front(camera, whole_image(camera, 53))
    region = camera.cropped(17, 30, 100, 80)
    np.testing.assert_allclose(region.project(points), camera.project(points) - [17, 30], atol=1e-9)
    assert region.contains([[0, 0], [99, 79]]).all() and not region.contains([[100, 0], [0, 80]]).any()


def test_cropping_and_resizing_can_be_undone() -> None:
    camera = CAMERAS["plumb_bob, 5"]
    again = camera.resized(320, 240).resized(640, 480).cropped(10, 5, 600, 400).cropped(-10, -5, 640, 480)
    np.testing.assert_allclose(again.matrix, camera.matrix, atol=1e-9)
    assert again.distortion == camera.distortion


@camera_cases
def test_nan_behind_the_camera(camera: Camera) -> None:
    pixels = camera.project(np.array([[0.1, 0.2, -1], [0, 0, -5], [0, 0, 0], [1, 1, 0], [0, 0, 1]]))
    assert np.isnan(pixels[:4]).all()
    np.testing.assert_allclose(pixels[4], [camera.cx, camera.cy])
    assert not camera.contains(pixels[:4]).any()


@camera_cases
def test_nan_stays_nan_in_its_own_row(camera: Camera) -> None:
    good = np.array([0.1, -0.1, 1.0])
    pixels = camera.project(np.array([good, [np.nan, 0, 1], [0, 0, np.nan], good]))
    np.testing.assert_array_equal(np.isnan(pixels).all(axis=1), [False, True, True, False])
    rays = camera.rays([[np.nan, 5], pixels[0], [5, np.nan]])
    np.testing.assert_array_equal(np.isnan(rays).any(axis=1), [True, False, True])
    np.testing.assert_allclose(rays[1], good[:2], atol=1e-9)


@camera_cases
def test_no_points_give_no_points(camera: Camera) -> None:
    assert camera.project(np.zeros((0, 3))).shape == (0, 2)
    assert camera.rays(np.zeros((0, 2))).shape == (0, 2)
    assert camera.bearings(np.zeros((0, 2))).shape == (0, 3)
    assert camera.contains(np.zeros((0, 2))).shape == (0,)


@camera_cases
def test_the_principal_point_looks_straight_ahead(camera: Camera) -> None:
    np.testing.assert_allclose(camera.rays([[camera.cx, camera.cy]]), [[0, 0]], atol=1e-9)


def test_far_outside_the_image_is_no_ray_of_a_folding_lens() -> None:
    assert np.isnan(FOLDING.rays([[1e6, 0.0], [-5000.0, 240.0]])).all()


def test_contains_counts_whole_pixels() -> None:
    camera = CAMERAS["pinhole"]
    inside = np.array([[-0.5, -0.5], [0, 0], [639.4, 479.4]])
    outside = np.array([[-0.51, 0], [0, -0.6], [639.5, 0], [0, 479.5], [np.nan, 0], [np.inf, 0]])
    assert camera.contains(inside).all()
    assert not camera.contains(outside).any()


def test_matrix_and_focal() -> None:
    camera = CAMERAS["pinhole"]
    np.testing.assert_array_equal(camera.matrix, [[525, 0, 310.5], [0, 480, 245], [0, 0, 1]])
    assert camera.focal == pytest.approx(502.5)


def test_equal_descriptions_are_equal_also_after_use() -> None:
    a, b = CAMERAS["rational"], replace(CAMERAS["rational"])
    a.project([[0, 0, 1]])
    assert a == b and hash(a) == hash(b)
    assert Camera("plumb_bob", 1, 1, 0, 0, 2, 2, [0.0] * 4) == Camera(  # type: ignore[arg-type]
        "plumb_bob", 1, 1, 0, 0, 2, 2, (0.0,) * 4
    )


INVALID = {
    "unknown model": ({"model": "thin_prism"}, "unknown camera model"),
    "no model": ({"model": ""}, "unknown camera model"),
    "zero focal length": ({"fx": 0.0}, "not calibrated"),
    "negative focal length": ({"fy": -3.0}, "positive"),
    "nan focal length": ({"fx": float("nan")}, "not finite"),
    "infinite centre": ({"cx": float("inf")}, "not finite"),
    "nan distortion": ({"distortion": (0, 0, 0, float("nan"))}, "not finite"),
    "too few coefficients": ({"distortion": (0.1, 0.2)}, "coefficients"),
    "too many coefficients": ({"distortion": (0.0,) * 6}, "coefficients"),
    "none for plumb_bob": ({"distortion": ()}, "coefficients"),
    "some for pinhole": ({"model": "pinhole"}, "coefficients"),
    "five for equidistant": ({"model": "equidistant", "distortion": (0.0,) * 5}, "coefficients"),
    "seven for rational": ({"model": "rational_polynomial", "distortion": (0.0,) * 7}, "coefficients"),
    "zero width": ({"width": 0}, "size"),
    "negative height": ({"height": -480}, "size"),
    "nan width": ({"width": float("nan")}, "size"),
    "half a pixel": ({"height": 480.5}, "size"),
    "infinite width": ({"width": float("inf")}, "size"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_cameras_are_refused(name: str) -> None:
    changes, message = INVALID[name]
    with pytest.raises(CameraError, match=message):
        replace(CAMERAS["plumb_bob, 4"], **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-5, 10)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(CameraError):
        CAMERAS["pinhole"].resized(*size)
    with pytest.raises(CameraError):
        CAMERAS["pinhole"].cropped(0, 0, *size)
