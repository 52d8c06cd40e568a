"""References of a map as queries: in the map without their surroundings, and where it does not show them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.graph import Edges
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.calibration import Sample
from relpose_ros.localization.circumstances import with_circumstances
from relpose_ros.localization.graph_agreement import GraphCalibration, agreement
from relpose_ros.localization.graph_road import GraphRoad
from relpose_ros.localization.holdout import elsewhere, held_out
from relpose_ros.localization.query import Neighbour
from relpose_ros.localization.rivals import separate_places
from relpose_ros.maps.bundle import Map

Index = NDArray[np.intp]


@dataclass(frozen=True)
class Trial:
    """Reference `index` as a query with the references `kept` alone.

    `shown`: whether they show what it shows; `ranking` of them by looks; `asked`: those that the network was
    asked about, `edges`: what it said.
    """

    index: int
    kept: Index
    shown: bool
    ranking: tuple[Neighbour, ...]
    asked: tuple[Neighbour, ...]
    edges: Edges


def trials(road: GraphRoad, descriptors: NDArray[np.float32], chosen: Sequence[int]) -> Iterator[Trial]:
    """Of each chosen reference: without its surroundings, as `calibrate` does it, and where it is not.

    `descriptors` (R, G): global ones of all references, by which the others are ranked.
    """
    map_ = road.map
    everybody = np.arange(len(map_))
    for index in chosen:
        away = np.flatnonzero(elsewhere(map_, index))
        parts = [(np.setdiff1d(everybody, removed), True) for removed in held_out(map_, index)]
        for kept, shown in [*parts, (away, False)]:
            if len(kept) >= 2:
                yield _trial(road, descriptors, index, kept, shown)


def sample(map_: Map, trial: Trial, calibration: GraphCalibration) -> Sample | None:
    """The regressed pose of a trial and the true one; None where the network says nothing."""
    focal = map_.cameras[trial.index].focal
    found = agreement(map_, trial.asked, trial.edges, calibration, focal)
    if found is None:
        return None
    # What is asked here is what such poses are worth: that nobody knows it yet is no objection.
    found = replace(found, evidence=replace(found.evidence, objection=""))
    others = replace(map_, reference_poses=map_.reference_poses[trial.kept])
    return Sample(with_circumstances(others, found, focal), map_.reference_poses[trial.index])


def edge_errors(map_: Map, trial: Trial) -> NDArray[np.float64]:
    """Twists (E, 6) from what the network said of each edge to the truth, in the axes of its reference."""
    references = Rigid.stack([trial.asked[i].map_from_camera for i in trial.edges.references.tolist()])
    truth = references.inverse() @ map_.reference_poses[trial.index]
    return trial.edges.reference_from_query.error_to(truth)


def _trial(road: GraphRoad, descriptors: NDArray[np.float32], index: int, kept: Index, shown: bool) -> Trial:
    scores = descriptors[kept] @ descriptors[index]
    best = np.argsort(-scores, kind="stable")[: road.ranked]
    ranking = [Neighbour.of(road.map, int(kept[i]), float(scores[i])) for i in best]
    ranking = separate_places(road.map, ranking)[0]
    asked = road.chosen(ranking)
    assert road.map.graph is not None
    own = np.asarray(road.map.graph.descriptors[index])
    return Trial(index, kept, shown, tuple(ranking), tuple(asked), road.edges(own, asked))
