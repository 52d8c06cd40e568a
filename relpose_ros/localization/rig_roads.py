"""The roads of a rig: landmarks by all cameras together; where they do not suffice, others one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from relpose_ros.geometry.rig import Mounts
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.circumstances import with_circumstances
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.localization.rig_structure import RigHypothesis, RigStructure, seen_from
from relpose_ros.localization.rivals import separate_places
from relpose_ros.localization.roads import Roads, total
from relpose_ros.types import Hypothesis

Places = list[list[Neighbour]]


class Told(NamedTuple):
    """A hypothesis as of camera `camera`: its own, or that of all cameras where it is `common`."""

    camera: int
    hypothesis: Hypothesis
    common: bool = False


@dataclass
class RigRoads:
    """Turns what C cameras see into hypotheses. `one`: the roads of one camera; `timings`: the last rig's, ms
    by stage."""

    one: Roads
    structure: RigStructure
    timings: dict[str, float] = field(default_factory=dict)

    def hypotheses(
        self, queries: Sequence[Query], neighbours: Sequence[list[Neighbour]], mounts: Mounts
    ) -> tuple[list[Told], RigHypothesis | None]:
        """Guesses of all roads taken, the common one first, with raw covariances; and that one as a rig's."""
        self.timings = {}
        places = [separate_places(self.one.map, retrieved) for retrieved in neighbours]
        common = self._by_structure(queries, places, mounts)
        told: list[Told] = []
        if common is not None:
            common, twins = self._among_twins(queries, places, common)
            told.append(Told(common.lead, self._in_its_circumstances(common, queries), True))
            told += [self._in_circumstances(camera, twin, queries) for camera, twin in twins]
        weak = common is None or common.found.evidence.inliers < self.one.options.weak_below
        for camera, query in enumerate(queries if weak else ()):
            before = [common.of_camera(camera)] if common is not None else []
            found, spent = self.one.beside_landmarks(query, places[camera][0], before)
            self.timings = total(self.timings, spent)
            told += [self._in_circumstances(camera, h, queries) for h in found]
        return told, common

    def _by_structure(
        self, queries: Sequence[Query], places: Sequence[Places], mounts: Mounts
    ) -> RigHypothesis | None:
        """As one camera's: the strongest features first, then all, the pruner, the matcher."""
        best: RigHypothesis | None = None
        first = [place[0] for place in places]
        for tried, pruner, matcher in self.one.tries(queries):
            found = self.structure.hypothesis(tried, first, mounts, pruner, matcher)
            self.timings = total(self.timings, self.structure.timings)
            if found is not None and (best is None or found.support > best.support):
                best = found
            if best is not None and best.support >= self.one.options.weak_below:
                break
        return best

    def _among_twins(
        self, queries: Sequence[Query], places: Sequence[Places], common: RigHypothesis
    ) -> tuple[RigHypothesis, list[tuple[int, Hypothesis]]]:
        """The common pose, doubted where the map knows places that look alike and no camera tells which.

        One camera that can tell, or that sees what nothing resembles, decides for all if it could have
        answered by itself (`weak_below` inliers). Else the strongest camera that cannot names the rival,
        and its poses at such places come with it; where a hint tells for all that cannot, it is named.
        """
        start = time.perf_counter()
        doubting: dict[int, list[Hypothesis]] = {}
        hinted: dict[int, str] = {}
        for camera, query in enumerate(queries):
            if common.inliers[camera] and self.one.has_twins(common.neighbours[camera]):
                judged = self.one.among_twins(query, places[camera], [common.of_camera(camera)])
                doubting |= {camera: judged} if judged[0].evidence.rival_place else {}
                hinted |= {camera: name} if (name := judged[0].evidence.hinted_away) else {}
        self.timings = total(self.timings, {"twins": 1e3 * (time.perf_counter() - start)})
        unsure = doubting.keys() | hinted.keys()
        sure = sum(count for camera, count in enumerate(common.inliers) if camera not in unsure)
        if not unsure or sure >= self.one.options.weak_below:
            return common, []
        if not doubting:
            return common.hinted(hinted[max(hinted, key=lambda c: common.inliers[c])]), []
        camera = max(doubting, key=lambda c: common.inliers[c])
        mine, *others = doubting[camera]
        return common.doubted(mine), [(camera, _rivalled(other, mine)) for other in others]

    def _in_circumstances(self, camera: int, hypothesis: Hypothesis, queries: Sequence[Query]) -> Told:
        focal = queries[camera].camera.focal
        return Told(camera, with_circumstances(self.one.map, hypothesis, focal))

    def _in_its_circumstances(self, common: RigHypothesis, queries: Sequence[Query]) -> Hypothesis:
        """As `with_circumstances` of the lead; the change of view: root mean square over all matches."""
        map_, lead = self.one.map, queries[common.lead]
        found = with_circumstances(map_, common.found, lead.camera.focal)
        counts = np.array(common.inliers, float)
        changes = [
            with_circumstances(map_, common.of_camera(c), query.camera.focal).evidence.view_change
            if n
            else 0.0
            for c, (query, n) in enumerate(zip(queries, common.inliers, strict=True))
        ]
        change = float(np.sqrt((counts * np.square(changes)).sum() / counts.sum()))
        # The floors of the covariance go with the residual: it must not be blind to mounts that are off.
        residual = found.evidence.residual_angle * common.scatter
        evidence = replace(found.evidence, view_change=change, residual_angle=residual)
        return replace(found, covariance=found.covariance * common.scatter**2, evidence=evidence)


def moved(told: Told, base_from_camera: Rigid, camera: int) -> Told:
    """A hypothesis as of another camera of the rig."""
    if told.camera == camera:
        return told
    other = base_from_camera[told.camera].inverse() @ base_from_camera[camera]
    return Told(camera, seen_from(told.hypothesis, other), told.common)


def mounted(told: Told, mounts: Mounts) -> Told:
    """With what the camera's mount is off by, where it is not in the hypothesis: one that is not common."""
    if told.hypothesis.mount_covariance is not None:
        return told
    added = mounts.covariance(told.camera)
    return told._replace(hypothesis=replace(told.hypothesis, mount_covariance=added))


def contested(told: Sequence[Told], contradict: Callable[[Hypothesis, Hypothesis], bool]) -> list[Told]:
    """Hypotheses as of one camera (`moved`); those that a road has from several cameras must agree.

    Where two contradict each other they are rivals: nobody knows which camera is right.
    """
    found = []
    for mine in told:
        hypothesis = mine.hypothesis
        others = [
            other.hypothesis.evidence.inliers
            for other in told
            if other.hypothesis.method == hypothesis.method != "structure"
            and contradict(hypothesis, other.hypothesis)
        ]
        rival = max([hypothesis.evidence.rival_inliers, *others])
        evidence = replace(hypothesis.evidence, rival_inliers=rival)
        found.append(mine._replace(hypothesis=replace(hypothesis, evidence=evidence)))
    return found


def _rivalled(other: Hypothesis, mine: Hypothesis) -> Hypothesis:
    """A pose at a look-alike place: it is not believed against the cameras that found another."""
    evidence = other.evidence
    place = evidence.rival_place or mine.references[0]
    inliers = max(evidence.rival_inliers, mine.evidence.inliers)
    return replace(other, evidence=replace(evidence, rival_place=place, rival_inliers=inliers))
