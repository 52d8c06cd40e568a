"""Camera models. Nothing else in the house knows about distortion.

Pixels count from the centre of the top-left pixel. Rays are on the plane z = 1 of OpenCV
camera axes (x right, y down, z forward).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import CameraError
from relpose_ros.geometry.distortion import MAX_RAY_ANGLE, Equidistant, Lens, NoLens, RadialTangential

Array = NDArray[np.float64]

DISTORTION_SIZES = {
    "pinhole": (0,),
    "plumb_bob": (4, 5),
    "rational_polynomial": (8,),
    "equidistant": (4,),
}
"""Distortion model (as `sensor_msgs/CameraInfo` names it) -> how many coefficients it may have."""


@dataclass(frozen=True)
class Camera:
    """A calibrated camera: model, focal lengths and principal point in pixels, size, distortion.

    `model` is one of `DISTORTION_SIZES`; `distortion` is in OpenCV order: k1 k2 p1 p2 [k3]
    (plumb_bob), k1 k2 p1 p2 k3 k4 k5 k6 (rational_polynomial), k1 k2 k3 k4 (equidistant).
    Raises CameraError when a number is missing, not finite, or cannot be a camera.
    """

    model: str
    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.model not in DISTORTION_SIZES:
            raise CameraError(
                f"unknown camera model {self.model!r}; expected one of {', '.join(DISTORTION_SIZES)}"
            )
        object.__setattr__(self, "distortion", tuple(float(d) for d in self.distortion))
        numbers = (self.fx, self.fy, self.cx, self.cy, *self.distortion)
        if not np.all(np.isfinite(numbers)):
            raise CameraError(f"camera has a value that is not finite: {numbers}")
        if self.fx <= 0 or self.fy <= 0:
            raise CameraError(
                f"focal lengths must be positive, got fx={self.fx:g} fy={self.fy:g}; "
                "an all-zero CameraInfo means that the driver is not calibrated"
            )
        if not (self.width >= 1 and self.height >= 1 and self.width % 1 == 0 and self.height % 1 == 0):
            raise CameraError(f"image size must be positive whole pixels, got {self.width}x{self.height}")
        if len(self.distortion) not in DISTORTION_SIZES[self.model]:
            raise CameraError(
                f"model {self.model!r} takes {DISTORTION_SIZES[self.model]} distortion coefficients, "
                f"got {len(self.distortion)}"
            )

    @property
    def matrix(self) -> Array:
        """Intrinsic matrix K (3, 3)."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1.0]])

    @property
    def focal(self) -> float:
        """Mean focal length in pixels: converts angles on z = 1 to pixels."""
        return 0.5 * (self.fx + self.fy)

    @property
    def ideal(self) -> Camera:
        """The pinhole camera with the same intrinsics and no distortion."""
        return replace(self, model="pinhole", distortion=())

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the same image resampled to another size (pixel centres kept aligned)."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self,
            fx=self.fx * sx,
            fy=self.fy * sy,
            cx=(self.cx + 0.5) * sx - 0.5,
            cy=(self.cy + 0.5) * sy - 0.5,
            width=int(width),
            height=int(height),
        )

    def cropped(self, x: int, y: int, width: int, height: int) -> Camera:
        """The camera of a region of interest whose top-left pixel is (x, y)."""
        return replace(self, cx=self.cx - x, cy=self.cy - y, width=int(width), height=int(height))

    def project(self, points: ArrayLike) -> Array:
        """Points in camera axes (N, 3) -> pixels (N, 2), also outside the image.

        NaN behind the camera, further than `MAX_RAY_ANGLE` from its axis, and where the
        distortion has stopped growing and would fold the point back into the image.
        """
        points = np.asarray(points, float).reshape(-1, 3)
        radius = np.hypot(points[:, 0], points[:, 1])
        visible = np.arctan2(radius, points[:, 2]) < MAX_RAY_ANGLE
        with np.errstate(divide="ignore", invalid="ignore"):
            rays = np.where(visible[:, None], points[:, :2] / points[:, 2:3], np.nan)
        return self._lens.distort(rays) * [self.fx, self.fy] + [self.cx, self.cy]

    def rays(self, pixels: ArrayLike) -> Array:
        """Pixels (N, 2) -> points (N, 2) on the plane z = 1; NaN where no such point exists."""
        pixels = np.asarray(pixels, float).reshape(-1, 2)
        return self._lens.undistort((pixels - [self.cx, self.cy]) / [self.fx, self.fy])

    def bearings(self, pixels: ArrayLike) -> Array:
        """Pixels (N, 2) -> unit vectors (N, 3) in camera axes."""
        rays = self.rays(pixels)
        homogeneous = np.concatenate([rays, np.ones((len(rays), 1))], axis=1)
        return np.asarray(homogeneous / np.linalg.norm(homogeneous, axis=1, keepdims=True))

    def ideal_pixels(self, pixels: ArrayLike) -> Array:
        """Pixels (N, 2) as the `ideal` pinhole camera would have seen them."""
        return self.rays(pixels) * [self.fx, self.fy] + [self.cx, self.cy]

    def contains(self, pixels: ArrayLike) -> NDArray[np.bool_]:
        """Which pixels (N, 2) lie in the image (NaN does not)."""
        x, y = np.asarray(pixels, float).reshape(-1, 2).T
        return (x >= -0.5) & (y >= -0.5) & (x < self.width - 0.5) & (y < self.height - 0.5)

    @cached_property
    def _lens(self) -> Lens:
        if self.model == "pinhole":
            return NoLens()
        if self.model == "equidistant":
            return Equidistant(self.distortion)
        return RadialTangential(self.distortion)
