"""One world, two drives through it, and what a camera sees on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import Split
from relpose_ros.datasets.simulate.grading import Grading, grouped
from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.datasets.simulate.painters import seeded
from relpose_ros.datasets.simulate.renderer import Renderer, Rendering
from relpose_ros.datasets.simulate.sensing import Weather, expose
from relpose_ros.datasets.simulate.trajectory import Drive, make_drive
from relpose_ros.datasets.simulate.world import World, build_world
from relpose_ros.geometry.rigid import Rigid

START = {"map": 1_700_000_000.0, "query": 1_700_003_600.0}
"""Stamps of the first images; the query drive is an hour later."""
DRIVES: dict[Split, tuple[str, float, float, float]] = {
    "map": ("mapping", 38.0, 3.1, 0.0),
    "query": ("query", 24.0, 4.3, 1.0),
}
"""Route, and how the robot looks about: degrees, period in metres, phase."""


@dataclass(frozen=True)
class Shot:
    """One image to be taken: `time` s into its drive."""

    name: str
    split: Split
    number: int
    time: float

    @property
    def stamp(self) -> float:
        """Seconds."""
        return START[self.split] + self.time


@dataclass(frozen=True)
class Simulation:
    """A world and two drives through it. Building the world takes seconds and waits until needed."""

    options: SimulationOptions

    @cached_property
    def world(self) -> World:
        """The world."""
        return build_world(self.options.world, self.options.seed, self.options.appearance)

    @cached_property
    def shots(self) -> tuple[Shot, ...]:
        """All images: the mapping drive, then the query drive."""
        o = self.options
        counts: dict[Split, int] = {"map": o.map_frames, "query": o.query_frames}
        shots: list[Shot] = []
        for split, count in counts.items():
            times = np.linspace(0, self.drive(split).duration, count)
            if o.rate > 0:
                times = np.arange(count) / o.rate
            shots += [Shot(f"{len(shots) + k:06d}.jpg", split, k, float(t)) for k, t in enumerate(times)]
        return tuple(shots)

    def drive(self, split: Split) -> Drive:
        """The motion of base_link."""
        route, sway, period, phase = DRIVES[split]
        return _drive(self.options.world, self.options.seed, route, self.options.speed, sway, period, phase)

    def map_from_camera(self, split: Split, time: float) -> Rigid:
        """True pose of the camera `time` seconds into a drive."""
        return self.drive(split).map_from_base(time) @ self.options.base_from_camera

    def weather(self, split: Split) -> Weather:
        """The light of a drive."""
        o = self.options
        return Weather.drawn(o.appearance, max(o.sensor.light, 0.0), seeded(o.seed, "weather", split))

    def render(self, shot: Shot) -> Rendering:
        """The ideal picture of a shot: lit, but without the faults of a camera."""
        o, pose = self.options, self.map_from_camera(shot.split, shot.time)
        if o.sensor.light < 0 or o.domain == "simulated":
            return Renderer(self.world).render(o.lens, pose)
        weather = self.weather(shot.split)
        weights = weather.light(self.world.channels, shot.time)
        spot = weather.spot(shot.time, pose.translation)
        light = self.world.light.lit(weights, spot, 0.35 * weather.amount)
        return Renderer(self.world).render(o.lens, pose, light)

    def image(self, shot: Shot) -> NDArray[np.uint8]:
        """What the camera delivers: BGR uint8."""
        return self.expose(shot, self.render(shot))

    def expose(self, shot: Shot, rendering: Rendering) -> NDArray[np.uint8]:
        """What the camera, or the game engine, makes of an ideal picture."""
        if self.options.domain == "simulated":
            return Grading.drawn(seeded(self.options.seed, "grading"))(rendering.image)
        rng = seeded(self.options.seed, "noise", shot.split, str(shot.number))
        at: Callable[[float], Rigid] = lambda dt: self.map_from_camera(shot.split, shot.time + dt)  # noqa: E731
        return expose(rendering, at, self.options.sensor, rng)

    def depth(self, shot: Shot) -> NDArray[np.float32]:
        """Exact depth in metres (H, W)."""
        pose = self.map_from_camera(shot.split, shot.time)
        return Renderer(self.world).depth(self.options.lens, pose)

    def semantics(self, shot: Shot) -> NDArray[np.uint8]:
        """Classes (H, W) of what a shot sees: `grading.GROUPS`."""
        pose = self.map_from_camera(shot.split, shot.time)
        return grouped(Renderer(self.world).labels(self.options.lens, pose))


@lru_cache(maxsize=8)
def _drive(
    world: str, seed: int, route: str, speed: float, sway: float, period: float, phase: float
) -> Drive:
    """Drives know the world's plan only; that one is made once, apart from its pictures."""
    return make_drive(_routes(world, seed)[route], speed, sway, period, phase)


@lru_cache(maxsize=4)
def _routes(world: str, seed: int) -> dict[str, NDArray[np.float64]]:
    from relpose_ros.datasets.simulate.layouts import LAYOUTS

    return dict(LAYOUTS[world](seed).routes)
