"""Simulated worlds to learn from: each with a place, a look, a camera, a motion and a light of its own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np

from relpose_ros.datasets.base import PosedImage, Split
from relpose_ros.datasets.simulate.dataset import simulated_source
from relpose_ros.datasets.simulate.options import SensorOptions, SimulationOptions, forward_camera
from relpose_ros.datasets.simulate.simulation import Simulation
from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

Kind = Literal["any", "office", "rooms", "corridor", "equal_doors", "numbered_doors", "varied_doors"]

SIZES = ((320, 240), (400, 300), (480, 270), (480, 360), (640, 480))
OFFICES = 0.75
"""Share of offices where any kind will do: corridors of equal doors are the harder part."""


@dataclass(frozen=True)
class Wandering:
    """How the camera sways about its drive: amplitudes (pitch, yaw, roll) in radians and height in metres,
    periods in seconds and phases of the four."""

    amplitude: tuple[float, ...]
    period: tuple[float, ...]
    phase: tuple[float, ...]

    def at(self, time: float) -> Rigid:
        """What it adds to the camera's pose, in optical axes."""
        waves = np.sin(2 * np.pi * time / np.array(self.period) + np.array(self.phase))
        pitch, yaw, roll, height = (np.array(self.amplitude) * waves).tolist()
        return Rigid.from_rotation_vector([pitch, yaw, roll], [0.0, height, 0.0])


STILL = Wandering((0.0,) * 4, (1.0,) * 4, (0.0,) * 4)


@dataclass(frozen=True)
class WanderingSimulation(Simulation):
    """A simulation whose camera is held by an unsteady hand."""

    wandering: Wandering = field(default=STILL)

    def map_from_camera(self, split: Split, time: float) -> Rigid:
        return super().map_from_camera(split, time) @ self.wandering.at(time)


@dataclass(frozen=True)
class SimulatedWorld:
    """World `seed`: everything about it follows from that number and `kind`.

    With a chance of `night`, half of the `views` are of the same place in the other appearance.
    """

    seed: int
    kind: Kind = "any"
    views: int = 60
    night: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or self.seed < 0 or self.views < 4:
            raise ConfigurationError(
                f"expected {', '.join(get_args(Kind))}, a seed of 0 or more and 4 views or more; got {self}"
            )

    @property
    def name(self) -> str:
        """As it stands in the index of a data set."""
        return f"simulate:{self.options().world}:{self.seed}"

    def images(self) -> tuple[PosedImage, ...]:
        """Its images, rendered when they are loaded; poses of both looks are in one frame."""
        options = self.options()
        looks = [options]
        if np.random.default_rng([self.seed, 3]).random() < self.night:
            other = "b" if options.appearance == "a" else "a"
            maps, queries = options.map_frames // 2, options.query_frames // 2
            looks = [
                replace(options, appearance=look, map_frames=maps, query_frames=queries)
                for look in (options.appearance, other)
            ]
        return tuple(
            replace(image, name=f"{look.appearance}/{image.name}")
            for number, look in enumerate(looks)
            for image in simulated_source(WanderingSimulation(look, self.wandering(number))).images
        )

    def options(self) -> SimulationOptions:
        """Its place, look, camera and drives."""
        rng = np.random.default_rng([self.seed, 1])
        world = ("office" if rng.random() < OFFICES else "corridor") if self.kind == "any" else self.kind
        queries = self.views // 3
        return SimulationOptions(
            seed=self.seed,
            world=world,
            appearance=str(rng.choice(["a", "b"])),
            map_frames=self.views - queries,
            query_frames=queries,
            speed=float(rng.uniform(0.3, 1.2)),
            camera=_camera(rng),
            base_from_camera=forward_camera(z=rng.uniform(0.4, 1.7), pitch_deg=rng.uniform(-8.0, 15.0)),
            sensor=_sensor(rng),
        )

    def wandering(self, look: int) -> Wandering:
        """How the camera is held on the drives in the first (0) or in the other look (1)."""
        rng = np.random.default_rng([self.seed, 2, look])
        amplitude = rng.uniform(0, 1, 4) * [0.15, 0.6, 0.2, 0.25]
        period, phase = rng.uniform([4, 4, 4, 6], [11, 11, 11, 15]), rng.uniform(0, 2 * np.pi, 4)
        return Wandering(tuple(amplitude.tolist()), tuple(period.tolist()), tuple(phase.tolist()))


def _camera(rng: np.random.Generator) -> Camera:
    """A camera as robots have: 55 to 100 degrees wide, its axis off the middle, every third distorted."""
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    focal = 0.5 * width / np.tan(np.deg2rad(rng.uniform(55, 100)) / 2)
    centre = np.array([width - 1, height - 1]) / 2 + rng.normal(0, 0.01 * width, 2)
    fx, fy = (focal * rng.uniform(0.99, 1.01, 2)).tolist()
    cx, cy = centre.tolist()
    distorted, k1 = rng.random() < 1 / 3, float(rng.uniform(-0.12, 0.04))
    distortion = (k1, 0.0, 0.0, 0.0) if distorted else ()
    model = "plumb_bob" if distorted else "pinhole"
    return Camera(model, fx, fy, cx, cy, width, height, distortion)


def _sensor(rng: np.random.Generator) -> SensorOptions:
    """Good light and bad, steady exposures and long ones, JPEG as networks of robots carry it."""
    return SensorOptions(
        light=float(rng.uniform(0.5, 1.8)),
        noise=float(rng.uniform(0.5, 2.5)),
        exposure_s=float(rng.uniform(0.001, 0.015)),
        vignetting=float(rng.uniform(0.0, 0.4)),
        jpeg_quality=int(rng.choice([0, 60, 80, 95])),
    )
