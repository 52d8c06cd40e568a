"""Sizes from headers, whatever is before them."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.image_files import read_depth, read_image
from relpose_ros.datasets.image_headers import quick_image_size
from relpose_ros.errors import ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.image_sizes import claimed_size
from relpose_ros.images import decode_image

sys.path.append(str(Path(__file__).parents[1]))
from hostile_images import CLAIMING, encoded, tiff  # type: ignore[import-not-found]

PIXELS = np.random.default_rng(0).integers(0, 256, (31, 57, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm"])
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


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tiff", ".ppm", ".pgm", ".pbm"])
def test_headers_and_decoder_agree(suffix):
    image = PIXELS[..., 0] if suffix in (".pgm", ".pbm") else PIXELS
    data = encoded(suffix, image)
    assert claimed_size(data) == (57, 31)
    assert decode_image(data, "image").shape[:2] == (31, 57)
    for end in range(min(len(data), 200)):
        assert claimed_size(data[:end]) in (None, (57, 31)), end


def test_a_turned_tiff_has_the_size_that_it_is_decoded_to():
    for orientation in range(1, 9):
        data = tiff(40, 24, orientation)
        height, width = decode_image(data, "turned").shape[:2]
        assert claimed_size(data) == (width, height)


def test_what_lies_between_the_segments_of_a_jpeg_is_skipped_as_decoders_do():
    data = encoded(".jpg")
    spoiled = data[:20] + b"\x07\x07\xff\0\x07" + data[20:]
    assert claimed_size(spoiled) == (40, 24) == decode_image(spoiled, "spoiled").shape[1::-1]


@pytest.fixture
def no_decoder(monkeypatch):
    """Whoever decodes takes what a header claims."""
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))


@pytest.mark.parametrize("kind", CLAIMING)
def test_a_few_bytes_that_claim_gigabytes_are_not_decoded(tmp_path, no_decoder, kind):
    side = 16000 if kind.startswith("webp") else 30000
    file = tmp_path / "claims.png"
    file.write_bytes(CLAIMING[kind](side, side))
    assert file.stat().st_size < 2000
    camera = Camera("pinhole", 500, 500, 320, 240, 640, 480)
    for read in (read_image, read_depth, quick_image_size, lambda f: read_image(f, camera)):
        with pytest.raises(
            ImageError, match=rf"at most 200 million pixels, got \d+ bytes that claim {side}x{side}"
        ):
            read(file)


def test_a_size_that_is_not_the_camera_s_is_not_decoded(tmp_path, no_decoder):
    file = tmp_path / "claims.jpg"
    file.write_bytes(CLAIMING["jpeg"](9000, 9000))
    with pytest.raises(ImageError, match="expected 640x480 pixels as its camera says, got 9000x9000"):
        read_image(file, Camera("pinhole", 500, 500, 320, 240, 640, 480))


def test_a_part_of_a_png_that_claims_gigabytes_is_not_decoded(no_decoder):
    """OpenCV makes room for what the length of a chunk says."""
    data = encoded(".png")
    at = data.index(b"IDAT") - 4
    claiming = data[:at] + b"\x7e\0\0\x33" + data[at + 4 :]
    with pytest.raises(ImageError, match="cannot decode"):
        decode_image(claiming, "claiming")


@pytest.mark.parametrize("data", [b"GIF89a" + bytes(300), tiff(640, 480, tile=16384), CLAIMING["bmp"](0, 5)])
def test_what_says_no_size_is_not_decoded(no_decoder, data):
    """Formats whose header is not read, tiles beyond the image, no pixels."""
    with pytest.raises(ImageError, match=r"expected an image \(PNG, JPEG, .*\), got \d+ bytes"):
        decode_image(data, "image")
