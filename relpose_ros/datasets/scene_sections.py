"""Folders that DSAC*'s set-up scripts and their descendants leave: rgb, poses, calibration, labels.

Files of one kind belong to those of another by their order when sorted, not by name; so their numbers must
agree. A calibration is the focal length at the image's size with the principal point at (W / 2, H / 2), or a
3x3 matrix. Portrait images are nothing special: the focal length is for the image as it is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.array_files import read_array
from relpose_ros.datasets.image_files import IMAGE_SUFFIXES, read_depth
from relpose_ros.datasets.image_headers import quick_image_size
from relpose_ros.datasets.text_files import read_text
from relpose_ros.errors import CameraError, DatasetError
from relpose_ros.geometry.cameras import Camera

Array = NDArray[np.float64]
PARTS = ("rgb", "poses", "calibration")


@dataclass(frozen=True)
class CoordinateFile:
    """A `PosedImage.load_coordinates`: a tensor (3, h, w), unknown where it is `invalid`.

    Invalid 0: all three are 0; otherwise: one of them is. With `corners`, a label is that of its cell's
    top-left pixel, and what is given is the mean of the four about the cell, where they are close together.
    """

    path: Path
    invalid: float = 0.0
    corners: bool = False

    def __call__(self) -> Array:
        """(h, w, 3) in the map, NaN where unknown. Raises DatasetError for a broken file."""
        stored = np.moveaxis(read_array(self.path, (3, None, None)), 0, 2).astype(np.float64)
        none = stored == self.invalid
        unknown = none.all(axis=2) if self.invalid == 0 else none.any(axis=2)
        stored[unknown | ~np.isfinite(stored).all(axis=2)] = np.nan
        return _between_corners(stored) if self.corners else stored


@dataclass(frozen=True)
class DepthMap:
    """A `PosedImage.load_depth`: 16-bit millimetres, or a tensor (h, w), (1, h, w) or (3, h, w) of camera
    coordinates; enlarged to the image's size by nearest neighbours. What is not above 0 is unknown."""

    path: Path
    camera: Camera

    def __call__(self) -> NDArray[np.float32]:
        """Metres (H, W), 0 where unknown. Raises ImageError or DatasetError for a broken file."""
        import cv2

        if self.path.suffix == ".png":
            metres = read_depth(self.path)
        else:
            array = read_array(self.path, (None, None), (1, None, None), (3, None, None))
            metres = array.reshape(-1, *array.shape[-2:])[-1].astype(np.float32)
        known = np.where(np.isfinite(metres) & (metres > 0), metres, 0).astype(np.float32)
        size = (self.camera.width, self.camera.height)
        return np.asarray(cv2.resize(known, size, interpolation=cv2.INTER_NEAREST_EXACT), np.float32)


def is_section(folder: Path) -> bool:
    """Whether a folder has images, poses and calibrations as these scripts leave them."""
    return all((folder / part).is_dir() for part in PARTS)


def section_files(folder: Path, kinds: Mapping[str, tuple[str, ...]]) -> dict[str, list[Path]]:
    """The files of rgb, poses, calibration and of those of `kinds` (folder -> suffixes) that are there.

    Sorted, one for each image. Raises DatasetError where numbers differ.
    """
    suffixes = {"rgb": IMAGE_SUFFIXES, "poses": (".txt",), "calibration": (".txt",), **kinds}
    found: dict[str, list[Path]] = {}
    for name, allowed in suffixes.items():
        inside = sorted((folder / name).iterdir()) if (folder / name).is_dir() else []
        found[name] = [path for path in inside if path.suffix.lower() in allowed]
        if name in PARTS and not found[name]:
            raise DatasetError(f"{folder / name}: expected files with {', '.join(allowed)}, found none")
    count = len(found["rgb"])
    for name, files in found.items():
        if files and len(files) != count:
            raise DatasetError(
                f"{folder}: {count} images in rgb, but {len(files)} files in {name}; they belong together by "
                "their order, so one for each is expected: set the scene up again, or remove the folder"
            )
    return {name: files for name, files in found.items() if files}


def read_calibration(path: Path, image: Path) -> Camera:
    """The camera of one image: a focal length, or K in nine numbers.

    Raises DatasetError for another content, ImageError for an image whose size cannot be read.
    """
    width, height = quick_image_size(image)
    try:
        numbers = [float(word) for word in read_text(path).split()]
        if len(numbers) == 1:
            return Camera("pinhole", numbers[0], numbers[0], width / 2, height / 2, width, height)
        if len(numbers) == 9 and numbers[1] == numbers[3] == numbers[6] == numbers[7] == 0 != numbers[8]:
            fx, fy, cx, cy = (numbers[k] / numbers[8] for k in (0, 4, 2, 5))
            return Camera("pinhole", fx, fy, cx, cy, width, height)
    except (ValueError, CameraError) as error:
        raise DatasetError(f"{path}: not a calibration: {error}") from error
    raise DatasetError(
        f"{path}: expected a focal length, or a matrix fx 0 cx 0 fy cy 0 0 1, got {len(numbers)} numbers"
    )


def _between_corners(corners: Array) -> Array:
    """What the middle of each cell sees, from its corners; NaN at a rim, an edge or beside an unknown."""
    around = np.stack([corners[:-1, :-1], corners[:-1, 1:], corners[1:, :-1], corners[1:, 1:]])
    apart = np.linalg.norm(around - around.mean(axis=0), axis=-1).max(axis=0)
    steps = np.linalg.norm(around[[1, 2]] - around[0], axis=-1)
    smooth = apart <= 4 * np.nanmedian(steps) if np.isfinite(steps).any() else np.zeros(apart.shape, bool)
    out = np.full(corners.shape, np.nan)
    out[:-1, :-1] = np.where(smooth[..., None], around.mean(axis=0), np.nan)
    return out
