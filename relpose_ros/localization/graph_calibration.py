"""What regressed poses are worth in a map: its references are asked about as if they were queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from relpose_ros.features.base import Features
from relpose_ros.geometry.edge_variances import variance_factors
from relpose_ros.localization.arbiter import REGRESSION, Arbiter, ArbiterOptions
from relpose_ros.localization.calibration import (
    ANOTHER_DRIVE,
    Calibration,
    Gross,
    Sample,
    fit_calibration,
)
from relpose_ros.localization.evenly import evenly
from relpose_ros.localization.graph_agreement import GraphCalibration
from relpose_ros.localization.graph_refinement import calibrate_refined
from relpose_ros.localization.graph_road import GraphRoad, Regresses
from relpose_ros.localization.graph_trials import Trial, edge_errors, sample, trials
from relpose_ros.localization.structure import StructureLocalizer
from relpose_ros.maps.bundle import Map
from relpose_ros.progress import Progress, silent, tracked

WRONG = Gross(rotation=0.3, translation=0.3)
"""Errors (rad; share of the depth) beyond which a regressed pose is wrong rather than vague: twice what the
arbiter publishes as a standard deviation."""

_PROVOKED = 20
"""Trials where the map shows nothing of the query, without which a network may not pass for sure."""

_UNTESTED = 0.9
"""Share that is taken for right at most where there were fewer."""


def calibrate_graph(
    map_: Map,
    predictor: Regresses,
    features: Sequence[Features],
    max_samples: int = 60,
    progress: Progress = silent,
) -> Map:
    """The map with `graph.calibration`. `features`: of each reference, in order, to refine by.

    At most `max_samples` references are tried, evenly spread, by the descriptors that the map keeps of them:
    each without its surroundings, and in the part of the map that does not show it.
    """
    assert map_.graph is not None
    chosen = evenly(len(map_), max_samples)
    road = GraphRoad(map_, predictor, StructureLocalizer(map_), calibration=GraphCalibration())
    descriptors = np.asarray(map_.global_descriptors)
    asked: list[Trial] = []
    for index in tracked(chosen.tolist(), progress, "asking the network"):
        asked += trials(road, descriptors, [index])
    known = edge_calibration(map_, asked)
    known = replace(known, regression=_regression(map_, asked, known))
    known = replace(known, refined=calibrate_refined(map_, predictor, asked, features, known, progress))
    values = {**known.to_dict(), "tried": {"references": len(chosen), "asked": len(asked)}}
    return replace(map_, graph=replace(map_.graph, calibration=values))


def edge_calibration(map_: Map, asked: Sequence[Trial]) -> GraphCalibration:
    """Factors of the predicted variances, from references that were asked about where the map shows them."""
    shown = [t for t in asked if t.shown and len(t.edges.references)]
    if not shown:
        return GraphCalibration()
    error = np.concatenate([edge_errors(map_, t) for t in shown])
    covariance = np.concatenate([t.edges.covariance for t in shown])
    return GraphCalibration(*variance_factors(error, covariance))


def _regression(map_: Map, asked: Sequence[Trial], known: GraphCalibration) -> Calibration:
    """Covariance from the right ones; how many must agree, and how many of those are right, from all."""
    shown = [s for t in asked if t.shown and (s := sample(map_, t, known)) is not None]
    provoked = [s for t in asked if not t.shown and (s := sample(map_, t, known)) is not None]
    right = [s for s in shown if not s.is_beyond(WRONG)]
    fitted = fit_calibration(right, WRONG, widened=ANOTHER_DRIVE)
    wrong = [s for s in (*shown, *provoked) if s.is_beyond(WRONG)]
    most = max((s.hypothesis.evidence.matches for s in shown), default=0)
    least, share = _least(fitted, right, wrong, most)
    if len(provoked) < _PROVOKED:
        share = min(share, _UNTESTED)
    availability = sum(_stands(s, replace(fitted, min_inliers=least)) for s in right) / max(len(shown), 1)
    return replace(fitted, min_inliers=least, share_right=share, availability=availability)


def _least(
    fitted: Calibration, right: Sequence[Sample], wrong: Sequence[Sample], most: int
) -> tuple[int, float]:
    """How many references must agree, and the share of such poses that was right (Laplace's rule).

    The fewest with which that share is enough for a pose to be sure of; if none is, the best.
    """
    options = ArbiterOptions()
    best = options.min_references, 0.0
    for count in range(options.min_references, most + 1):
        trusted = replace(fitted, min_inliers=count)
        good, bad = (sum(_stands(s, trusted) for s in group) for group in (right, wrong))
        share = (good + 1) / (good + bad + 2)
        if share > best[1]:
            best = count, share
        if share >= options.surely_right:
            break
    return best


def _stands(sample: Sample, calibration: Calibration) -> bool:
    """Whether such a pose would be published."""
    arbiter = Arbiter(calibration, ArbiterOptions(), {REGRESSION: calibration})
    return arbiter.decide([sample.hypothesis], "").has_pose
