"""A frame to warm up with: a robot's first one must not wait for lazy imports and first allocations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from relpose_ros.geometry.cameras import Camera
from relpose_ros.types import Frame

PLAIN = Camera("plumb_bob", 500.0, 500.0, 320.0, 240.0, 640, 480, (0.0, 0.0, 0.0, 0.0))
"""Where nobody knows the camera yet."""


def synthetic_frame(camera: Camera | None = None) -> Frame:
    """Blobs of noise, always the same: every stage has something to do, and it is nowhere at all."""
    import cv2

    camera = camera or PLAIN
    noise = np.random.default_rng(0).integers(0, 256, (camera.height, camera.width), np.uint8)
    image = cv2.equalizeHist(cv2.GaussianBlur(noise, (0, 0), 2.0))
    return Frame(np.asarray(image, np.uint8), camera, source="warm-up")


def camera_of(map_: Any) -> Camera | None:
    """The camera of a map's first reference."""
    cameras: Sequence[Camera] = getattr(map_, "cameras", ())
    return cameras[0] if len(cameras) else None
