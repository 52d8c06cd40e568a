"""Cameras before a picture on a wall: what they see of it, and how far away it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ShotRange:
    """How far two shots differ. Raises ConfigurationError for what cannot be.

    The first camera stands much before the picture, the second turns by up to `turn_deg` about its axis and
    is tilted by up to `tilt_deg`, `scale` times nearer or further at most, and looks up to `shift` widths of
    the picture beside its middle.
    """

    turn_deg: float = 45.0
    tilt_deg: float = 45.0
    scale: float = 2.0
    shift: float = 0.3

    def __post_init__(self) -> None:
        angles = 0 <= self.turn_deg <= 180 and 0 <= self.tilt_deg <= 75
        if not angles or self.scale < 1 or self.shift < 0:
            raise ConfigurationError(
                f"expected turns to 180, tilts to 75 degrees, a scale from 1; got {self}"
            )


@dataclass(frozen=True)
class Shot:
    """A camera before the picture: `camera_from_wall`, the wall being z = 0, the picture about its middle."""

    camera: Camera
    camera_from_wall: Rigid

    def homography(self, texel_size: float, width: int, height: int) -> Array:
        """Pixel of the picture -> pixel of the camera (3, 3)."""
        wall = np.array(
            [
                [texel_size, 0, -texel_size * (width - 1) / 2],
                [0, texel_size, -texel_size * (height - 1) / 2],
                [0, 0, 1],
            ]
        )
        pose = self.camera_from_wall
        return np.asarray(
            self.camera.matrix @ np.column_stack([pose.rotation[:, :2], pose.translation]) @ wall
        )

    def depth(self, pixels: NDArray[np.floating]) -> Array:
        """How far along its axis it sees the wall at pixels (N, 2)."""
        rays = np.concatenate([self.camera.rays(pixels), np.ones((len(pixels), 1))], axis=1)
        normal = self.camera_from_wall.rotation[:, 2]
        with np.errstate(divide="ignore"):
            depth = (normal @ self.camera_from_wall.translation) / (rays @ normal)
        return np.asarray(np.where(np.isfinite(depth) & (depth > 0), depth, 0.0))


def draw_shots(
    width: int, height: int, options: ShotRange, generator: np.random.Generator
) -> tuple[Shot, Shot]:
    """Two cameras before a picture that is 1 wide; the second does not see behind the wall."""
    focal = float(generator.uniform(0.7, 1.4)) * max(width, height)
    camera = Camera("pinhole", focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)
    distance = focal / width
    first = _shot(camera, distance, options, generator, 0.3)
    while True:
        second = _shot(camera, distance, options, generator, 1.0)
        corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
        apart = np.linalg.norm(_centre(first) - _centre(second))
        if (second.depth(corners) > 0).all() and apart > 0.02 * distance:
            return first, second


def _shot(
    camera: Camera, distance: float, options: ShotRange, generator: np.random.Generator, strength: float
) -> Shot:
    """A camera that looks at a place of the picture from `distance`, all changes within `strength`."""
    tilt = np.deg2rad(options.tilt_deg) * strength * np.sqrt(generator.uniform())
    azimuth, turn = generator.uniform(0, 2 * np.pi), generator.uniform(-1, 1) * np.deg2rad(options.turn_deg)
    zoom = options.scale ** (strength * generator.uniform(-1, 1))
    place = generator.uniform(-1, 1, 2) * options.shift * strength
    axis = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    rotation = Rigid.from_rotation_vector([0, 0, turn * strength], np.zeros(3)).rotation
    rotation = rotation @ Rigid.from_rotation_vector(tilt * axis, np.zeros(3)).rotation
    target = np.array([place[0], place[1] * camera.height / camera.width, 0.0])
    translation = np.array([0, 0, distance * zoom]) - rotation @ target
    return Shot(camera, Rigid(rotation, translation))


def _centre(shot: Shot) -> Array:
    return shot.camera_from_wall.inverse().translation
