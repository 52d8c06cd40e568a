"""Landmarks that several cameras of a rig see -> one pose: the structure road with a generalized camera."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from relpose_ros.features.graph_matching import PairMatcher
from relpose_ros.features.pruning import Judge
from relpose_ros.geometry.covariance import transform_pose_covariance
from relpose_ros.geometry.refinement import Linearization
from relpose_ros.geometry.rig import (
    Mounts,
    RigConsensus,
    RigView,
    mount_covariance,
    refine_rig_pose,
    rig_consensus,
    rig_covariance,
)
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions
from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.localization.rig_agreement import OwnPose, RigOptions, disagreeing, own_poses, scatter
from relpose_ros.localization.structure import Index, Sighting, StructureLocalizer
from relpose_ros.types import Evidence, Hypothesis, Matches


@dataclass(frozen=True)
class RigHypothesis:
    """One pose for all cameras.

    `found` is that of camera `lead`, the one with most inliers, so that all that is judged of a camera's pose
    (depth, spread, floors of the covariance) means the same. `lead_from_camera` (C,) batched. `matches`: of
    each camera. `apart`: what each camera says that disagrees. `scatter`: how far cameras are from the pose,
    over how far their covariances allow, at least 1.
    """

    found: Hypothesis
    lead: int
    lead_from_camera: Rigid
    matches: tuple[Matches, ...]
    neighbours: tuple[list[Neighbour], ...]
    apart: Mapping[int, OwnPose]
    scatter: float = 1.0

    @property
    def inliers(self) -> list[int]:
        """Of each camera."""
        return [int(matches.inlier.sum()) for matches in self.matches]

    @property
    def support(self) -> int:
        """Of all cameras."""
        return self.found.evidence.inliers

    def doubted(self, by: Hypothesis) -> RigHypothesis:
        """With the rival place that one camera's hypothesis names."""
        evidence = self.found.evidence
        rival = max(evidence.rival_inliers, by.evidence.rival_inliers)
        evidence = replace(evidence, rival_inliers=rival, rival_place=by.evidence.rival_place)
        names = tuple(dict.fromkeys((*by.references, *self.found.references)))
        return replace(self, found=replace(self.found, evidence=evidence, references=names))

    def hinted(self, away: str) -> RigHypothesis:
        """Standing by a hint, which excludes the place of the reference `away`."""
        evidence = replace(self.found.evidence, hinted_away=away)
        return replace(self, found=replace(self.found, evidence=evidence))

    def of_camera(self, camera: int) -> Hypothesis:
        """The same pose as one camera's, with its own matches for evidence."""
        moved = seen_from(self.found, self.lead_from_camera[camera])
        evidence = replace(moved.evidence, inliers=self.inliers[camera])
        names = tuple(n.name for n in self.neighbours[camera])
        return replace(moved, evidence=evidence, matches=self.matches[camera], references=names)


def seen_from(hypothesis: Hypothesis, camera_from_other: Rigid) -> Hypothesis:
    """A camera's hypothesis as one of something else that is fixed to it."""
    pose = hypothesis.map_from_camera
    covariance = transform_pose_covariance(hypothesis.covariance, pose, camera_from_other)
    added = hypothesis.mount_covariance
    added = None if added is None else transform_pose_covariance(added, pose, camera_from_other)
    moved = pose @ camera_from_other
    return replace(hypothesis, map_from_camera=moved, covariance=covariance, mount_covariance=added)


@dataclass
class RigStructure:
    """The road through the landmarks, for several cameras. `timings`: the last query's, ms by stage."""

    structure: StructureLocalizer
    calibration: Calibration
    options: RigOptions = field(default_factory=RigOptions)
    timings: dict[str, float] = field(default_factory=dict)

    def hypothesis(
        self,
        queries: Sequence[Query],
        neighbours: Sequence[list[Neighbour]],
        mounts: Mounts,
        pruner: Judge | None = None,
        matcher: PairMatcher | None = None,
    ) -> RigHypothesis | None:
        """The pose that all cameras (C) together speak for; as `rival_inliers` the support of others.

        `pruner` and `matcher` as on the structure road.
        """
        start = time.perf_counter()
        sightings = [
            self.structure.look(query, place, pruner, matcher)
            for query, place in zip(queries, neighbours, strict=True)
        ]
        matched = time.perf_counter()
        consensus = self._consensus(sightings, mounts.base_from_camera)
        solved = time.perf_counter()
        found = None
        if consensus is not None and consensus.support >= self.structure.options.min_matches:
            found = self._agreed(sightings, mounts, consensus)
        stages = {"match": matched - start, "solve": solved - matched, "refine": time.perf_counter() - solved}
        self.timings = {stage: 1e3 * seconds for stage, seconds in stages.items()}
        return found

    def _consensus(self, sightings: Sequence[Sighting], base_from_camera: Rigid) -> RigConsensus | None:
        seen = self._view(sightings, [s.kept for s in sightings], base_from_camera)
        if len(seen) < self.structure.options.min_matches:
            return None
        options = RansacOptions(self.structure.options.max_error_px, seed=sightings[0].query.seed)
        return rig_consensus(seen, options)

    def _agreed(
        self, sightings: Sequence[Sighting], mounts: Mounts, consensus: RigConsensus
    ) -> RigHypothesis | None:
        """The pose of the cameras that agree; the others have no part in it, and are rivals."""
        own = own_poses(sightings, consensus, mounts, self.structure, self.calibration, self.options)
        apart = disagreeing(own, mounts.base_from_camera, self.options)
        if apart:
            silent = [_silent(s) if c in apart else s for c, s in enumerate(sightings)]
            again = self._consensus(silent, mounts.base_from_camera)
            if again is None:
                return None
            consensus = again
        found = self._refined(sightings, mounts, consensus, apart)
        if found is None:
            return None
        rival = self._support_apart(sightings, found, len(own) - len(apart))
        evidence = found.found.evidence
        evidence = replace(evidence, rival_inliers=max(rival, evidence.rival_inliers))
        apart_by = scatter(own, found.found.map_from_camera, found.lead_from_camera, self.options)
        return replace(found, found=replace(found.found, evidence=evidence), scatter=apart_by)

    def _refined(
        self,
        sightings: Sequence[Sighting],
        known: Mounts,
        consensus: RigConsensus,
        apart: Mapping[int, OwnPose],
    ) -> RigHypothesis | None:
        lead = int(np.argmax([int(inlier.sum()) for inlier in consensus.inliers]))
        base_from_lead = known.base_from_camera[lead]
        mounts = base_from_lead.inverse() @ known.base_from_camera
        start = consensus.map_from_base @ base_from_lead
        chosen = [
            np.zeros(0, np.intp) if c in apart else self.structure.agreeing(seen, start @ mounts[c])
            for c, seen in enumerate(sightings)
        ]
        seen = self._view(sightings, chosen, mounts)
        if len(seen) < self.structure.options.min_matches:
            return None
        pose, line, weight = refine_rig_pose(start, seen)
        inlier = line.squared < self.structure.options.gate_sigma**2
        if inlier.sum() < self.structure.options.min_matches:
            return None
        agreeing = seen.split(inlier)
        fitted = line[inlier], seen[agreeing], weight[inlier]
        covariance, by_mounts = rig_covariance(*fitted), mount_covariance(*fitted, pose, known)
        left = [
            self._unexplained_by(apart[c].map_from_camera, s)
            if c in apart
            else s.unexplained(s.kept[consensus.inliers[c]], chosen[c])
            for c, s in enumerate(sightings)
        ]
        rival = max(
            self._rival(sightings, left, mounts, pose, len(seen)),
            self._rival_of_nearest(sightings, mounts, pose, int(inlier.sum()), apart),
        )
        matches = tuple(
            Matches(s.query.features.keypoints[c].astype(float), one.points, agrees)
            for s, c, one, agrees in zip(sightings, chosen, seen.cameras, agreeing, strict=True)
        )
        evidence = _evidence(sightings, matches, seen, line, inlier, lead, rival)
        neighbours = tuple(s.neighbours for s in sightings)
        names = _names(neighbours, [int(a.sum()) for a in agreeing])
        found = Hypothesis(pose, covariance, evidence, "structure", names, matches[lead], by_mounts)
        return RigHypothesis(found, lead, mounts, matches, neighbours, apart)

    def _view(self, sightings: Sequence[Sighting], chosen: Sequence[Index], mounts: Rigid) -> RigView:
        seen = [self.structure.correspondences(s, c) for s, c in zip(sightings, chosen, strict=True)]
        return RigView(tuple(seen), mounts)

    def _rival(
        self, sightings: Sequence[Sighting], left: Sequence[Index], mounts: Rigid, pose: Rigid, support: int
    ) -> int:
        """Support of the best pose elsewhere that explains what is left over."""
        if not self.structure.may_hide_rival(sum(len(index) for index in left), support):
            return 0
        search = self.structure.rival_search(sightings[0].query.seed)
        rival = rig_consensus(self._view(sightings, left, mounts), search)
        if rival is None or self.structure.is_same_place(pose, rival.map_from_base):
            return 0
        return rival.support

    def _rival_of_nearest(
        self,
        sightings: Sequence[Sighting],
        mounts: Rigid,
        pose: Rigid,
        support: int,
        apart: Mapping[int, OwnPose],
    ) -> int:
        """What the nearest landmarks say for another place, where a matcher found the pose."""
        plain = [s.plain or s for s in sightings]
        if all(s.plain is None for s in sightings):
            return 0
        poses = [apart[c].map_from_camera if c in apart else pose @ mounts[c] for c in range(len(plain))]
        left = [self._unexplained_by(p, s) for p, s in zip(poses, plain, strict=True)]
        return self._rival(plain, left, mounts, pose, support)

    def _support_apart(self, sightings: Sequence[Sighting], found: RigHypothesis, agreeing: int) -> int:
        """Support of what the disagreeing cameras say together.

        Where only mounts differ the majority of cameras is right: those that are knocked count if they are as
        many as those that agree. Of those that speak for another place all count: what looks alike may
        deceive several cameras at once.
        """
        mounts, pose = found.lead_from_camera, found.found.map_from_camera
        knocked = [
            camera
            for camera, own in found.apart.items()
            if self.structure.is_same_place(pose @ mounts[camera], own.map_from_camera, self.options.knocked)
        ]
        rivals = [c for c in found.apart if c not in knocked or len(knocked) >= agreeing]
        alone = max((found.apart[camera].inliers for camera in rivals), default=0)
        if len(rivals) < 2:
            return alone
        chosen = [s.kept if c in rivals else s.kept[:0] for c, s in enumerate(sightings)]
        search = self.structure.rival_search(sightings[0].query.seed)
        together = rig_consensus(self._view(sightings, chosen, mounts), search)
        return max(alone, together.support if together is not None else 0)

    def _unexplained_by(self, map_from_camera: Rigid, seen: Sighting) -> Index:
        """Tentative matches beside those that a camera's pose explains."""
        explained = self.structure.agreeing(seen, map_from_camera)
        return np.setdiff1d(seen.tentative, explained, assume_unique=True)


def _silent(seen: Sighting) -> Sighting:
    """A camera whose matches the solver does not see."""
    return replace(seen, kept=seen.kept[:0])


def _evidence(
    sightings: Sequence[Sighting],
    matches: Sequence[Matches],
    seen: RigView,
    line: Linearization,
    inlier: np.ndarray[tuple[int], np.dtype[np.bool_]],
    lead: int,
    rival: int,
) -> Evidence:
    """Counts of all cameras together; the residual in pixels of the lead."""
    focal = np.concatenate([np.full(len(one), one.focal) for one in seen.cameras])
    residual = np.sqrt(line.squared) * (sightings[lead].query.camera.focal / focal)
    spread = sum(s.query.spread(m.pixels[m.inlier]) for s, m in zip(sightings, matches, strict=True))
    return Evidence(
        inliers=int(inlier.sum()),
        matches=sum(len(s.tentative) for s in sightings),
        spread=min(spread, 1.0),
        residual_px=float(np.median(residual[inlier])),
        rival_inliers=rival,
    )


def _names(neighbours: Sequence[list[Neighbour]], inliers: Sequence[int]) -> tuple[str, ...]:
    """The references of all cameras that contribute, those of the strongest first, each once."""
    order = np.argsort(-np.array(inliers), kind="stable").tolist()
    return tuple(dict.fromkeys(n.name for c in order if inliers[c] for n in neighbours[c]))
