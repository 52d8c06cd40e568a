"""Image bytes -> pixels, and every way in which a file can be bad."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.image_files import ImageFile, depth_loader, read_depth, read_image
from relpose_ros.errors import ImageError
from relpose_ros.images import decode_image


@pytest.mark.parametrize("grey", [True, False])
def test_lossless_files_come_back(tmp_path, save_image, grey):
    written = save_image(tmp_path / "a.png", 1, grey=grey)
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.uint8 and read.flags.c_contiguous
    assert np.array_equal(read, written)


def test_16_bit_and_transparent_pictures_become_8_bit(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((4, 5), 40000, np.uint16))
    assert read_image(tmp_path / "a.png").dtype == np.uint8
    cv2.imwrite(str(tmp_path / "b.png"), np.full((4, 5, 4), 200, np.uint8))
    assert read_image(tmp_path / "b.png").shape == (4, 5, 3)


def test_exif_orientation_is_ignored(make_image):
    """A calibration speaks of the stored pixels; a turned picture would not fit it."""
    jpeg = cv2.imencode(".jpg", make_image(3))[1].tobytes()
    exif = b"Exif\0\0" + b"II*\0\x08\0\0\0" + struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    turned = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    by_default = cv2.imdecode(np.frombuffer(turned, np.uint8), cv2.IMREAD_COLOR)
    assert by_default is not None and by_default.shape[:2] == (32, 24)  # OpenCV would turn it
    assert np.array_equal(decode_image(turned, "turned"), decode_image(jpeg, "plain"))


def encoded(kind: str) -> bytes:
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return cv2.imencode(kind, image)[1].tobytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"<html>not found</html>", "cannot decode"),
        (encoded(".jpg")[:-400], "cut off"),
        (encoded(".png")[:-400], "cut off"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 200 + b"IEND\xaeB`\x82", "cannot decode"),
        (b"\xff\xd8" + b"\xff\xda" + b"\0" * 50 + b"\xff\xd9", "cannot decode"),
    ],
    ids=["zero bytes", "html", "cut JPEG", "cut PNG", "corrupt PNG", "corrupt JPEG"],
)
def test_bad_bytes_are_refused(tmp_path, data, message):
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_cut_file_with_a_thumbnail_is_seen(make_image):
    """The thumbnail's own end marker must not pass for the picture's."""
    jpeg = encoded(".jpg")
    thumbnail = b"Exif\0\0" + cv2.imencode(".jpg", make_image(0))[1].tobytes()
    whole = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + jpeg[2:]
    assert decode_image(whole, "whole").shape == (64, 64, 3)
    with pytest.raises(ImageError, match="cut off"):
        decode_image(whole[:-500], "cut")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ImageError, match="cannot read the image"):
        read_image(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="cannot read the image"):
        ImageFile(tmp_path)()


def test_depth(tmp_path):
    raw = np.array([[0, 5000], [65535, 2500]], np.uint16)
    cv2.imwrite(str(tmp_path / "d.png"), raw)
    depth = read_depth(tmp_path / "d.png", 5000.0, 65535)
    assert depth.tolist() == [[0, 1], [0, 0.5]]
    assert depth_loader(tmp_path / "none.png") is None
    cv2.imwrite(str(tmp_path / "c.png"), np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ImageError, match="one-channel 16-bit"):
        read_depth(tmp_path / "c.png")
