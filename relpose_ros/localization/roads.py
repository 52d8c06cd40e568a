"""The roads from a query to hypotheses, and when which is taken."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from relpose_ros.features.graph_matching import PairMatcher
from relpose_ros.features.pruning import Judge
from relpose_ros.localization.circumstances import with_circumstances
from relpose_ros.localization.graph_road import GraphRoad
from relpose_ros.localization.options import LocalizerOptions
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.localization.relative import RelativeLocalizer
from relpose_ros.localization.rivals import (
    Candidate,
    doubted,
    filled,
    judged,
    looked_at,
    rivals_of,
    separate_places,
    twin_places,
)
from relpose_ros.localization.structure import StructureLocalizer
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Hypothesis

Try = tuple[list[Query], Judge | None, PairMatcher | None]
"""Queries with some or all of their features, and what judges or makes their matches."""


@dataclass
class Roads:
    """Roads through a map. `pruner` and `matcher`: of the structure road, for where it finds too little."""

    map: Map
    options: LocalizerOptions
    structure: StructureLocalizer
    relative: RelativeLocalizer
    graph: GraphRoad | None = None
    pruner: Judge | None = None
    matcher: PairMatcher | None = None

    def hypotheses(
        self, query: Query, neighbours: list[Neighbour]
    ) -> tuple[list[Hypothesis], dict[str, float]]:
        """Guesses of all roads taken, with raw covariances, and milliseconds by stage."""
        places = separate_places(self.map, neighbours)
        found, timings = self._by_structure(query, places[0])
        if self.has_twins(neighbours):
            start = time.perf_counter()
            found = self.among_twins(query, places, found)
            timings["twins"] = 1e3 * (time.perf_counter() - start)
        if _support(found) < self.options.weak_below:
            beside, spent = self.beside_landmarks(query, places[0], found)
            found, timings = found + beside, timings | spent
        return [with_circumstances(self.map, h, query.camera.focal) for h in found], timings

    def neighbour(self, index: int, score: float = 0.0) -> Neighbour:
        """A reference of the map."""
        return Neighbour.of(self.map, index, score)

    def has_twins(self, neighbours: Sequence[Neighbour]) -> bool:
        """Whether the map knows a place that looks like that of one of these references."""
        return any(n.index in self.map.twins_of for n in neighbours)

    def tries(self, queries: Sequence[Query]) -> list[Try]:
        """How the structure road is taken until it finds enough.

        With the strongest features; where they find too little, with all, the pruner, the matcher.
        """
        whole = list(queries)
        first = [query.strongest(self.options.first_keypoints) for query in whole]
        fewer = any(len(f.features) < len(w.features) for f, w in zip(first, whole, strict=True))
        found: list[Try] = [(first, None, None)]
        found += [(whole, None, None)] if fewer else []
        found += [(whole, self.pruner, None)] if self.pruner is not None else []
        found += [(whole, None, self.matcher)] if self.matcher is not None else []
        return found

    def among_twins(
        self, query: Query, places: list[list[Neighbour]], found: list[Hypothesis]
    ) -> list[Hypothesis]:
        """What was found at the first of `places`, and at others that look like it; all judged."""
        first, options = query.strongest(self.options.first_keypoints), self.options.rivals
        retrieved = rivals_of(self.map, places)
        known = [n for place in (places[0], *retrieved) for n in place]
        others = twin_places(self.map, known, self.neighbour)
        candidates = [Candidate(h, places[0]) for h in found]
        for place in looked_at([*retrieved, *others], query.hint, options.places):
            whole = filled(self.map, place, options.references, self.neighbour)
            candidates += [Candidate(h, whole) for h in self.structure.hypotheses(first, whole)]
        return judged(self.map, first, candidates, options)

    def beside_landmarks(
        self, query: Query, place: list[Neighbour], found: Sequence[Hypothesis]
    ) -> tuple[list[Hypothesis], dict[str, float]]:
        """What is tried where landmarks `found` too little, doubted where places look alike."""
        start = time.perf_counter()
        told = [doubted(self.map, h, found) for h in self.relative.hypotheses(query, place)]
        timings = {"relative": 1e3 * (time.perf_counter() - start)}
        if self.graph is None:
            return told, timings
        if query.ranking:
            # References of one place alone: a network told of two would answer between them.
            query = replace(query, ranking=tuple(separate_places(self.map, query.ranking)[0]))
        told += [doubted(self.map, h, found) for h in self.graph.hypotheses(query, place)]
        return told, timings | self.graph.timings

    def _by_structure(
        self, query: Query, neighbours: list[Neighbour]
    ) -> tuple[list[Hypothesis], dict[str, float]]:
        found: list[Hypothesis] = []
        timings: dict[str, float] = {}
        for (tried,), pruner, matcher in self.tries([query]):
            found = max(found, self.structure.hypotheses(tried, neighbours, pruner, matcher), key=_support)
            timings = total(timings, self.structure.timings)
            if _support(found) >= self.options.weak_below:
                break
        return found, timings


def total(*timings: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds by stage, added up."""
    stages = dict.fromkeys(stage for each in timings for stage in each)
    return {stage: sum(each.get(stage, 0.0) for each in timings) for stage in stages}


def _support(hypotheses: Sequence[Hypothesis]) -> int:
    return max((h.evidence.inliers for h in hypotheses), default=0)
