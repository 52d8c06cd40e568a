"""Simulated worlds to learn relative poses in: one drive makes the references, another the queries."""

from __future__ import annotations

from dataclasses import dataclass, replace

from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.errors import ConfigurationError
from relpose_ros.retrieval.graph_images import GraphCamera, GraphInput
from relpose_training.data.simulated_worlds import SimulatedWorld


@dataclass(frozen=True)
class GraphWorld(SimulatedWorld):
    """A simulated world seen by `seen_by`, or, where that is None, by a camera of its own.

    Pictures of the network's own camera need not be warped: small ones are rendered fast. A third of the
    `views` are queries, on another drive, in other light.
    """

    views: int = 120
    night: float = 0.0
    seen_by: GraphCamera | None = None

    def options(self) -> SimulationOptions:
        """Its place, look, camera and drives."""
        own = super().options()
        return own if self.seen_by is None else replace(own, camera=self.seen_by.camera)


def camera_to_render(graph_input: GraphInput) -> GraphCamera:
    """The camera whose pictures need no change; for an input by its short side, 4:3 and 62 degrees wide."""
    if graph_input.kind == "canonical":
        return graph_input.graph_camera
    return GraphCamera.of_field(graph_input.height * 4 // 3, graph_input.height, 62.0)


def graph_worlds(
    words: str, numbers: range, views: int, night: float, seen_by: GraphCamera | None
) -> list[GraphWorld]:
    """Of the words after `simulate:`: a kind of world, with `numbers`, or with its own: `rooms,world=3`,
    `rooms,world=0-19`.

    Raises ConfigurationError.
    """
    kind, _, only = words.partition(",")
    return [
        GraphWorld(number, kind or "any", views, night, seen_by)  # type: ignore[arg-type]
        for number in (_numbers(kind, only) if only else numbers)
    ]


def _numbers(kind: str, only: str) -> range:
    name, _, span = only.partition("=")
    first, dash, last = span.partition("-")
    if name != "world" or not all(word.isdigit() for word in (first, last if dash else first)):
        raise ConfigurationError(
            f"expected simulate:{kind},world=3 or simulate:{kind},world=0-19, got simulate:{kind},{only}"
        )
    numbers = range(int(first), int(last or first) + 1)
    if not numbers:
        raise ConfigurationError(f"simulate:{kind},{only}: expected the lower number first")
    return numbers
