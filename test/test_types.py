"""The nouns refuse what they cannot mean, and print as plain types."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from relpose_ros.errors import ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Frame, Localization, State

CAMERA = Camera("pinhole", 60.0, 60.0, 31.5, 23.5, 64, 48)


@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 3)])
def test_grey_and_bgr_are_frames(shape: tuple[int, ...]) -> None:
    frame = Frame(np.zeros(shape, np.uint8), CAMERA, 1.5, "a.png")
    assert frame.stamp == 1.5 and frame.source == "a.png"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64), np.float32),
        np.zeros((48, 64), np.uint16),
        np.zeros((0, 64), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 1), np.uint8),
        np.zeros((2, 48, 64, 3), np.uint8),
        np.zeros(64, np.uint8),
    ],
)
def test_what_is_not_an_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"left\.png: expected a non-empty uint8 image"):
        Frame(image, CAMERA, source="left.png")


def test_the_camera_of_another_size_is_refused_and_resizing_offered() -> None:
    with pytest.raises(ImageError, match=r"32x24.*64x48.*resized\(32, 24\)"):
        Frame(np.zeros((24, 32), np.uint8), CAMERA)


def test_read(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (48, 64)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    frame = Frame.read(tmp_path / "a.png", CAMERA, 2.0)
    np.testing.assert_array_equal(frame.image, image)
    assert (frame.source, frame.stamp) == ("a.png", 2.0)


@pytest.mark.parametrize("content", [None, b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=r"broken\.png"):
        Frame.read(path, CAMERA)


def test_json_is_plain_with_and_without_a_pose() -> None:
    lost = Localization(State.UNLOCALIZED, "blank", source="a.png").to_json()
    assert lost["map_from_camera"] is None and lost["covariance"] is None and lost["state"] == "unlocalized"
    found = Localization(
        State.LOCALIZED,
        map_from_camera=Rigid.identity(),
        covariance=np.eye(6),
        confidence=np.float64(0.5),
        inliers=np.int64(3),
    )
    read = json.loads(json.dumps(found.to_json()))
    assert read["map_from_camera"] == {"translation": [0, 0, 0], "rotation_xyzw": [0, 0, 0, 1]}
    assert np.array(read["covariance"]).reshape(6, 6).tolist() == np.eye(6).tolist()
    assert found.has_pose and not Localization(State.UNLOCALIZED).has_pose
