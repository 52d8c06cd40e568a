"""The road of regressed relative poses: alone, and refined by landmarks near where it expects them.

A network says from each of several references where the query's camera is. What it says is a guess from how
images look: nothing was measured. So it is heard last (arbiter.py), and not at all in a map where nobody
knows what its guesses are worth (graph_calibration.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import CheckpointError, MapError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.arbiter import REFINED
from relpose_ros.localization.circumstances import with_circumstances
from relpose_ros.localization.graph_agreement import GraphCalibration, agreement, unknown
from relpose_ros.localization.guided import GuidedOptions, guided_matches
from relpose_ros.localization.pairwise import RelativePose
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.localization.structure import StructureLocalizer
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.graph_rows import GraphFeatures
from relpose_ros.retrieval.graph_images import GraphInput, graph_image
from relpose_ros.types import Hypothesis

if TYPE_CHECKING:
    from relpose_ros.checkpoints.graph import Edges
    from relpose_ros.checkpoints.graph_header import GraphInfo

Floats = NDArray[np.float32]

_SAME = 22.458
"""Squared Mahalanobis distance of a refined pose from the regressed one: 99.9 % of chi-square, 6 degrees."""


class Regresses(Protocol):
    """Whatever describes images and says relative poses: `checkpoints.graph.GraphPredictor` does."""

    path: Path
    name: str
    graph: GraphInfo

    @property
    def identity(self) -> str: ...

    def features(self, images: Floats) -> Floats: ...

    def relative(self, query: Floats, references: Floats, map_from_reference: Rigid) -> Edges: ...


@dataclass(frozen=True)
class GraphRoadOptions:
    """`neighbours` references asked, every `period`-th of their ranking (None: as the network was trained);
    `refine`: whether landmarks are looked for by the regressed pose, as `guided` says."""

    neighbours: int | None = None
    period: int | None = None
    refine: bool = True
    guided: GuidedOptions = field(default_factory=GuidedOptions)


@dataclass
class GraphRoad:
    """The road in one map, whose references' descriptors it keeps. `timings`: the last query's milliseconds.

    Raises MapError where the map keeps no such descriptors, CheckpointError where they are another network's,
    or where its metres mean nothing in the map.
    """

    map: Map
    predictor: Regresses
    structure: StructureLocalizer
    options: GraphRoadOptions = field(default_factory=GraphRoadOptions)
    calibration: GraphCalibration | None = None
    timings: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rows = check_fits(self.map, self.predictor)
        self._input = GraphInput.from_dict(self._rows.input)
        if self.calibration is None:
            self.calibration = GraphCalibration.from_dict(self._rows.calibration)

    @property
    def known(self) -> GraphCalibration:
        """What held-out references taught, or the prior."""
        return self.calibration or GraphCalibration()

    @property
    def asked(self) -> int:
        """References in a graph, at most."""
        return self.options.neighbours or self.predictor.graph.neighbours

    @property
    def ranked(self) -> int:
        """Retrieved references that it chooses from."""
        return self.asked * (self.options.period or self.predictor.graph.period)

    def describe(self, image: NDArray[np.uint8], camera: Camera) -> Floats:
        """Descriptor (D,) of a uint8 image, grey (H, W) or BGR (H, W, 3), of `camera`."""
        found: Floats = self.predictor.features(graph_image(image, camera, self._input)[None])[0]
        return found

    def chosen(self, ranking: Sequence[Neighbour]) -> list[Neighbour]:
        """Of ranked references those that are asked: the best, and then in steps, for they must differ.

        The steps are shorter where there are too few; nothing is drawn at random.
        """
        step = max(1, min(self.options.period or self.predictor.graph.period, len(ranking) // self.asked))
        return list(ranking[::step][: self.asked])

    def edges(self, descriptor: Floats, neighbours: Sequence[Neighbour]) -> Edges:
        """What the network says of a query, given by its descriptor (D,), from each of these references."""
        rows = self._rows.descriptors[np.array([n.index for n in neighbours])]
        poses = Rigid.stack([n.map_from_camera for n in neighbours])
        return self.predictor.relative(descriptor, np.asarray(rows, np.float32), poses)

    def relative_poses(
        self, image: NDArray[np.uint8], camera: Camera, neighbours: Sequence[Neighbour]
    ) -> list[RelativePose]:
        """Relative poses to the first of these neighbours, metric, with calibrated covariance.

        They have no matches: counts are 0.
        """
        asked = list(neighbours[: self.asked])
        if not asked:
            return []
        edges = self.edges(self.describe(image, camera), asked)
        covariance = self.known.edge_covariance(edges.covariance)
        none = np.zeros((0, 2))
        found = []
        for k, i in enumerate(edges.references.tolist()):
            pose, name = edges.reference_from_query[k], asked[i].name
            found.append(RelativePose(name, asked[i].index, pose, covariance[k], 0, 0, True, none, none))
        return found

    def hypotheses(self, query: Query, neighbours: list[Neighbour]) -> list[Hypothesis]:
        """A regressed pose, and the same refined where enough landmarks were found; none without an image.

        `query.ranking`: what is chosen from, the neighbours where there is none.
        """
        self.timings = {}
        if query.image is None or not neighbours:
            return []
        start = time.perf_counter()
        descriptor = self.describe(query.image, query.camera)
        self.timings["graph_features"] = 1e3 * (time.perf_counter() - start)
        return self.hypotheses_of(descriptor, query, neighbours)

    def hypotheses_of(
        self, descriptor: Floats, query: Query, neighbours: list[Neighbour]
    ) -> list[Hypothesis]:
        """Like `hypotheses`, from a descriptor (D,) that was made elsewhere."""
        start = time.perf_counter()
        asked = self.chosen(query.ranking or neighbours)
        edges = self.edges(descriptor, asked)
        found = agreement(self.map, asked, edges, self.known, query.camera.focal)
        self.timings["regression"] = 1e3 * (time.perf_counter() - start)
        if found is None:
            return []
        start = time.perf_counter()
        refined = self.refined(found, query, neighbours) if self.options.refine else None
        self.timings["guided"] = 1e3 * (time.perf_counter() - start)
        return [found] if refined is None else [refined, found]

    def refined(self, regressed: Hypothesis, query: Query, neighbours: list[Neighbour]) -> Hypothesis | None:
        """The pose by landmarks near where `regressed` expects them, if it lies where that one may be.

        It is objected to as that one is, and where what refined poses are worth in this map is not known.
        """
        seen_there = with_circumstances(self.map, regressed, query.camera.focal)
        covariance = self.known.regression.covariance(seen_there)
        pose = regressed.map_from_camera
        matches = guided_matches(self.map, query, neighbours, pose, covariance, self.options.guided)
        if len(matches.features) < self.structure.options.min_matches:
            return None
        seen = self.structure.matched_by(self.structure.look(query, neighbours), matches)
        found = self.structure.hypotheses_of(seen)
        if not found:
            return None
        twist = pose.error_to(found[0].map_from_camera)
        if not float(twist @ np.linalg.solve(covariance, twist)) < _SAME:
            return None
        objection = regressed.evidence.objection or unknown(self.known.refined, "refined")
        evidence = replace(found[0].evidence, objection=found[0].evidence.objection or objection)
        return replace(found[0], evidence=evidence, method=REFINED)


def open_regressor(checkpoint: str | Path | Regresses) -> Regresses:
    """A checkpoint's predictor, or the one that was given."""
    if not isinstance(checkpoint, str | Path):
        return checkpoint
    from relpose_ros.checkpoints.graph import GraphPredictor

    return GraphPredictor(checkpoint)


def check_fits(map_: Map, predictor: Regresses) -> GraphFeatures:
    """What the map keeps for a network. Raises MapError where it keeps nothing, CheckpointError where it
    does for another one, or is not in metres."""
    name = str(map_.path or map_.name)
    attach = (
        f"`relpose map attach {name} SOURCE... --relpose-gnn {predictor.path} --out NEW.relmap`, with all "
        "sources that it was made of"
    )
    if map_.graph is None:
        raise MapError(
            f"{name}: this map keeps no descriptors of its references for {predictor.path}, and no images to "
            f"make them from; attach them: {attach}"
        )
    if map_.graph.sha256 != predictor.identity:
        raise CheckpointError(
            f"{predictor.path} (sha256 {predictor.identity[:12]}): the map {name} keeps descriptors made by "
            f"{map_.graph}; give that file, or attach those of this one: {attach}"
        )
    if not map_.metric:
        raise CheckpointError(
            f"{predictor.path}: it says metres, and the map {name} has no scale; use it with a metric map"
        )
    return map_.graph
