"""One posed image with what is known of its scene, as shards hold it.

image      (bytes,) uint8   a JPEG or PNG file
camera     (16,)    float64 model, fx, fy, cx, cy, width, height, number of distortion coefficients, those
pose       (4, 4)   float64 world_from_camera, less the origin of the set
depth      (bytes,) uint8   a PNG of 16 bits, 0 unknown; nothing where there is no depth
depth_step ()       float64 metres of one step of it
landmarks  (M, 3)   float32 points that this image sees, less the origin
semantics  (bytes,) uint8   a PNG of classes; nothing where there are none
domain     ()       int64   0 real, 1 simulated
number     ()       int64   which image of the set it is
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import Domain
from relpose_ros.errors import CameraError, DatasetError
from relpose_ros.geometry.cameras import DISTORTION_SIZES, Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.images import decode_image, imdecode
from relpose_training.data.scene_coordinate_augmentation import View
from relpose_training.data.shards import Sample

VARYING = ("image", "depth", "landmarks", "semantics")
DOMAINS: tuple[Domain, ...] = ("real", "simulated")
MODELS = tuple(DISTORTION_SIZES)
FINEST_STEP = 0.001
"""Metres: as fine as depth is stored; coarser where it is deeper than 65 m."""


@dataclass(frozen=True)
class StoredView:
    """A view whose image is still a file (`encoded`); `view.image` is empty."""

    encoded: bytes
    view: View
    domain: Domain
    number: int

    def sample(self) -> Sample:
        """As shards hold it. Raises DatasetError for a depth image that cannot be stored."""
        view = self.view
        landmarks = np.zeros((0, 3)) if view.landmarks is None else view.landmarks
        depth, step = (b"", FINEST_STEP) if view.depth is None else _encoded_depth(view.depth)
        return {
            "image": np.frombuffer(self.encoded, np.uint8),
            "camera": camera_numbers(view.camera),
            "pose": view.map_from_camera.matrix,
            "depth": np.frombuffer(depth, np.uint8),
            "depth_step": np.array(step),
            "landmarks": landmarks.astype(np.float32).reshape(-1, 3),
            "semantics": np.frombuffer(b"" if view.semantics is None else png(view.semantics), np.uint8),
            "domain": np.array(DOMAINS.index(self.domain), np.int64),
            "number": np.array(self.number, np.int64),
        }


def stored_view(sample: Sample, grey: bool = False, semantics: bool = True) -> View:
    """The view of a stored sample, decoded, without its `semantics` if they are not wanted.

    Raises ImageError or DatasetError for a broken one.
    """
    name = f"image {int(sample['number'])} of the set"
    landmarks, classes = sample["landmarks"], sample["semantics"]
    return View(
        image=decode_image(sample["image"].tobytes(), name, grey=grey),
        camera=camera_of(sample["camera"]),
        map_from_camera=Rigid.from_matrix(sample["pose"]),
        depth=_depth(sample["depth"], float(sample["depth_step"]), name),
        landmarks=landmarks.astype(np.float64) if len(landmarks) else None,
        semantics=_decoded(classes, np.uint8, name) if semantics and len(classes) else None,
    )


def camera_numbers(camera: Camera) -> NDArray[np.float64]:
    """A camera as 16 numbers."""
    out = np.zeros(16)
    head = (MODELS.index(camera.model), camera.fx, camera.fy, camera.cx, camera.cy, camera.width)
    out[:8] = (*head, camera.height, len(camera.distortion))
    out[8 : 8 + len(camera.distortion)] = camera.distortion
    return out


def camera_of(numbers: NDArray[np.float64]) -> Camera:
    """A camera from its 16 numbers. Raises DatasetError for numbers that are none."""
    try:
        model, width, height, count = (int(numbers[k]) for k in (0, 5, 6, 7))
        distortion = tuple(numbers[8 : 8 + count].tolist())
        fx, fy, cx, cy = numbers[1:5].tolist()
        return Camera(MODELS[model], fx, fy, cx, cy, width, height, distortion)
    except (CameraError, IndexError, ValueError, TypeError) as error:
        raise DatasetError(
            f"expected a stored camera, got {numbers}: {error}; prepare the set again"
        ) from None


def png(pixels: NDArray[Any]) -> bytes:
    """Pixels (H, W) or (H, W, 3), uint8 or uint16, as a PNG file."""
    import cv2

    done, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise DatasetError(f"cannot write {pixels.dtype} pixels {pixels.shape} as PNG")
    return data.tobytes()


def moved(view: View, origin: NDArray[np.float64]) -> View:
    """The view in a frame that begins at `origin` (3,), subtracted in float64."""
    pose = view.map_from_camera
    landmarks = None if view.landmarks is None else view.landmarks - origin
    return replace(view, map_from_camera=Rigid(pose.rotation, pose.translation - origin), landmarks=landmarks)


def _encoded_depth(depth: NDArray[np.float32]) -> tuple[bytes, float]:
    known = np.where(np.isfinite(depth) & (depth > 0), depth, 0)
    deepest = float(known.max(initial=0))
    step = max(FINEST_STEP, deepest / 65535)
    steps = np.where(known > 0, np.clip(np.rint(known / step), 1, 65535), 0)
    return png(steps.astype(np.uint16)), step


def _depth(data: NDArray[np.uint8], step: float, name: str) -> NDArray[np.float32] | None:
    if not len(data):
        return None
    return np.asarray(_decoded(data, np.uint16, name) * np.float32(step), np.float32)


def _decoded(data: NDArray[np.uint8], kind: type[np.generic], name: str) -> NDArray[Any]:
    import cv2

    pixels = imdecode(data.tobytes(), cv2.IMREAD_UNCHANGED, name)
    if pixels is None or pixels.dtype != kind or pixels.ndim != 2:
        raise DatasetError(
            f"{name}: expected a PNG of one channel, got something else; prepare the set again"
        )
    return pixels
