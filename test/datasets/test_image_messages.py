"""Image messages of every encoding, and broken ones."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.image_messages import LAYOUTS, image_from_message
from relpose_ros.errors import ImageError


def message(encoding, pixels, pad=0, big=False, **changes):
    """A sensor_msgs/Image of these values, each row padded by `pad` bytes."""
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    padded = np.pad(rows, ((0, 0), (0, pad)), constant_values=77)
    fields = {"encoding": encoding, "height": height, "width": width, "step": padded.shape[1],
              "is_bigendian": big, "data": padded.reshape(-1)}  # fmt: skip
    return SimpleNamespace(**(fields | changes))


@pytest.mark.parametrize("pad", [0, 5])
def test_plain_encodings(make_image, pad):
    colour, grey = make_image(1), make_image(1, grey=True)
    opaque = cv2.cvtColor(colour, cv2.COLOR_BGR2BGRA)
    cases = {
        "bgr8": colour, "rgb8": colour[..., ::-1], "bgra8": opaque,
        "rgba8": cv2.cvtColor(colour, cv2.COLOR_BGR2RGBA),
        "8UC3": colour, "8UC4": opaque,
    }  # fmt: skip
    for encoding, pixels in cases.items():
        assert np.array_equal(image_from_message(message(encoding, pixels, pad), "x"), colour), encoding
    for encoding in ("mono8", "8UC1"):
        assert np.array_equal(image_from_message(message(encoding, grey, pad), "x"), grey)


@pytest.mark.parametrize("big", [True, False])
def test_16_bit_is_scaled(big):
    values = np.array([[0, 257, 65535]], ">u2" if big else "<u2")
    assert image_from_message(message("mono16", values, big=big), "x").tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_finds_the_red(pattern):
    """A picture that is only red: its mosaic is bright where the pattern says r."""
    mosaic = np.zeros((16, 16), np.uint8)
    at = pattern.index("r")
    mosaic[at // 2 :: 2, at % 2 :: 2] = 200
    image = image_from_message(message(f"bayer_{pattern}8", mosaic), "x")[4:12, 4:12]
    assert image[..., 2].mean() > 150 and image[..., :2].max() == 0


def test_yuv():
    uyvy = np.tile(np.array([128, 90], np.uint8), (4, 6, 1))
    yuyv = uyvy[..., ::-1]
    one = image_from_message(message("uyvy", uyvy), "x")
    other = image_from_message(message("yuv422_yuy2", yuyv), "x")
    assert one.shape == (4, 6, 3) and np.array_equal(one, other)
    assert np.ptp(one, axis=2).max() <= 2  # no colour in it


def test_every_encoding_of_the_table_gives_a_picture():
    for encoding, (size, channels, _) in LAYOUTS.items():
        shape = (8, 8) if channels == 1 else (8, 8, channels)
        pixels = np.zeros(shape, np.uint8 if size == 1 else np.uint16)
        image = image_from_message(message(encoding.upper(), pixels), "x")
        assert image.dtype == np.uint8 and image.shape in ((8, 8), (8, 8, 3))


def test_compressed(make_image):
    data = np.frombuffer(cv2.imencode(".png", make_image(2))[1].tobytes(), np.uint8)
    compressed = SimpleNamespace(format="png", data=data)
    assert np.array_equal(image_from_message(compressed, "x"), make_image(2))
    compressed.data = data[:50]
    with pytest.raises(ImageError, match="cut off"):
        image_from_message(compressed, "x")
    with pytest.raises(ImageError, match="depth image"):
        image_from_message(SimpleNamespace(format="16UC1; compressedDepth", data=data), "x")


@pytest.mark.parametrize(
    "changes",
    [{"step": 10}, {"height": 0}, {"width": 0}, {"height": 10**6}, {"data": np.zeros(0, np.uint8)},
     {"data": np.zeros(100, np.uint8)}, {"encoding": "32FC1"}, {"encoding": "16UC1"}, {"encoding": ""}],
)  # fmt: skip
def test_broken_messages_are_refused(make_image, changes):
    broken = message("bgr8", make_image(0))
    vars(broken).update(changes)
    with pytest.raises(ImageError, match="topic: "):
        image_from_message(broken, "topic")


def test_a_last_row_without_padding_is_enough(make_image):
    padded = message("bgr8", make_image(0), pad=4)
    padded.data = padded.data[:-4]
    assert np.array_equal(image_from_message(padded, "x"), make_image(0))
