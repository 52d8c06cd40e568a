"""A posed image of a source as it is stored: the image's file, and what its source knows of the scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.images import read_bytes
from relpose_ros.resampling import resize_bilinear, short_side_size
from relpose_training.data.scene_coordinate_augmentation import View
from relpose_training.data.scene_storage import StoredView, moved, png

Array = NDArray[np.float64]
Labels = Literal["auto", "depth", "landmarks", "coordinates", "none"]
Landmarks = Callable[[PosedImage], Array | None]
"""The points (M, 3) in the map that an image sees; None for an image it does not know."""

DENSE = 0.5
"""A coordinate map of which this share is known is a surface; one with less is single landmarks."""
STORED_FILES = (b"\xff\xd8", b"\x89PNG")
"""How the files begin that are stored as they are."""


@dataclass(frozen=True)
class SceneOptions:
    """How a scene is stored.

    `largest`: short side in pixels above which images are reduced (0: never); `jpeg`: quality of images that
    are not JPEG or PNG files already, 0 for PNG; `labels`: what the scene is known by: "auto" takes depth,
    else landmarks, else coordinates, else nothing. Raises ConfigurationError out of range.
    """

    largest: int = 720
    jpeg: int = 95
    labels: Labels = "auto"

    def __post_init__(self) -> None:
        if self.largest < 0 or not 0 <= self.jpeg <= 100:
            raise ConfigurationError(f"expected a size of 0 or more and a JPEG quality 0..100, got {self}")


def encoded_view(
    image: PosedImage, number: int, origin: Array, options: SceneOptions, landmarks: Landmarks | None = None
) -> StoredView:
    """The image with its labels, in a frame that begins at `origin` (3,).

    Raises DatasetError for an image without a pose, ImageError for a broken file.
    """
    if image.map_from_camera is None:
        raise DatasetError(f"{image.name}: expected an image with a pose; leave it out")
    encoded, camera = _encoded(image, options)
    view = View(np.zeros((0, 0), np.uint8), camera, image.map_from_camera)
    view = moved(_labelled(view, image, options.labels, landmarks), origin)
    if image.load_semantics is not None:
        view = replace(view, semantics=image.load_semantics())
    return StoredView(encoded, view, image.domain, number)


def _encoded(image: PosedImage, options: SceneOptions) -> tuple[bytes, Camera]:
    """The image's file and the camera of its pixels. A file is kept as it is, unless it is too large."""
    camera = image.camera
    large = options.largest and min(camera.width, camera.height) > options.largest
    pixels = image.load()  # also of a file that is kept: a broken one is noticed now
    if pixels.shape[:2] != (camera.height, camera.width):
        raise DatasetError(
            f"{image.name}: expected {camera.width}x{camera.height} pixels as its camera says, got "
            f"{pixels.shape[1]}x{pixels.shape[0]}; give the calibration of this size"
        )
    if isinstance(image.load, ImageFile) and not large:
        data = read_bytes(image.load.path)
        if data.startswith(STORED_FILES):
            return data, camera
    if large:
        height, width = short_side_size(camera.height, camera.width, options.largest)
        pixels, camera = resize_bilinear(pixels, height, width), camera.resized(width, height)
    return image_file(pixels, options.jpeg, image.name), camera


def image_file(pixels: NDArray[np.uint8], quality: int, name: str) -> bytes:
    """Pixels as a JPEG file of that quality, or as PNG (0)."""
    if not quality:
        return png(pixels)
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DatasetError(f"{name}: cannot write {pixels.shape} pixels as JPEG")
    return data.tobytes()


def _labelled(view: View, image: PosedImage, labels: Labels, landmarks: Landmarks | None) -> View:
    """The view with the first thing that is known of it, in the map's frame."""
    if image.load_depth is not None and labels in ("auto", "depth"):
        return replace(view, depth=image.load_depth())
    points = landmarks(image) if landmarks is not None and labels in ("auto", "landmarks") else None
    if points is not None:
        return replace(view, landmarks=points)
    if image.load_coordinates is not None and labels in ("auto", "coordinates"):
        return _with_coordinates(view, image.load_coordinates())
    return view


def _with_coordinates(view: View, coordinates: Array) -> View:
    """A coordinate map (h, w, 3) as the depth image that it is, or as landmarks if it is sparse."""
    known = np.isfinite(coordinates).all(axis=2)
    if known.mean() < DENSE:
        return replace(view, landmarks=coordinates[known])
    metres = view.map_from_camera.inverse().apply(coordinates.reshape(-1, 3))[:, 2].reshape(known.shape)
    return replace(view, depth=np.where(known, metres, 0).astype(np.float32))
