"""The conventions of docs/conventions.md, each with numbers that a person can check by hand."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np

from relpose_ros.geometry.camera_colmap import camera_from_colmap
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.covariance import transform_pose_covariance
from relpose_ros.geometry.rigid import Rigid

CAMERA = Camera("pinhole", 100.0, 80.0, 31.5, 23.5, 64, 48)
QUARTER = np.pi / 2
ROOT = Path(__file__).parents[1]


def test_names_chain() -> None:
    """map_from_base @ base_from_camera = map_from_camera: at (10, 0, 0), turned left, camera 1 m ahead."""
    map_from_base = Rigid.from_rotation_vector([0, 0, QUARTER], [10, 0, 0])
    base_from_camera = Rigid(np.eye(3), np.array([1.0, 0, 0]))
    map_from_camera = map_from_base @ base_from_camera
    np.testing.assert_allclose(map_from_camera.translation, [10, 1, 0], atol=1e-12)
    np.testing.assert_allclose(map_from_camera.apply([[2, 0, 0]]), [[10, 3, 0]], atol=1e-12)
    np.testing.assert_allclose(map_from_camera.inverse().apply([[10, 1, 0]]), [[0, 0, 0]], atol=1e-12)


def test_camera_axes() -> None:
    """x is right in the image, y is down, z is ahead."""
    ahead, right, below = CAMERA.project(np.array([[0, 0, 2], [0.2, 0, 2], [0, 0.1, 2]]))
    np.testing.assert_allclose(ahead, [31.5, 23.5])
    np.testing.assert_allclose(right, [41.5, 23.5])
    np.testing.assert_allclose(below, [31.5, 27.5])
    assert np.isnan(CAMERA.project([[0, 0, -2]])).all()


def test_body_axes() -> None:
    """A camera that looks along the robot's x sees what is left of the robot (y) left in the image."""
    base_from_camera = Rigid(np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), np.zeros(3))
    np.testing.assert_allclose(np.linalg.det(base_from_camera.rotation), 1)
    camera_from_base = base_from_camera.inverse()
    straight, left, up = CAMERA.project(camera_from_base.apply([[5, 0, 0], [5, 1, 0], [5, 0, 1]]))
    np.testing.assert_allclose(straight, [31.5, 23.5])
    np.testing.assert_allclose(left, [11.5, 23.5])
    np.testing.assert_allclose(up, [31.5, 7.5])


def test_quaternion_order() -> None:
    """x, y, z, w: a quarter turn to the left about z takes x to y."""
    half = np.sqrt(0.5)
    turn = Rigid.from_quaternion([0, 0, half, half], [0, 0, 0])
    np.testing.assert_allclose(turn.apply([[1, 0, 0]]), [[0, 1, 0]], atol=1e-12)
    np.testing.assert_allclose(turn.rotation_xyzw, [0, 0, half, half], atol=1e-12)
    np.testing.assert_array_equal(Rigid.identity().rotation_xyzw, [0, 0, 0, 1])


def test_the_middle_of_the_image_is_half_a_pixel_before_half_its_size() -> None:
    assert CAMERA.contains([[-0.5, -0.5], [63.49, 47.49]]).all()
    assert not CAMERA.contains([[-0.51, 0.0], [63.5, 0.0], [0.0, 47.5]]).any()


def test_pixel_centres_survive_resizing() -> None:
    """A blob moves under cv2.resize where `Camera.resized` says it does."""
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    point = np.array([[0.11, -0.07, 1.0]])
    where = CAMERA.project(point)[0]
    blob = np.exp(-((x - where[0]) ** 2 + (y - where[1]) ** 2) / (2 * 3.0**2))
    for width, height in [(32, 24), (128, 96), (32, 48)]:
        small = cv2.resize(blob, (width, height), interpolation=cv2.INTER_AREA)
        sx, sy = np.meshgrid(np.arange(width), np.arange(height))
        centroid = [(small * sx).sum() / small.sum(), (small * sy).sum() / small.sum()]
        np.testing.assert_allclose(CAMERA.resized(width, height).project(point)[0], centroid, atol=0.02)


def test_colmap_counts_from_the_corner() -> None:
    """The middle of a 64 x 48 image is (32, 24) in COLMAP and (31.5, 23.5) here."""
    camera = camera_from_colmap("PINHOLE", 64, 48, [100.0, 80.0, 32.0, 24.0])
    assert camera == CAMERA


def test_rotation_error_is_about_fixed_axes() -> None:
    """A yaw error of a robot that is rolled over is still about the map's z, and does not move it."""
    pose = Rigid.from_rotation_vector([1.2, -0.4, 0.9], [3, 2, 1])
    turned = pose.perturbed([0, 0, 0, 0, 0, 0.1])
    np.testing.assert_array_equal(turned.translation, pose.translation)
    expected = Rigid.from_rotation_vector([0, 0, 0.1], [0, 0, 0]).rotation @ pose.rotation
    np.testing.assert_allclose(turned.rotation, expected, atol=1e-12)
    np.testing.assert_allclose(pose.error_to(turned), [0, 0, 0, 0, 0, 0.1], atol=1e-12)


def test_translation_comes_first_and_in_map_axes() -> None:
    pose = Rigid.from_rotation_vector([0, 0, QUARTER], [3, 2, 1])
    moved = pose.perturbed([0.1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(moved.translation, [3.1, 2, 1])
    np.testing.assert_array_equal(moved.rotation, pose.rotation)


def test_yaw_error_moves_the_base_sideways() -> None:
    """Camera 2 m ahead of the base, yaw known to 0.1 rad: the base is uncertain by 0.2 m across only."""
    covariance = np.diag([0, 0, 0, 0, 0, 0.1**2])
    base = transform_pose_covariance(covariance, Rigid.identity(), Rigid(np.eye(3), np.array([-2.0, 0, 0])))
    np.testing.assert_allclose(np.diag(base), [0, 0.04, 0, 0, 0, 0.01], atol=1e-12)
    np.testing.assert_allclose(base[1, 5], -0.02, atol=1e-12)  # turning left swings the base to the right


def test_projected_coordinates_keep_the_millimetre() -> None:
    pose = Rigid(np.eye(3), np.array([450_000.0, 5_100_000.0, 300.0]))
    assert pose.translation.dtype == np.float64
    moved = pose.perturbed([0.001, 0.001, 0, 0, 0, 0])
    np.testing.assert_allclose(pose.error_to(moved)[:2], 0.001, atol=1e-8)


def test_every_test_that_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    written = "".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "test").rglob("test_*.py")))
    named = set(re.findall(r"`?(?:::)?(test_[a-z0-9_]+)`", page))
    assert len(named) >= 8
    assert not {n for n in named if f"def {n}(" not in written}
    for path in re.findall(r"`([a-z_/]*test_[a-z_]+\.py)", page):
        assert (ROOT / "test" / path).is_file(), path
