"""From the ideal picture to what a camera on a moving robot delivers. Seeded by frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.light_maps import AMBIENT, AMBIENT_X, DAYLIGHT, EMISSION, FIRST_LAMP
from relpose_ros.datasets.simulate.options import SensorOptions
from relpose_ros.datasets.simulate.renderer import Rendering
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]
AnyImage = NDArray[np.integer[Any] | np.floating[Any]]
"""What OpenCV's stubs say its functions take and give."""

READ_NOISE = 1.2
SHOT_NOISE = 0.022
"""Variance = READ_NOISE^2 + SHOT_NOISE * grey level, in grey levels of 255."""
NOISE_MARGIN = 509
MOST_TAPS = 7
GREY = 118.0
"""Mean grey level that the exposure aims at."""
WARM, COOL = np.array([0.82, 0.97, 1.08]), np.array([1.12, 1.0, 0.9])
"""BGR of lamps and of daylight."""


@dataclass(frozen=True)
class Weather:
    """How a drive's light wanders: smooth functions of time, random by drive."""

    appearance: str
    amount: float
    phases: NDArray[np.float64]
    speeds: NDArray[np.float64]

    @classmethod
    def drawn(cls, appearance: str, amount: float, rng: Generator) -> Weather:
        """Draw the light of one drive; periods are 10 to 60 s. `amount` 0 keeps it constant."""
        return cls(appearance, amount, rng.uniform(0, 2 * np.pi, 16), 2 * np.pi / rng.uniform(10, 60, 16))

    def wave(self, k: int, time: float) -> float:
        """A slow wave in [-amount, amount]."""
        return self.amount * float(np.sin(self.phases[k] + self.speeds[k] * time))

    def light(self, channels: int, time: float) -> Floats:
        """Weights (channels, 3) of the world's light maps, BGR."""
        weights = np.zeros((channels, 3))
        weights[EMISSION] = 0.95
        # Appearance b is lit evenly, as synthetic pictures are; a by its lamps and windows.
        even = 0.75 if self.appearance == "b" else 0.38
        weights[AMBIENT] = even * (1 + 0.15 * self.wave(0, time))
        for k in (0, 1):
            weights[AMBIENT_X + k] = 0.12 * (1 + self.wave(1 + k, time))
        strength = 0.3 if self.appearance == "b" else 1.0
        weights[DAYLIGHT] = strength * 1.1 * (1 + 0.5 * self.wave(3, time)) * COOL
        for k in range(FIRST_LAMP, channels):
            weights[k] = strength * 1.0 * (1 + 0.3 * self.wave(4 + k % 8, time)) * WARM
        gain = 1 + 0.12 * self.wave(13, time)
        return np.asarray(gain * weights, np.float32)

    def spot(self, time: float, around: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where (3,) a lamp that wanders about near `around` (3,) is."""
        angle = 2 * np.pi * time / 25.0 + self.phases[14]
        swing = [0.8 * np.cos(angle), 0.8 * np.sin(angle), 0.3 * np.sin(self.phases[15] + angle)]
        return np.asarray(around + np.array(swing))


def expose(
    rendering: Rendering, map_from_camera_at: Callable[[float], Rigid], options: SensorOptions, rng: Generator
) -> Image:
    """The picture (H, W, 3) BGR uint8 of a moving camera with lens and sensor faults.

    `map_from_camera_at(dt)` is the camera's pose `dt` seconds after the middle of the exposure.
    """
    picture: AnyImage = auto_exposed(rendering.radiance, options.auto_exposure)
    if options.exposure_s > 0:
        half = 0.5 * options.exposure_s
        picture = blurred(picture, rendering, map_from_camera_at(-half), map_from_camera_at(half))
    if options.vignetting > 0:
        picture = cv2.multiply(picture, _vignette(rendering.camera, options.vignetting), dtype=cv2.CV_32F)
    if options.noise > 0:
        picture = _noisy(picture, options.noise, rng)
    image = np.asarray(cv2.convertScaleAbs(np.maximum(picture, 0)), np.uint8)
    if options.jpeg_quality > 0:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, options.jpeg_quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return image


def auto_exposed(radiance: Floats, amount: float) -> Image:
    """The radiance (H, W, 3) as uint8, with the gain that brings its mean towards `GREY`."""
    mean = max(float(radiance[::8, ::8].mean()), 1.0)
    gain = float(np.clip(GREY / mean, 0.4, 2.5)) ** amount
    return np.asarray(cv2.convertScaleAbs(radiance, alpha=gain), np.uint8)


def blurred(picture: AnyImage, rendering: Rendering, start: Rigid, end: Rigid) -> AnyImage:
    """Mean of the picture along each pixel's own way between two camera poses (symmetric about now)."""
    flow = image_motion(rendering, start, end)
    longest = float(np.percentile(np.abs(flow[::8, ::8]).max(axis=-1), 98))
    if longest < 0.3:
        return picture
    taps = int(np.clip(np.rint(longest) + 1, 2, MOST_TAPS))
    here = _pixels(rendering.camera)
    total = np.zeros(picture.shape, np.float32)
    for k in range(taps):
        part = k / (taps - 1) - 0.5
        where = cv2.scaleAdd(flow, part, here)
        across, below = cv2.split(where)
        warped = cv2.remap(picture, across, below, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cv2.accumulateWeighted(warped, total, 1.0 / (k + 1))
    return total


def image_motion(rendering: Rendering, start: Rigid, end: Rigid) -> Floats:
    """How far each pixel's content moves in the image (H, W, 2) while the camera goes from start to end.

    First order in the motion, from the depth of every fourth pixel; the lens' distortion is
    neglected, as blur is short.
    """
    camera, coarse = rendering.camera, (slice(None, None, 4), slice(None, None, 4))
    motion = ((end.inverse() @ start).matrix - np.eye(4)).astype(np.float32)  # of camera coordinates
    x, y = (r[coarse] for r in pinhole_rays(camera))
    depth = rendering.depth[coarse]
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 1e-3), 0)
    move = [m[0] * x + m[1] * y + m[2] + m[3] * inverse for m in motion[:3]]
    flow = np.stack([camera.fx * (move[0] - x * move[2]), camera.fy * (move[1] - y * move[2])], axis=-1)
    return np.asarray(cv2.resize(flow.astype(np.float32), (camera.width, camera.height)))


@lru_cache(maxsize=4)
def pinhole_rays(camera: Camera) -> tuple[Floats, Floats]:
    """x and y (H, W) on the plane z = 1 of every pixel, 0 where there is no ray."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.nan_to_num(camera.rays(np.stack([x, y], axis=-1).reshape(-1, 2))).astype(np.float32)
    rays = rays.reshape(camera.height, camera.width, 2)
    return np.ascontiguousarray(rays[..., 0]), np.ascontiguousarray(rays[..., 1])


@lru_cache(maxsize=4)
def _vignette(camera: Camera, loss: float) -> Floats:
    """Factor (H, W, 3): 1 in the middle, 1 - loss in the corner."""
    y, x = np.indices((camera.height, camera.width), dtype=np.float32)
    square = ((2 * x / camera.width - 1) ** 2 + (2 * y / camera.height - 1) ** 2) / 2
    return np.repeat((1 - loss * square)[..., None], 3, axis=2).astype(np.float32)


@lru_cache(maxsize=4)
def _pixels(camera: Camera) -> Floats:
    """The pixels' own places (H, W, 2)."""
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    return np.stack([x, y], axis=-1).astype(np.float32)


@lru_cache(maxsize=2)
def _noise_field(height: int, width: int) -> Floats:
    """A field of normal deviates; frames take windows of it, which is ten times faster than new ones."""
    rng = np.random.default_rng(20240229)
    return rng.standard_normal((height + NOISE_MARGIN, width + NOISE_MARGIN, 3), dtype=np.float32)


def _noisy(picture: AnyImage, amount: float, rng: Generator) -> AnyImage:
    """The picture with shot and read noise."""
    height, width = picture.shape[:2]
    y, x = rng.integers(0, NOISE_MARGIN, 2)
    window = _noise_field(height, width)[y : y + height, x : x + width]
    floats = picture.astype(np.float32)
    variance = cv2.addWeighted(floats, SHOT_NOISE, floats, 0.0, READ_NOISE**2)
    return cv2.scaleAdd(cv2.multiply(window, cv2.sqrt(variance)), amount, floats)
