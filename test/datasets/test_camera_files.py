"""Camera files: what camera_calibration writes, ours, and numbers."""

from __future__ import annotations

import os

import numpy as np
import pytest

from relpose_ros.datasets.camera_files import camera_from_numbers, read_camera, write_camera
from relpose_ros.errors import CameraError
from relpose_ros.geometry.cameras import Camera

ROS_YAML = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [438.783367, 0.000000, 305.593336, 0.000000, 437.302876, 243.738352, 0.000000, 0.000000, 1.000000]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.361976, 0.110510, 0.001014, 0.000505, 0.000000]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1, 0, 0, 0, 1, 0, 0, 0, 1]
"""


def test_the_file_of_camera_calibration(tmp_path):
    path = tmp_path / "ost.yaml"
    path.write_text(ROS_YAML)
    camera = read_camera(path)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (438.783367, 437.302876, 305.593336, 243.738352)
    assert (camera.model, camera.width, camera.height) == ("plumb_bob", 640, 480)
    assert camera.distortion == (-0.361976, 0.11051, 0.001014, 0.000505, 0.0)


def test_opencv_header_is_tolerated(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "%YAML:1.0\n" + ROS_YAML.replace("camera_matrix:", "camera_matrix: !!opencv-matrix")
    )
    assert read_camera(tmp_path / "c.yaml").width == 640


CAMERAS = [
    Camera("pinhole", 500.0, 501.0, 320.25, 240.5, 640, 480),
    Camera("plumb_bob", 500.0, 501.0, 320.0, 240.0, 640, 480, (0.1, -0.2, 0.001, 0.002)),
    Camera("plumb_bob", 500.0, 501.0, 320.0, 240.0, 640, 480, (0.1, -0.2, 0.001, 0.002, 0.03)),
    Camera("rational_polynomial", 500.0, 501.0, 320.0, 240.0, 640, 480, (0.1, 0.2, 0, 0, 0.3, 0.4, 0.5, 0.6)),
    Camera("equidistant", 300.0, 300.0, 320.0, 240.0, 640, 480, (0.1, -0.02, 0.003, 0.0)),
]  # fmt: skip


@pytest.mark.parametrize("camera", CAMERAS, ids=lambda c: f"{c.model}{len(c.distortion)}")
def test_writing_and_reading_gives_the_same_camera(tmp_path, camera):
    path = write_camera(camera, tmp_path / "camera.yaml", "left")
    assert read_camera(path) == camera
    assert os.listdir(tmp_path) == ["camera.yaml"]  # nothing temporary is left


def test_our_own_yaml_and_intrinsics(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "{model: equidistant, fx: 3, fy: 4, cx: 1, cy: 2, width: 8, height: 6, distortion: [1, 0, 0, 0]}"
    )
    assert read_camera(tmp_path / "c.yaml") == Camera("equidistant", 3, 4, 1, 2, 8, 6, (1, 0, 0, 0))
    (tmp_path / "intrinsics.txt").write_text("# fx fy cx cy width height\n3 4 1 2 8 6\n")
    assert read_camera(tmp_path / "intrinsics.txt") == Camera("pinhole", 3, 4, 1, 2, 8, 6)


def test_numbers():
    assert camera_from_numbers("3 4 1 2 8 6".split()).model == "pinhole"
    assert camera_from_numbers([3, 4, 1, 2, 8, 6, 0, 0, 0, 0]).model == "pinhole"
    assert camera_from_numbers([3, 4, 1, 2, 8, 6, 0.1, 0, 0, 0]).distortion == (0.1, 0, 0, 0)
    assert camera_from_numbers([3, 4, 1, 2, 8, 6, 0.1, 0, 0, 0, 0.2]).distortion == (0.1, 0, 0, 0, 0.2)


@pytest.mark.parametrize(
    "numbers",
    [[], [3, 4, 1, 2, 8], [3, 4, 1, 2, 8, 6, 0.1], ["f", 4, 1, 2, 8, 6], [3, 4, 1, 2, 8.5, 6],
     [3, 4, 1, 2, 0, 6], [-3, 4, 1, 2, 8, 6], [float("nan"), 4, 1, 2, 8, 6], [3, 4, 1, 2, float("inf"), 6]],
)  # fmt: skip
def test_bad_numbers(numbers):
    with pytest.raises(CameraError):
        camera_from_numbers(numbers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got nothing"),
        ("width: 3\n", "got a mapping with width"),
        ("fx: [1, 2\n", "not YAML"),
        ("- 1\n- 2\n", "expected a YAML mapping"),
        (ROS_YAML.replace("image_width: 640\n", ""), "lacks 'image_width'"),
        (ROS_YAML.replace("438.783367", "many"), "no number"),
        (ROS_YAML.replace("438.783367", "0.0"), "not calibrated"),
        (ROS_YAML.replace("438.783367, ", ""), "no number"),
        (ROS_YAML.replace("plumb_bob", "thin_lens"), "unknown distortion_model 'thin_lens'"),
        (ROS_YAML.replace("image_width: 640", "image_width: 0"), "size must be positive"),
        ("{fx: 3, fy: 4, cx: 1}", "lacks 'cy'"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(CameraError, match=message) as caught:
        read_camera(path)
    assert "bad.yaml" in str(caught.value)


def test_missing_and_binary(tmp_path):
    with pytest.raises(CameraError, match="cannot read"):
        read_camera(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(bytes(np.arange(256, dtype=np.uint8)))
    with pytest.raises(CameraError):
        read_camera(tmp_path / "b.yaml")
