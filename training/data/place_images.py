"""Images as a place recognition set keeps them: files, no larger than retrieval needs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.errors import ConfigurationError
from relpose_ros.images import read_bytes
from relpose_ros.resampling import resize_short_side
from relpose_training.data.scene_encoding import STORED_FILES, image_file

Load = Callable[[], NDArray[np.uint8]]
SUFFIXES = {STORED_FILES[0]: ".jpg", STORED_FILES[1]: ".png"}


@dataclass(frozen=True)
class ImageOptions:
    """`largest`: short side in pixels above which images are reduced (0: never); `jpeg`: quality of images
    that are no files yet or are reduced, 0 for PNG. Raises ConfigurationError out of range."""

    largest: int = 480
    jpeg: int = 95

    def __post_init__(self) -> None:
        if self.largest < 0 or not 0 <= self.jpeg <= 100:
            raise ConfigurationError(f"expected a size of 0 or more and a JPEG quality 0..100, got {self}")


def store_image(load: Load, path: Path, options: ImageOptions) -> Path:
    """Write what `load` gives to `path`, with the ending that fits; whole or not at all.

    An image that is there already is kept. JPEG and PNG files that need not be reduced are copied. Raises
    ImageError for a broken one.
    """
    there = [path.with_name(path.name + suffix) for suffix in SUFFIXES.values()]
    for file in there:
        if file.is_file():
            return file
    data = _encoded(load, str(path), options)
    suffix = next(suffix for start, suffix in SUFFIXES.items() if data.startswith(start))
    file = path.with_name(path.name + suffix)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_bytes(data)
    part.replace(file)
    return file


def _encoded(load: Load, name: str, options: ImageOptions) -> bytes:
    pixels = load()  # also of a file that is copied: a broken one is noticed now
    large = options.largest and min(pixels.shape[:2]) > options.largest
    if isinstance(load, ImageFile) and not large:
        data = read_bytes(load.path)
        if data.startswith(STORED_FILES):
            return data
    if large:
        pixels = resize_short_side(pixels, options.largest)
    return image_file(pixels, options.jpeg, name)
