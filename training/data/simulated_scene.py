"""One simulated world as a scene to learn, photographed, rendered, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from relpose_ros.datasets.base import Domain, PosedImage
from relpose_ros.datasets.simulate.dataset import simulated_source
from relpose_ros.datasets.simulate.options import WORLDS, SimulationOptions
from relpose_ros.datasets.simulate.simulation import Simulation
from relpose_ros.errors import ConfigurationError
from relpose_training.data.simulated_worlds import STILL, Wandering, WanderingSimulation


@dataclass(frozen=True)
class SimulatedScene:
    """World `number` of a `kind`, as `relpose dataset simulate --seed number` makes it.

    "real" images are those of its two drives: `views` to map it, `queries` to test. "simulated" ones are
    `views` of the same geometry and textures in another look, from a camera that looks about on the way.
    """

    number: int = 0
    kind: str = "office"
    views: int = 200
    queries: int = 60
    domains: Sequence[Domain] = ("real",)
    width: int = 640
    height: int = 480

    def __post_init__(self) -> None:
        if self.kind not in WORLDS or not self.domains or len(set(self.domains)) < len(self.domains):
            raise ConfigurationError(
                f"expected a world of {', '.join(WORLDS)} and each domain once, got {self.kind!r} and "
                f"{', '.join(self.domains) or 'none'}"
            )

    def images(self) -> dict[Domain, tuple[PosedImage, ...]]:
        """Its images by domain, rendered when they are loaded; all poses are in one frame."""
        return {domain: self._images(domain) for domain in self.domains}

    def _images(self, domain: Domain) -> tuple[PosedImage, ...]:
        options = SimulationOptions(
            seed=self.number,
            world=self.kind,
            domain=domain,
            width=self.width,
            height=self.height,
            map_frames=self.views,
            query_frames=self.queries if domain == "real" else 0,
        )
        wandering = STILL if domain == "real" else _looking_about(self.number)
        simulation: Simulation = WanderingSimulation(options, wandering)
        return tuple(
            replace(image, name=f"{domain}/{image.name}") for image in simulated_source(simulation).images
        )


def _looking_about(number: int) -> Wandering:
    """All ways, a little up and down, and at other heights than the robot's camera."""
    phase = np.random.default_rng([number, 7]).uniform(0, 2 * np.pi, 4)
    return Wandering((0.2, 1.2, 0.1, 0.3), (7.3, 9.1, 5.7, 11.9), tuple(phase.tolist()))
