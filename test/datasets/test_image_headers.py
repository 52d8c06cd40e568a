"""Sizes from headers, whatever is before them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.image_headers import quick_image_size
from relpose_ros.errors import ImageError

PIXELS = np.random.default_rng(0).integers(0, 256, (31, 57, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
def test_size(tmp_path, suffix):
    file = tmp_path / f"image{suffix}"
    cv2.imwrite(str(file), PIXELS)
    assert quick_image_size(file) == (57, 31)


def test_jpeg_with_exif_thumbnail_and_padding(tmp_path):
    _, data = cv2.imencode(".jpg", PIXELS)
    _, thumbnail = cv2.imencode(".jpg", PIXELS[:8, :8])
    payload = b"Exif\0\0" + thumbnail.tobytes() + bytes(60000)
    segment = b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload
    progressive = cv2.imencode(".jpg", PIXELS, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    file = tmp_path / "image.jpg"
    file.write_bytes(b"\xff\xd8" + segment + b"\xff" + data.tobytes()[2:])
    assert quick_image_size(file) == (57, 31)
    file.write_bytes(progressive)
    assert quick_image_size(file) == (57, 31)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"nonsense"])
def test_what_is_no_image(tmp_path, data):
    file = tmp_path / "image.jpg"
    file.write_bytes(data)
    with pytest.raises(ImageError, match=r"image\.jpg"):
        quick_image_size(file)
    with pytest.raises(ImageError, match="none"):
        quick_image_size(tmp_path / "none.png")
