"""`sensor_msgs/CameraInfo` and its relatives -> `Camera`, without importing ROS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import CameraError
from relpose_ros.geometry.cameras import Camera

RADIAL_TANGENTIAL = ("plumb_bob", "rational_polynomial", "radtan", "opencv")
FISHEYE = ("equidistant", "fisheye", "kannala_brandt", "opencv_fisheye")
UNDISTORTED = ("", "none", "pinhole", "perspective")


@dataclass(frozen=True)
class _Region:
    x: int
    y: int
    width: int
    height: int


def camera_from_info(info: Any, *, rectified: bool = False) -> Camera:
    """The camera of the images that come with this `sensor_msgs/CameraInfo`.

    `info` is duck-typed: `k`/`K`, `d`/`D`, `p`/`P`, `width`, `height`, `distortion_model`, and
    where present `roi` and `binning_x/y`. As the message defines them, the calibration is that of
    the full sensor; the region of interest is in unbinned pixels; binning comes after it and merges
    whole neighbourhoods, so that pixel centres map by `(x + 0.5) / binning - 0.5`.
    With `rectified` the images are taken to be `image_rect`: intrinsics from P, no distortion.
    Raises CameraError for an uncalibrated, inconsistent or unsupported description.
    """
    width, height = int(info.width), int(info.height)
    if rectified:
        full = camera_from_calibration("", _matrix(_either(info, "p"), "P", (3, 4)), (), width, height)
    else:
        matrix, distortion = _matrix(_either(info, "k"), "K", (3, 3)), _numbers(_either(info, "d"), "D")
        full = camera_from_calibration(str(info.distortion_model), matrix, distortion, width, height)
    return _binned(_cropped(full, info), info)


def camera_from_calibration(
    distortion_model: str, matrix: ArrayLike, distortion: Sequence[float], width: int, height: int
) -> Camera:
    """A camera from a calibration in ROS/OpenCV terms.

    `matrix` is K (3, 3) or P (3, 4) in pixels; `distortion` is in OpenCV order and may be empty.
    Models without any distortion become `pinhole`. Raises CameraError when it cannot be a camera.
    """
    k = np.asarray(matrix, float)
    if k[0, 0] == 0 or k[1, 1] == 0:
        raise CameraError(
            "the focal length in the camera calibration is zero: the driver is not calibrated "
            "(run camera_calibration and load its YAML, or pass the camera yourself)"
        )
    if abs(k[0, 1]) > 1e-6 * abs(k[0, 0]):
        raise CameraError(
            f"expected a camera without skew, got K[0, 1] = {k[0, 1]:g}; recalibrate without it"
        )
    model, coefficients = _distortion(distortion_model, tuple(float(d) for d in distortion))
    return Camera(model, k[0, 0], k[1, 1], k[0, 2], k[1, 2], int(width), int(height), coefficients)


def _distortion(name: str, d: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    """Our model and coefficients for a distortion model as ROS names it."""
    key = name.strip().lower()
    if key in FISHEYE:
        if len(d) not in (0, 4):
            raise CameraError(f"model {name!r} takes 4 coefficients k1 k2 k3 k4, got {len(d)}: {d}")
        return "equidistant", d or (0.0,) * 4
    if key in UNDISTORTED and not any(d):
        return "pinhole", ()
    if key in RADIAL_TANGENTIAL:
        return _radial_tangential(name, d)
    if key in UNDISTORTED:
        raise CameraError(
            f"distortion_model {name!r} says nothing, but there are coefficients {d}; "
            "set it to plumb_bob, rational_polynomial or equidistant"
        )
    known = ", ".join((*RADIAL_TANGENTIAL[:2], FISHEYE[0]))
    raise CameraError(
        f"unknown distortion_model {name!r}; expected one of {known}. "
        "Use the driver's rectified image topic, or calibrate with one of these"
    )


def _radial_tangential(name: str, d: tuple[float, ...]) -> tuple[str, tuple[float, ...]]:
    """OpenCV's vectors of 0, 4, 5, 8, 12 or 14 coefficients are prefixes of one another."""
    if len(d) not in (0, 4, 5, 8, 12, 14):
        raise CameraError(f"model {name!r} takes 0, 4, 5, 8, 12 or 14 coefficients, got {len(d)}: {d}")
    if any(d[8:]):
        raise CameraError(
            f"model {name!r}: thin-prism or tilt coefficients {d[8:]} are not supported; "
            "recalibrate with 8 coefficients (CALIB_RATIONAL_MODEL) or use the rectified image"
        )
    if not any(d):
        return "pinhole", ()
    if any(d[5:8]):
        return "rational_polynomial", d[:8]
    return "plumb_bob", d[:5]


def _cropped(camera: Camera, info: Any) -> Camera:
    roi = _region(info, camera)
    return camera if roi is None else camera.cropped(roi.x, roi.y, roi.width, roi.height)


def _region(info: Any, camera: Camera) -> _Region | None:
    """The region of interest in unbinned pixels; None (all zeros) for the whole image."""
    roi = getattr(info, "roi", None)
    if roi is None:
        return None
    region = _Region(int(roi.x_offset), int(roi.y_offset), int(roi.width), int(roi.height))
    if region == _Region(0, 0, 0, 0):
        return None
    fits = region.x + region.width <= camera.width and region.y + region.height <= camera.height
    if min(region.width, region.height) <= 0 or min(region.x, region.y) < 0 or not fits:
        raise CameraError(
            f"region of interest {region.width}x{region.height} at ({region.x}, {region.y}) is not inside "
            f"the {camera.width}x{camera.height} image; CameraInfo gives it in unbinned pixels"
        )
    return region


def _binned(camera: Camera, info: Any) -> Camera:
    bx = max(int(getattr(info, "binning_x", 1)), 1)  # 0 means 1
    by = max(int(getattr(info, "binning_y", 1)), 1)
    if bx == 1 and by == 1:
        return camera
    width, height = camera.width // bx, camera.height // by
    # Resize a size that divides exactly: columns that fill no whole super-pixel are lost, not squeezed.
    whole = camera.cropped(0, 0, width * bx, height * by)
    return whole.resized(width, height)


def _either(info: Any, name: str) -> Any:
    """Field `k` of ROS 2 and rclpy messages, `K` of ROS 1 ones."""
    for candidate in (name, name.upper()):
        if hasattr(info, candidate):
            return getattr(info, candidate)
    raise CameraError(f"expected a CameraInfo with a field {name!r}, got {type(info).__name__} without it")


def _numbers(values: Any, name: str) -> tuple[float, ...]:
    try:
        return tuple(float(v) for v in values)
    except (TypeError, ValueError):
        raise CameraError(f"expected numbers in {name} of the camera calibration, got {values!r}") from None


def _matrix(values: Any, name: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    numbers = _numbers(np.ravel(values).tolist(), name)
    if len(numbers) != shape[0] * shape[1]:
        raise CameraError(f"expected {shape[0] * shape[1]} numbers in {name}, got {len(numbers)}")
    return np.array(numbers).reshape(shape)
