"""What is replayed: a rosbag2 as it is, or the images of another source as a rosbag2 made of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from relpose_ros.datasets.bag_writer import BagFrame, write_bag
from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.open import open_source
from relpose_ros.datasets.rosbag import recognises

PERIOD = 0.1
"""Seconds between images whose source has no times."""


@contextmanager
def as_bag(path: Path, out: Path) -> Iterator[Path]:
    """The bag to play. One that is made of another source lies in `out`, until the block ends.

    Of a source with a query split, the queries; else all of its images. Raises DatasetError for what is no
    posed-image source.
    """
    if recognises(path):
        yield path
        return
    source = open_source(path)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".replay-", dir=out) as scratch:
        frames = frames_of(source.queries or source.images)
        yield write_bag(Path(scratch, "bag"), frames, metric=source.metric, licence=source.licence)


def frames_of(images: tuple[PosedImage, ...]) -> Iterator[BagFrame]:
    """The images at their stamps, or, where these do not increase, one every `PERIOD`."""
    stamps = np.array([image.stamp for image in images])
    if len(stamps) and (stamps[0] <= 0 or (np.diff(stamps) <= 0).any()):
        stamps = 1.0 + PERIOD * np.arange(len(stamps))  # 0 would count as no stamp
    for image, stamp in zip(images, stamps.tolist(), strict=True):
        yield BagFrame(stamp, image.load(), image.camera, image.map_from_camera)
