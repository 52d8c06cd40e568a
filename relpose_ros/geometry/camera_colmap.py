"""COLMAP camera models -> `Camera`.

COLMAP counts pixels from the corner of the image, we from pixel centres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relpose_ros.errors import CameraError
from relpose_ros.geometry.cameras import Camera

# Model number (COLMAP's models.h), parameters, and our model with the indices of
# fx fy cx cy and of the distortion coefficients (-1: zero) in COLMAP's parameters.
_MODELS: dict[str, tuple[int, int, str, tuple[int, ...], tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": (0, 3, "pinhole", (0, 0, 1, 2), ()),
    "PINHOLE": (1, 4, "pinhole", (0, 1, 2, 3), ()),
    "SIMPLE_RADIAL": (2, 4, "plumb_bob", (0, 0, 1, 2), (3, -1, -1, -1)),
    "RADIAL": (3, 5, "plumb_bob", (0, 0, 1, 2), (3, 4, -1, -1)),
    "OPENCV": (4, 8, "plumb_bob", (0, 1, 2, 3), (4, 5, 6, 7)),
    "OPENCV_FISHEYE": (5, 8, "equidistant", (0, 1, 2, 3), (4, 5, 6, 7)),
    "FULL_OPENCV": (6, 12, "rational_polynomial", (0, 1, 2, 3), (4, 5, 6, 7, 8, 9, 10, 11)),
    "SIMPLE_RADIAL_FISHEYE": (8, 4, "equidistant", (0, 0, 1, 2), (3, -1, -1, -1)),
    "RADIAL_FISHEYE": (9, 5, "equidistant", (0, 0, 1, 2), (3, 4, -1, -1)),
}

MODEL_NAMES: dict[int, str] = {entry[0]: name for name, entry in _MODELS.items()}
"""COLMAP's number of a model (as cameras.bin has it) -> its name."""

PARAMETER_COUNTS: dict[str, int] = {name: entry[1] for name, entry in _MODELS.items()}
"""Model name -> number of parameters."""


def camera_from_colmap(model: str, width: int, height: int, parameters: Sequence[float]) -> Camera:
    """A camera from COLMAP's model name, size and parameters (in COLMAP's order).

    The principal point moves by half a pixel to our convention. Models without any distortion become
    `pinhole`. Raises CameraError for an unsupported model or a wrong number of parameters.
    """
    if model not in _MODELS:
        raise CameraError(
            f"COLMAP camera model {model!r} is not supported; expected one of {', '.join(_MODELS)}. "
            "Undistort the images (colmap image_undistorter) or refit with OPENCV"
        )
    _, count, ours, intrinsics, coefficients = _MODELS[model]
    if len(parameters) != count:
        raise CameraError(f"COLMAP camera model {model} takes {count} parameters, got {len(parameters)}")
    padded = [*(float(p) for p in parameters), 0.0]  # index -1 is the zero
    fx, fy, cx, cy = (padded[i] for i in intrinsics)
    distortion = tuple(padded[i] for i in coefficients)
    if ours != "equidistant" and not np.any(distortion):
        ours, distortion = "pinhole", ()
    return Camera(ours, fx, fy, cx - 0.5, cy - 0.5, int(width), int(height), distortion)
