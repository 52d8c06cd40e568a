"""Any `Source` -> a rosbag2, so that folders of images can be played to nodes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.bag_writer import BagFrame, write_bag
from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.errors import DatasetError

START = 1_700_000_000.0
"""Stamp in seconds of the first frame of a source without stamps."""


def source_to_bag(
    source: Source,
    split: Split | None,
    path: str | Path,
    rate_hz: float = 10.0,
    *,
    compressed: bool = False,
    **options: Any,
) -> Path:
    """Write the images of one split (None: all) as a rosbag2; other options are those of `write_bag`.

    Frames keep their stamps where the source has increasing ones, and get stamps at `rate_hz` otherwise.
    JPEG and PNG files go into a `compressed` bag byte for byte. Raises DatasetError for an empty split.
    """
    images = [image for image in source.images if split in (None, image.split)]
    if not images:
        raise DatasetError(f"{source.name}: no {split or ''} images to write into a bag")
    frames = _frames(images, stamps_for(images, rate_hz), compressed)
    return write_bag(
        path, frames, compressed=compressed, metric=source.metric, licence=source.licence, **options
    )


def stamps_for(images: Sequence[PosedImage], rate_hz: float) -> list[float]:
    """Seconds for each image: its own stamps if they are positive and increase, else a steady rate."""
    if rate_hz <= 0:
        raise DatasetError(f"expected a rate above 0 Hz, got {rate_hz}")
    own = [image.stamp for image in images]
    if own[0] > 0 and all(later > earlier for earlier, later in itertools.pairwise(own)):
        return own
    return [START + index / rate_hz for index in range(len(images))]


def _frames(images: Sequence[PosedImage], stamps: Sequence[float], compressed: bool) -> Iterator[BagFrame]:
    for image, stamp in zip(images, stamps, strict=True):
        pixels = _file_bytes(image) if compressed else None
        yield BagFrame(stamp, pixels or image.load(), image.camera, image.map_from_camera)


def _file_bytes(image: PosedImage) -> NDArray[np.uint8] | bytes | None:
    """The file as it lies on disk, if a CompressedImage may carry it; checked by decoding it once."""
    load = image.load
    if isinstance(load, ImageFile) and load.path.suffix.lower() in (".jpg", ".jpeg", ".png"):
        load()
        return load.path.read_bytes()
    return None
