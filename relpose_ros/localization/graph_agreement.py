"""Relative poses that a network regresses from several references -> one hypothesis, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.edge_variances import scaled
from relpose_ros.geometry.pose_fusion import FusedPose, fused_from_references
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.arbiter import REFINED, REGRESSION
from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.query import Neighbour
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Evidence, Hypothesis

if TYPE_CHECKING:
    from relpose_ros.checkpoints.graph import Edges

Array = NDArray[np.float64]

INDEPENDENT = 2.0
"""The edges of one graph are worth so many independent ones: all begin with the same image of the query."""

MIN_SAMPLES = 10
"""With fewer held-out references nobody knows what a regressed pose is worth in this map."""

_MIN_SCATTER = 1e-3
"""Radians: opinions of one network may agree better than any of them is right."""


@dataclass(frozen=True)
class GraphCalibration:
    """What held-out references of a map taught of a network: factors of the predicted variances of an edge's
    `translation` and `rotation`, and a calibration of each road, `regression` alone and `refined`."""

    translation: float = 1.0
    rotation: float = 1.0
    regression: Calibration = field(default_factory=Calibration)
    refined: Calibration = field(default_factory=Calibration)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> GraphCalibration:
        """Out of `GraphFeatures.calibration`; the prior where there is none."""
        edges = values.get("edges", {})
        roads = {name: Calibration.from_dict(values.get(name, {})) for name in (REGRESSION, REFINED)}
        return cls(
            float(edges.get("translation", 1.0)),
            float(edges.get("rotation", 1.0)),
            roads[REGRESSION],
            roads[REFINED],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for the map file."""
        return {
            "edges": {"translation": self.translation, "rotation": self.rotation},
            REGRESSION: self.regression.to_dict(),
            REFINED: self.refined.to_dict(),
        }

    @property
    def by_road(self) -> dict[str, Calibration]:
        """Calibrations by the method of a hypothesis."""
        return {REGRESSION: self.regression, REFINED: self.refined}

    def edge_covariance(self, raw: Array) -> Array:
        """Predicted covariances (..., 6, 6) of edges -> calibrated ones."""
        return scaled(raw, (self.translation, self.rotation))


def agreement(
    map_: Map, neighbours: Sequence[Neighbour], edges: Edges, calibration: GraphCalibration, focal: float
) -> Hypothesis | None:
    """The pose that most of the edges agree on; None where there is no edge.

    Its evidence counts references: `inliers` is what those that agree are worth (`FusedPose.worth`: an
    unsure one is worth little), `matches` how many were asked; `residual_px` is how far they scatter, as an
    angle seen from there, in pixels of `focal`. The raw covariance is that of the fused edges, as if
    `INDEPENDENT` of them were independent, and larger where they scatter more than they say.
    """
    if not len(edges.references):
        return None
    asked = [neighbours[i] for i in edges.references.tolist()]
    map_from_reference = Rigid.stack([n.map_from_camera for n in asked])
    covariance = calibration.edge_covariance(edges.covariance)
    fused = fused_from_references(map_from_reference, edges.reference_from_query, covariance)
    depth = _depth(map_, asked, fused.pose)
    evidence = Evidence(
        inliers=round(fused.worth),
        matches=len(asked),
        spread=1.0,
        residual_px=_scatter(fused, depth) * focal,
        references=len(asked),
        depth=depth,
        objection=unknown(calibration.regression, "regressed"),
    )
    raw = fused.covariance * max(1.0, fused.worth / INDEPENDENT) * fused.excess
    # All that were asked, the odd ones too: a reference that has a twin makes the answer doubtful.
    names = tuple(n.name for n in asked)
    return Hypothesis(fused.pose, raw, evidence, REGRESSION, names)


def unknown(calibration: Calibration, done: str) -> str:
    """Why a pose that was `done` (regressed, refined) is not heard where too few held-out ones taught what
    it is worth, or ""."""
    known = calibration.samples
    if known >= MIN_SAMPLES:
        return ""
    return (
        f"a pose was {done}, but what that is worth in this map is not known: {known} of its references, "
        f"held out, were {done} right ({MIN_SAMPLES} are needed)"
    )


def _scatter(fused: FusedPose, depth: float) -> float:
    """How far a mean opinion is off by what all say together, as an angle: parallax and turn."""
    variance = np.diag(fused.covariance) * fused.excess * max(fused.worth, 1.0)
    squared = variance[:3].sum() / max(depth, 1e-9) ** 2 + variance[3:].sum()
    return float(np.clip(np.sqrt(squared), _MIN_SCATTER, np.pi))


def _depth(map_: Map, neighbours: Sequence[Neighbour], pose: Rigid) -> float:
    """Median distance from a pose to the landmarks before it that its references see; else the map's."""
    seen = [map_.visible[n.index] for n in neighbours]
    points = map_.landmarks.points[np.unique(np.concatenate(seen))]
    offset = points - pose.translation
    ahead = offset @ pose.rotation[:, 2] > 0
    return float(np.median(np.linalg.norm(offset[ahead], axis=1))) if ahead.any() else map_.depth
