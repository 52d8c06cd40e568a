"""CameraInfo: regions of interest, binning, models, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from relpose_ros.errors import CameraError
from relpose_ros.geometry.camera_info import camera_from_info
from relpose_ros.geometry.cameras import Camera

K = [500.0, 0.0, 320.5, 0.0, 510.0, 238.25, 0.0, 0.0, 1.0]
P = [450.0, 0.0, 318.0, -30.0, 0.0, 450.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]
RADIAL = [0.1, -0.05, 0.001, 0.002, 0.01]


def info(**changes):
    """A CameraInfo as rclpy gives it."""
    roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0, do_rectify=False)
    fields = {
        "width": 640, "height": 480, "distortion_model": "plumb_bob", "d": list(RADIAL), "k": np.array(K),
        "p": np.array(P), "binning_x": 0, "binning_y": 0, "roi": roi,
    }  # fmt: skip
    return SimpleNamespace(**(fields | changes))


def region(x, y, width, height, rectify=True):
    return SimpleNamespace(x_offset=x, y_offset=y, width=width, height=height, do_rectify=rectify)


FULL = Camera("plumb_bob", 500.0, 510.0, 320.5, 238.25, 640, 480, tuple(RADIAL))


def test_full_image():
    assert camera_from_info(info()) == FULL
    assert camera_from_info(info(binning_x=1, binning_y=1, roi=region(0, 0, 640, 480))) == FULL


def test_ros1_and_rosbags_objects():
    ros1 = SimpleNamespace(
        width=640, height=480, distortion_model="plumb_bob", D=tuple(RADIAL), K=tuple(K), P=P
    )
    assert camera_from_info(ros1) == FULL
    arrays = info(d=np.array(RADIAL), k=np.array(K).reshape(3, 3))
    assert camera_from_info(arrays) == FULL


def test_a_real_rosbags_message():
    from rosbags.typesys import Stores, get_typestore

    from relpose_ros.datasets.bag_messages import Messages

    message = Messages().camera_info(5, "camera", FULL)
    store = get_typestore(Stores.ROS2_KILTED)
    kind = "sensor_msgs/msg/CameraInfo"
    assert camera_from_info(store.deserialize_cdr(store.serialize_cdr(message, kind), kind)) == FULL


def test_a_real_rclpy_message():
    messages = pytest.importorskip("sensor_msgs.msg", reason="ROS is not installed: its message NOT checked")
    message = messages.CameraInfo(width=640, height=480, distortion_model="plumb_bob", d=RADIAL, k=K)
    assert camera_from_info(message) == FULL


def test_region_of_interest_shifts_the_centre():
    camera = camera_from_info(info(roi=region(100, 60, 200, 150)))
    assert camera == replace(FULL, cx=220.5, cy=178.25, width=200, height=150)


def test_region_then_binning_is_where_the_light_falls():
    """A spot drawn at full resolution, cut and averaged into super-pixels, lies where we project it."""
    point = np.array([[0.05, -0.02, 1.0]])
    centre = FULL.project(point)[0]
    y, x = np.mgrid[:480, :640]
    image = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 5.0**2))
    roi, binned = image[120:360, 200:520], np.zeros((80, 160))
    for row in range(3):
        for column in range(2):
            binned += roi[row::3, column::2]
    seen = camera_from_info(info(roi=region(200, 120, 320, 240), binning_x=2, binning_y=3))
    assert (seen.width, seen.height) == (160, 80)
    v, u = np.mgrid[:80, :160]
    spot = np.array([(binned * u).sum(), (binned * v).sum()]) / binned.sum()
    assert seen.project(point)[0] == pytest.approx(spot, abs=1e-6)


def test_binning_that_does_not_divide_loses_the_rest():
    camera = camera_from_info(info(binning_x=3, binning_y=7))
    assert (camera.width, camera.height) == (213, 68)
    assert camera.fx == pytest.approx(500 / 3) and camera.fy == pytest.approx(510 / 7)
    assert camera.cx == pytest.approx((320.5 + 0.5) / 3 - 0.5)


def test_rectified_uses_p_without_distortion():
    camera = camera_from_info(info(roi=region(10, 20, 300, 200)), rectified=True)
    assert camera == Camera("pinhole", 450.0, 450.0, 308.0, 221.0, 300, 200)
    with pytest.raises(CameraError, match="not calibrated"):
        camera_from_info(info(p=[0.0] * 12), rectified=True)


RATIONAL = [0.1, 0.2, 0.001, 0.002, 0.3, 0.4, 0.5, 0.6]


@pytest.mark.parametrize(
    ("name", "given", "model", "coefficients"),
    [
        ("plumb_bob", [], "pinhole", ()),
        ("plumb_bob", [0.0] * 5, "pinhole", ()),
        ("", [], "pinhole", ()),
        ("", [0.0] * 5, "pinhole", ()),
        ("plumb_bob", RADIAL[:4], "plumb_bob", RADIAL[:4]),
        ("plumb_bob", RADIAL, "plumb_bob", RADIAL),
        ("plumb_bob", RATIONAL, "rational_polynomial", RATIONAL),
        ("plumb_bob", [*RADIAL, 0, 0, 0], "plumb_bob", RADIAL),
        ("rational_polynomial", RATIONAL, "rational_polynomial", RATIONAL),
        ("rational_polynomial", RATIONAL + [0.0] * 4, "rational_polynomial", RATIONAL),
        ("rational_polynomial", RATIONAL + [0.0] * 6, "rational_polynomial", RATIONAL),
        ("equidistant", [0.1, 0.2, 0.3, 0.4], "equidistant", [0.1, 0.2, 0.3, 0.4]),
        ("equidistant", [], "equidistant", [0.0] * 4),
        ("fisheye", [0.0] * 4, "equidistant", [0.0] * 4),
    ],
)
def test_models(name, given, model, coefficients):
    camera = camera_from_info(info(distortion_model=name, d=given))
    assert (camera.model, camera.distortion) == (model, tuple(coefficients))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": [0.0] * 9}, "the driver is not calibrated"),
        (
            {"k": [0.0] * 9, "d": [], "width": 0, "height": 0, "distortion_model": ""},
            "driver is not calibrated",
        ),
        ({"k": K[:8]}, "expected 9 numbers in K, got 8"),
        ({"k": [float("nan"), *K[1:]]}, "not finite"),
        ({"k": [K[0], 3.0, *K[2:]]}, "without skew"),
        ({"d": [float("inf"), 0, 0, 0, 0]}, "not finite"),
        ({"d": RADIAL[:3]}, "takes 0, 4, 5, 8, 12 or 14"),
        ({"d": None}, "expected numbers in D"),
        ({"distortion_model": "rational_polynomial", "d": [*RATIONAL, 0.01, 0, 0, 0]}, "thin-prism"),
        ({"distortion_model": "equidistant", "d": RADIAL}, "takes 4 coefficients"),
        ({"distortion_model": "", "d": RADIAL}, "says nothing"),
        ({"distortion_model": "inverse_brown_conrady"}, "unknown distortion_model"),
        ({"width": 0}, "size must be positive"),
        ({"roi": region(600, 0, 100, 100)}, "not inside"),
        ({"roi": region(10, 10, 0, 0)}, "not inside"),
        ({"roi": region(0, 0, 100, 0)}, "not inside"),
        ({"binning_x": 1000}, "size must be positive"),
    ],
)
def test_refused(changes, message):
    with pytest.raises(CameraError, match=message):
        camera_from_info(info(**changes))


def test_not_a_camera_info():
    with pytest.raises(CameraError, match="got SimpleNamespace without it"):
        camera_from_info(SimpleNamespace(width=3, height=3, distortion_model=""))
