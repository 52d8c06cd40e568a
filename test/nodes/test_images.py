"""Images at the door, against images that were put into messages the other way."""

from __future__ import annotations

import sys
import types

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from relpose_ros.errors import ImageError
from relpose_ros.nodes import images
from relpose_ros.nodes.images import image_from_message

RNG = np.random.default_rng(3)
COLOUR = cv2.GaussianBlur(RNG.integers(0, 256, (24, 32, 3), dtype=np.uint8), (0, 0), 4)
GREY = RNG.integers(0, 256, (24, 32), dtype=np.uint8)


def message(array, encoding, padding=0, big_endian=False):
    rows = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)
    rows = np.concatenate([rows, np.full((len(rows), padding), 77, np.uint8)], axis=1)
    out = Image(height=array.shape[0], width=array.shape[1], encoding=encoding, step=rows.shape[1])
    out.is_bigendian, out.data = int(big_endian), rows.tobytes()
    return out


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize(
    ("array", "encoding", "expected"),
    [
        (GREY, "mono8", GREY),
        (GREY, "8UC1", GREY),
        (COLOUR, "bgr8", COLOUR),
        (COLOUR, "8UC3", COLOUR),
        (COLOUR[..., ::-1], "rgb8", COLOUR),
        (np.dstack([COLOUR, GREY]), "bgra8", COLOUR),
        (np.dstack([COLOUR[..., ::-1], GREY]), "rgba8", COLOUR),
    ],
)
def test_exact_encodings(array, encoding, expected, padding):
    assert np.array_equal(image_from_message(message(array, encoding, padding)), expected)


@pytest.mark.parametrize("big_endian", [False, True])
def test_16_bits_scale_to_8(big_endian):
    wide = (GREY.astype(np.uint16) * 257).astype(">u2" if big_endian else "<u2")
    assert np.array_equal(image_from_message(message(wide, "mono16", 4, big_endian)), GREY)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("rggb", "RGGB"), ("bggr", "BGGR"), ("gbrg", "GBRG"), ("grbg", "GRBG")],
)
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer(name, pattern, bits):
    channel = {"B": 0, "G": 1, "R": 2}
    mosaic = np.zeros((24, 32), np.uint8)
    for place, letter in enumerate(pattern):
        y, x = divmod(place, 2)
        mosaic[y::2, x::2] = COLOUR[y::2, x::2, channel[letter]]
    if bits == 16:
        mosaic = mosaic.astype(np.uint16) * 257  # type: ignore[assignment]
    found = image_from_message(message(mosaic, f"bayer_{name}{bits}"))
    inner = np.s_[2:-2, 2:-2]
    assert np.abs(found[inner].astype(int) - COLOUR[inner]).mean() < 4


@pytest.mark.parametrize(("encoding", "luma"), [("uyvy", 1), ("yuv422", 1), ("yuyv", 0), ("yuv422_yuy2", 0)])
def test_yuv(encoding, luma):
    packed = np.full((24, 32, 2), 128, np.uint8)  # no colour
    packed[..., luma] = 16 + GREY // 2
    found = image_from_message(message(packed, encoding))
    assert found.shape == (24, 32, 3)
    assert np.abs(found.astype(int).mean(axis=2) - (GREY // 2) * (255 / 219)).max() < 3


def test_an_odd_width_cannot_be_yuv():
    with pytest.raises(ImageError, match="31x24"):
        image_from_message(message(np.zeros((24, 31, 2), np.uint8), "uyvy"))


@pytest.mark.parametrize("image", [GREY, COLOUR])
def test_compressed(image):
    found = image_from_message(CompressedImage(format="png", data=cv2.imencode(".png", image)[1].tobytes()))
    assert np.array_equal(found, image)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (message(np.zeros((4, 4), np.float32) * np.nan, "32FC1"), "depth or float"),
        (message(np.zeros((4, 4), np.uint16), "16UC1"), "depth or float"),
        (message(GREY, "nonsense"), "nonsense"),
        (message(GREY, "bgr8"), "broken"),
        (Image(encoding="mono8"), "empty"),
        (Image(encoding="mono8", height=2**32 - 1, width=2**32 - 1, step=2**32 - 1, data=b"1"), "broken"),
        (CompressedImage(format="jpeg"), "empty"),
        (CompressedImage(format="jpeg", data=b"no image"), "decode"),
        (CompressedImage(format="jpeg", data=cv2.imencode(".jpg", COLOUR)[1].tobytes()[:300]), "cut off"),
        (CompressedImage(format="16UC1; png compressed", data=b"1234"), "depth or float"),
        (CompressedImage(format="16UC1; compressedDepth png", data=b"1234"), "depth"),
    ],
)
def test_what_is_no_picture(wrong, words):
    with pytest.raises(ImageError, match=words):
        image_from_message(wrong, "/camera/image")


@pytest.fixture
def robot_with_cv_bridge(monkeypatch):
    """A cv_bridge that answers with a marked image, or fails."""

    class CvBridgeError(TypeError):
        pass

    class CvBridge:
        def imgmsg_to_cv2(self, message, desired_encoding):
            if message.encoding == "strange":
                raise CvBridgeError("unknown")
            shape = (message.height, message.width) + (() if desired_encoding == "mono8" else (3,))
            return np.full(shape, 42, np.uint8)

    module = types.ModuleType("cv_bridge")
    module.CvBridge, module.CvBridgeError = CvBridge, CvBridgeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cv_bridge", module)
    monkeypatch.setattr(images, "has_cv_bridge", lambda: True)


def test_cv_bridge_is_used_where_it_is(robot_with_cv_bridge):
    assert (image_from_message(message(COLOUR, "rgb8")) == 42).all()
    assert image_from_message(message(GREY, "mono8")).shape == GREY.shape
    with pytest.raises(ImageError, match="unknown"):
        image_from_message(message(GREY, "strange"))
    with pytest.raises(ImageError, match="broken"):
        image_from_message(Image(encoding="rgb8", height=9, width=9, step=27, data=b"123"))


def test_the_cv_bridge_of_pypi_is_not_taken_for_the_robot_s():
    images.has_cv_bridge.cache_clear()
    assert not images.has_cv_bridge()


@pytest.mark.skipif(not images.has_cv_bridge(), reason="needs the cv_bridge of a ROS installation")
@pytest.mark.parametrize("encoding", ["mono8", "rgb8", "bgr8", "bgra8", "rgba8"])
def test_both_conversions_agree(encoding):
    channels = {"mono8": 1, "rgb8": 3, "bgr8": 3}.get(encoding, 4)
    array = RNG.integers(0, 256, (24, 32, channels), dtype=np.uint8).squeeze()
    ours = images.image_messages.image_from_message(message(array, encoding), "ours")
    assert np.array_equal(images.by_cv_bridge(message(array, encoding), "theirs"), ours)
