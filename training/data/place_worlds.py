"""Simulated worlds to learn places from: one drive makes the gallery, another the queries, in other light
and, half of them or all, after a redecoration."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.simulate.dataset import simulated_source
from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.errors import ConfigurationError
from relpose_training.data.simulated_worlds import Kind, SimulatedWorld, WanderingSimulation

QueryLook = Literal["mixed", "same", "other"]


@dataclass(frozen=True)
class PlaceWorld:
    """World `number` of `kind`, with `views` images: two of three are the gallery.

    `look` of the queries: as in the gallery (other light and another drive all the same), the simulator's
    other appearance of the same rooms, or half of each. Each image costs a rendering, each look some 20 s.
    """

    number: int
    kind: Kind = "any"
    views: int = 90
    look: QueryLook = "mixed"

    def __post_init__(self) -> None:
        if self.look not in get_args(QueryLook) or self.views < 6:
            raise ConfigurationError(
                f"expected --query-look of {', '.join(get_args(QueryLook))} and 6 views or more; got {self}"
            )
        SimulatedWorld(self.number, self.kind, self.views)  # refuses other kinds and numbers

    @property
    def name(self) -> str:
        """As `simulate:office:3`."""
        return self._world.name

    def images(self) -> tuple[PosedImage, ...]:
        """The gallery has split "map", queries "query"; all poses are in one frame."""
        options = self._world.options()
        other = "b" if options.appearance == "a" else "a"
        looks = {"same": [options.appearance], "other": [other], "mixed": [options.appearance, other]}
        queries = max(options.query_frames // len(looks[self.look]), 1)
        out: list[PosedImage] = []
        for hand, look in enumerate((options.appearance, other)):
            maps = options.map_frames if look == options.appearance else 0
            count = queries if look in looks[self.look] else 0
            if maps + count:
                drives = replace(options, appearance=look, map_frames=maps, query_frames=count)
                out += self._drives(drives, hand)
        return tuple(out)

    def _drives(self, options: SimulationOptions, hand: int) -> list[PosedImage]:
        """In one look, from a camera in an unsteady hand. A world takes long to build: once for both."""
        simulation = WanderingSimulation(options, self._world.wandering(hand))
        return [
            replace(image, name=f"{image.split}_{options.appearance}/{image.name}")
            for image in simulated_source(simulation).images
        ]

    @property
    def _world(self) -> SimulatedWorld:
        return SimulatedWorld(self.number, self.kind, self.views)
