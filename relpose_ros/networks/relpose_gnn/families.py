"""The four families of published checkpoints, told apart by their parameters' names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Family:
    """`name` in the registry (`relpose_gnn.NAME`) and the constructor's arguments."""

    name: str
    parameters: Mapping[str, Any]


RELEASE = Family("release", {"dimension": 2048, "weight_sets": 2, "schedule": [0, 0, 0], "neighbours": 0})
"""7-Scenes: two weight sets of which only the first runs, all edges, three rounds."""
R3 = Family("r3", {"dimension": 2048, "weight_sets": 1, "schedule": [0, 0], "neighbours": 4})
"""Cambridge: one weight set, four nearest neighbours, two rounds."""
R2 = Family("r2", {"dimension": 1024, "weight_sets": 1, "schedule": [0, 0], "neighbours": 4})
"""R3 with half the width."""
R1 = Family("r1", {"dimension": 2048, "weight_sets": 2, "schedule": [0, 1], "neighbours": 4})
"""Two different layers, one round each. It has the very names and shapes of `RELEASE`."""


def recognise_family(shapes: Mapping[str, tuple[int, ...]]) -> Family:
    """The family of a state dict (its names, without a `module.` prefix, and shapes).

    Two weight sets are taken for `RELEASE`, never for `R1`: both have the same names, and of those only
    checkpoints of the former were published. A KeyError or IndexError means that it is none of them.
    """
    dimension = shapes["proj_edge.weight"][0]
    weight_sets = sum(name.startswith("gnn") and name.endswith(".mlp.0.weight") for name in shapes)
    if weight_sets not in (1, 2):
        raise KeyError(f"gnn*.mlp.0.weight: expected 1 or 2 of them, got {weight_sets}")
    known = RELEASE if weight_sets == 2 else R2 if dimension == 1024 else R3
    return Family(known.name, {**known.parameters, "dimension": dimension})


def family_parameters(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """The constructor's arguments that a state dict tells: of two weight sets not how they are run."""
    parameters = dict(recognise_family(shapes).parameters)
    if "fc_uncertainty_R.weight" in shapes:
        parameters["uncertainty"] = True
    ambiguous = parameters["weight_sets"] > 1
    told = ("dimension", "weight_sets", "uncertainty")
    return {k: v for k, v in parameters.items() if not ambiguous or k in told}


def without_unused_layers(
    state: Mapping[str, T], parameters: Mapping[str, Any]
) -> tuple[dict[str, T], dict[str, Any]]:
    """A state dict and constructor arguments without the weight sets that no round runs.

    Of `RELEASE` this leaves 74.8 of 118.9 million parameters, and the same output bit for bit.
    """
    used = sorted(set(parameters["schedule"]))
    if used != list(range(len(used))):
        raise ValueError(f"expected the used weight sets to be the first ones, got schedule {used}")
    spare = tuple(f"gnn{n}." for n in range(len(used) + 1, parameters["weight_sets"] + 1))
    kept = {name: value for name, value in state.items() if not name.startswith(spare)}
    return kept, {**parameters, "weight_sets": len(used)}
