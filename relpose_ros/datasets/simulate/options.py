"""What to simulate. Light to import: the command line is made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from relpose_ros.datasets.base import Domain
from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

WORLDS = ("office", "rooms", "corridor", "equal_doors", "numbered_doors", "varied_doors")
APPEARANCES = ("a", "b")
DOMAINS = get_args(Domain)

OPTICAL_FROM_BODY = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""Body axes (x forward, y left, z up; REP-103) -> optical axes (x right, y down, z forward)."""


def forward_camera(
    x: float = 0.15, y: float = 0.0, z: float = 1.2, pitch_deg: float = 3.0, yaw_deg: float = 0.0
) -> Rigid:
    """`base_from_camera` of a camera that looks ahead from (x, y, z) metres, pitched down.

    `yaw_deg` turns it to the left: at 90 it looks at the walls that the robot passes.
    """
    pitch, yaw = np.deg2rad([pitch_deg, yaw_deg])
    c, s = np.cos(pitch), np.sin(pitch)
    down = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    left = np.array([[np.cos(yaw), -np.sin(yaw), 0.0], [np.sin(yaw), np.cos(yaw), 0.0], [0.0, 0.0, 1.0]])
    return Rigid(left @ down @ OPTICAL_FROM_BODY.T, np.array([x, y, z]))


@dataclass(frozen=True)
class SensorOptions:
    """How far the picture is from the ideal one. `SensorOptions.ideal()` switches all of it off."""

    light: float = 1.0
    """How much the light changes along a drive (lamps, daylight, a wandering lamp).

    0: it stays as it is; below 0: no light at all, bare colours.
    """
    noise: float = 1.0
    """Factor on the shot and read noise (1: a decent indoor camera, about 2.5 grey levels)."""
    exposure_s: float = 0.008
    """Shutter time in seconds, which is what motion blur lasts; 0: no blur."""
    auto_exposure: float = 0.7
    """How much of a picture's being too dark or bright the camera makes up for, 0..1."""
    vignetting: float = 0.25
    """Share of the light that is lost in the corners."""
    jpeg_quality: int = 0
    """1..100: send every image through JPEG at this quality; 0: do not."""

    @classmethod
    def ideal(cls) -> SensorOptions:
        """No light, no noise, no blur: the bare colour of the surfaces."""
        return cls(light=-1.0, noise=0.0, exposure_s=0.0, auto_exposure=0.0, vignetting=0.0)


@dataclass(frozen=True)
class SimulationOptions:
    """One simulated world with a mapping drive and a query drive through it.

    Raises ConfigurationError for a value that cannot be used.
    """

    seed: int = 0
    """Everything random follows from it."""
    world: str = "office"
    """"office": four furnished rooms with the same walls and drives for every seed; "rooms": two to four of
    which everything follows from the seed; "corridor": equal doors, places that look alike.

    "equal_doors": bays that nothing tells apart; "numbered_doors": but for a small plate beside each door;
    "varied_doors": and a poster.
    """
    appearance: str = "a"
    """"a" or "b": two looks (colours, materials, light) of the same geometry."""
    domain: Domain = "real"
    """"real": lit, and seen by a camera; "simulated": as a game engine shows a scanned model, flat and clean.

    Geometry, textures and poses are the same.
    """
    width: int = 640
    """Image width in pixels."""
    height: int = 480
    """Image height in pixels."""
    field_of_view_deg: float = 75.0
    """Horizontal field of view of the default camera."""
    map_frames: int = 120
    """Images of the mapping drive."""
    query_frames: int = 100
    """Images of the query drive."""
    rate: float = 0.0
    """Images a second. 0: chosen so that the images cover each drive once, end to end."""
    speed: float = 0.5
    """Cruising speed in m/s; the drives slow down in curves."""
    depth: bool = True
    """Write exact depth images."""
    bags: bool = False
    """Also write `mapping_bag/` and `query_bag/` (rosbag2)."""
    compressed: bool = True
    """Bags carry JPEG (CompressedImage); False: raw Image."""
    camera: Camera | None = None
    """Any camera model; replaces width, height and field of view."""
    base_from_camera: Rigid = field(default_factory=forward_camera)
    """Where the camera sits on the robot (optical axes in base_link)."""
    sensor: SensorOptions = field(default_factory=SensorOptions)
    """Light, noise, blur."""

    def __post_init__(self) -> None:
        _one_of("world", self.world, WORLDS)
        _one_of("appearance", self.appearance, APPEARANCES)
        _one_of("domain", self.domain, DOMAINS)
        _at_least("seed", self.seed, 0)
        _at_least("width", self.width, 16)
        _at_least("height", self.height, 16)
        _at_least("map_frames", self.map_frames, 0)
        _at_least("query_frames", self.query_frames, 0)
        _at_least("map_frames + query_frames", self.map_frames + self.query_frames, 1)
        _at_least("rate", self.rate, 0.0)
        if not 0.01 <= self.speed <= 10.0:
            raise ConfigurationError(f"speed must be 0.01 to 10 m/s, got {self.speed}")
        if not 10.0 <= self.field_of_view_deg <= 140.0:
            raise ConfigurationError(
                f"field_of_view_deg must be 10 to 140 (a pinhole), got {self.field_of_view_deg}; "
                "give `camera` an equidistant model for a wider one"
            )

    @property
    def lens(self) -> Camera:
        """The camera that takes the pictures."""
        if self.camera is not None:
            return self.camera
        focal = float(0.5 * self.width / np.tan(np.deg2rad(self.field_of_view_deg) / 2))
        centre = 0.5 * (self.width - 1), 0.5 * (self.height - 1)
        return Camera("pinhole", focal, focal, *centre, self.width, self.height)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least or value == float("inf"):
        raise ConfigurationError(f"{name} must be at least {least:g}, got {value}")
