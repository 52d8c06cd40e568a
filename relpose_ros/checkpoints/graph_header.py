"""What a checkpoint of a network over graphs of images says of itself: how it is fed, what an edge means."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relpose_ros.checkpoints.format import CheckpointInfo
from relpose_ros.checkpoints.header_values import numbers, short, whole
from relpose_ros.errors import CheckpointError
from relpose_ros.geometry.pose_vectors import PoseVectors
from relpose_ros.geometry.relative_vectors import InSourceFrame, RelativeVectors, VectorDifference

MAX_NEIGHBOURS = 64
"""References a graph, at most: message passing grows with their square."""


@dataclass(frozen=True)
class GraphInfo:
    """`CheckpointInfo.graph` of such a network.

    `input`: `GraphInput.to_dict()` (retrieval/graph_images.py); `convention`: what the six numbers of an edge
    mean; `neighbours` references a query, every `period`-th of their ranking, of which `halving` says that
    half was dropped at random in training.
    """

    input: dict[str, Any] = field(default_factory=dict)
    convention: RelativeVectors = field(default_factory=InSourceFrame)
    neighbours: int = 7
    period: int = 5
    halving: bool = False

    @classmethod
    def of(cls, info: CheckpointInfo, path: str | Path = "checkpoint") -> GraphInfo:
        """Out of a checkpoint's header; `path` names it in messages.

        Raises CheckpointError if it says nothing of graphs, or what cannot be.
        """
        name = f"{path} ({info.network})"
        if not info.graph:
            raise CheckpointError(
                f"{name}: expected a checkpoint that says how its graphs are made (input, convention, "
                "neighbours), got one that says nothing of them; `relpose train relpose_gnn` makes one"
            )
        try:
            return cls(**_parsed(info.graph))
        except (ValueError, TypeError, OverflowError) as error:
            raise CheckpointError(f"{name}: what it says of its graphs cannot be used: {error}") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for the header: `GraphInfo.of` reads them back."""
        return {
            "input": dict(self.input),
            "convention": _written(self.convention),
            "neighbours": self.neighbours,
            "period": self.period,
            "halving": self.halving,
        }


def _written(convention: RelativeVectors) -> dict[str, Any]:
    if isinstance(convention, InSourceFrame):
        return {"kind": "source_frame"}
    if not isinstance(convention, VectorDifference):
        raise TypeError(f"expected InSourceFrame or VectorDifference, got {type(convention).__name__}")
    vectors = convention.vectors
    mean, deviation = list(vectors.mean), list(vectors.deviation)
    flags = {"inverse": vectors.inverse, "compat": vectors.compat}
    return {"kind": "vector_difference", "mean": mean, "deviation": deviation, **flags}


def _parsed(values: dict[str, Any]) -> dict[str, Any]:
    """The JSON values as arguments. Raises ValueError or TypeError in words."""
    out: dict[str, Any] = {}
    if not isinstance(values.get("input"), dict):
        raise TypeError(f"input: expected how an image is fed, got {short(values.get('input'))}")
    out["input"] = values["input"]
    if "convention" in values:
        out["convention"] = _convention(values["convention"])
    for name, high in (("neighbours", MAX_NEIGHBOURS), ("period", 1000)):
        if name in values:
            out[name] = whole(name, values[name], 1, high)
    if "halving" in values:
        out["halving"] = _flag("halving", values["halving"])
    return out


def _convention(values: Any) -> RelativeVectors:
    kind = values.get("kind") if isinstance(values, dict) else values
    if kind == "source_frame":
        return InSourceFrame()
    if kind != "vector_difference" or not isinstance(values, dict):
        raise ValueError(f"convention: expected source_frame or vector_difference, got {short(values)}")
    mean = numbers("convention.mean", values.get("mean", [0.0] * 3), 3)
    deviation = numbers("convention.deviation", values.get("deviation", [1.0] * 3), 3)
    if min(deviation) <= 0:
        raise ValueError(f"convention.deviation: expected numbers above 0, got {deviation}")
    flags = {name: _flag(f"convention.{name}", values.get(name, False)) for name in ("inverse", "compat")}
    return VectorDifference(PoseVectors(_triple(mean), _triple(deviation), **flags))


def _triple(values: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = values
    return x, y, z


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected true or false, got {short(value)}")
    return value
