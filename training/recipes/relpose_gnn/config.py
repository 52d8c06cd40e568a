"""What can be set when a network over graphs of images is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.pose_vectors import CAMBRIDGE
from relpose_ros.geometry.relative_vectors import InSourceFrame, RelativeVectors, VectorDifference
from relpose_training.engine.configuration import STRICT, EngineConfig, Positive, Share, check_used

CONVENTIONS: dict[str, RelativeVectors] = {
    "source_frame": InSourceFrame(),
    "vector_difference": VectorDifference(),
    "vector_difference_cambridge": VectorDifference(CAMBRIDGE),
}

ROBOT = ("robot",)
OF_NETWORKS: Mapping[str, tuple[str, ...]] = {
    "rounds": ("robot", "release", "r3", "r2"),
    "cell": ROBOT,
    "channels": ROBOT,
    "keys": ROBOT,
    "values": ROBOT,
}
"""Settings that some networks alone use -> these networks."""

OF_LOSSES: Mapping[str, tuple[str, ...]] = {
    "beta": ("laplace", "gaussian"),
    "translation_weight": ("l1",),
    "rotation_weight": ("l1",),
}
"""Settings that some losses alone use -> these losses."""

OF_DRAWN: Mapping[str, tuple[str, ...]] = {"halving": ("false",)}
"""Settings that mean nothing to references drawn once -> the values of `fixed` that use them."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RelposeGnnConfig(EngineConfig):
    """A network, its graphs and its loss. Raises ConfigurationError where they do not fit."""

    data: str
    """Folder with the graph scenes of train and val (`relpose prepare graphs`)."""
    only: str = ""
    """Train on these scenes alone: their names, a comma between two."""
    leave_out: str = ""
    """Train on all scenes but these: their names, a comma between two."""
    network: Literal["robot", "release", "r3", "r2", "r1"] = "robot"
    """robot is small, compares images cell by cell and is meant for a CPU; the others have the published
    shape with a ResNet-34: release and r3 with 2048 numbers a node, r2 with 1024, r1 with two different
    layers."""
    dimension: Positive | None = None
    """Numbers of a node and of an edge; unset: the network's own."""
    rounds: Positive | None = None
    """Of message passing; unset: the network's own. The published networks have the same weights in all, but
    r1, whose rounds are its two layers."""
    nearest: Annotated[int, Field(ge=0)] | None = None
    """Edges from so many nearest nodes in feature space, 0 for all edges; unset: the network's own."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of nodes and edges before the heads of the published networks."""
    cell: Literal[8, 16] = 8
    """Of network=robot: pixels of a cell; 16 for images much larger than 128x96, which take
    long otherwise."""
    channels: tuple[Positive, Positive, Positive, Positive] = (16, 32, 64, 96)
    """Of network=robot: channels of its trunk's four maps, multiples of 8."""
    keys: Positive = 24
    """Of network=robot: numbers by which a cell of an image is found again in another."""
    values: Positive = 8
    """Of network=robot: numbers for what else is known at a cell, as its distance."""
    edge_share: Share = 1.0
    """Share of the edges that a training step keeps, drawn anew; the paper says 0.5, its code keeps all."""
    loss: Literal["laplace", "gaussian", "l1"] = "laplace"
    """laplace, gaussian: likelihood of the true pose with a standard deviation for each of its six numbers,
    which the network learns with it; l1: as published, two weights are learnt, and no uncertainty."""
    beta: Share = 0.5
    """Of laplace and gaussian: numbers count as their standard deviation to the power of 2 beta, so that
    those which are easily known do not drown the others; 0 is the plain likelihood."""
    translation_weight: float = 0.0
    """Of loss=l1: first log weight of the translation, learned from there."""
    rotation_weight: float = -3.0
    """Of loss=l1: first log weight of the rotation, learned from there."""
    convention: Literal["source_frame", "vector_difference", "vector_difference_cambridge"] = "source_frame"
    """What an edge says: the target's pose in the source's frame, or, as published, the difference of two
    pose vectors in the axes of the map (on Cambridge of camera_from_map, in deviations)."""
    neighbours: Positive = 7
    """References of a query in a graph."""
    period: Positive = 5
    """Every so many-th of a ranking is taken: pictures that are nearly the same say nothing new. A robot that
    uses the checkpoint does so too, also where training had fixed=true."""
    halving: bool = True
    """Training drops half of each ranking at random first, another half each time."""
    shuffle: bool = True
    """Training gives the references in random order."""
    fixed: bool = False
    """Take the references that were drawn when the data was made (published archives), always the same."""
    light: bool = True
    """Training changes brightness, contrast and colours of each image at random."""
    narrow: bool = False
    """Training shows half of the graphs as a narrower camera would, with black borders: pictures of simulated
    worlds fill the network's image, those of a robot's camera hardly ever do. The input must be canonical."""
    mirror: bool = False
    """Training mirrors half of the graphs, poses with them; the input must be canonical."""
    compat: bool = False
    """As published: dropout stays on in validation and use, and the first reference's edge alone says where
    the query is."""
    backbone: Path | None = None
    """A file with the weights of torchvision's ResNet-34 (.pth, .safetensors) that the trunk of a published
    network begins with; unset: random ones."""
    start_from: Path | None = None
    """A checkpoint of this recipe, or an imported published one, whose weights are the first ones."""
    licence: str = "not stated"
    """Of the weights: what the licence of the data allows."""

    def __post_init__(self) -> None:
        check_used(self, "network", (self.network,), OF_NETWORKS)
        check_used(self, "loss", (self.loss,), OF_LOSSES)
        check_used(self, "fixed", (str(self.fixed).lower(),), OF_DRAWN)
        if self.only and self.leave_out:
            raise ConfigurationError("only and leave_out both say which scenes: give one")
        if self.loss != "l1" and self.convention != "source_frame":
            raise ConfigurationError(
                f"loss={self.loss} is a likelihood of poses: expected convention=source_frame, got "
                f"{self.convention}; loss=l1 takes both"
            )
        if self.mirror and self.convention != "source_frame":
            raise ConfigurationError(
                "mirror turns poses in the source's frame: expected convention=source_frame"
            )
        if self.backbone is not None and (self.network == "robot" or self.start_from is not None):
            raise ConfigurationError(
                "backbone= is a whole ResNet-34 to begin with: expected another network than robot, and no "
                "start_from"
            )
        if self.network == "robot" and (self.nearest is not None or self.dropout or self.compat):
            raise ConfigurationError(
                "network=robot compares all pairs and has no dropout: expected nearest, dropout and compat "
                "unset"
            )

    @property
    def relative_vectors(self) -> RelativeVectors:
        """What an edge says."""
        return CONVENTIONS[self.convention]

    @property
    def scenes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names in `only` and in `leave_out`."""
        return _names(self.only), _names(self.leave_out)

    def network_parameters(self, height: int, width: int) -> dict[str, Any]:
        """Arguments of the network, beyond those registered, for images of that size in pixels."""
        given: dict[str, Any] = {} if self.dimension is None else {"dimension": self.dimension}
        if self.network == "robot":
            own = {} if self.rounds is None else {"rounds": self.rounds}
            cells = {
                "cell": self.cell,
                "channels": list(self.channels),
                "keys": self.keys,
                "values": self.values,
            }
            return {"height": height, "width": width, **cells, **given, **own}
        given |= {"dropout": self.dropout, "compat": self.compat, "uncertainty": self.loss != "l1"}
        if self.nearest is not None:
            given["neighbours"] = self.nearest
        if self.network != "r1":  # a second set of weights that no round runs is not trained
            given |= {"weight_sets": 1} if self.rounds is None else {
                "weight_sets": 1, "schedule": [0] * self.rounds
            }  # fmt: skip
        return given


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
