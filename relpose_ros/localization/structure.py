"""Query features -> landmarks seen by the retrieved references -> PnP."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.graph_matching import PairMatcher
from relpose_ros.features.matching import NearestNeighbours, nearest_neighbours
from relpose_ros.features.pruning import Judge
from relpose_ros.geometry.covariance import clustered_covariance, image_blocks
from relpose_ros.geometry.refinement import Correspondences, refine_pose
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions, RobustPose, absolute_pose
from relpose_ros.localization.graph_matches import instead_of_nearest, to_landmarks
from relpose_ros.localization.landmark_pruning import credible
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Evidence, Hypothesis, Matches

Index = NDArray[np.integer]

_BEHIND = -0.2
"""Cosine to the mean direction a landmark was seen from; what was seen all round has a short mean."""


@dataclass(frozen=True)
class StructureOptions:
    """`ratio`: Lowe's ratio; `max_error_px`: RANSAC threshold; `gate_sigma`: an inlier's largest
    Mahalanobis residual after refinement; `min_matches` below which no pose is tried; `judges`: most
    similar references through which a pruner judges the matches, or a matcher makes them."""

    ratio: float = 0.85
    max_error_px: float = 6.0
    gate_sigma: float = 4.0
    min_matches: int = 6
    judges: int = 3


@dataclass
class StructureLocalizer:
    """The road through the landmarks. `timings` holds the last query's milliseconds by stage."""

    map: Map
    options: StructureOptions = field(default_factory=StructureOptions)
    timings: dict[str, float] = field(default_factory=dict)

    def hypotheses(
        self,
        query: Query,
        neighbours: list[Neighbour],
        pruner: Judge | None = None,
        matcher: PairMatcher | None = None,
    ) -> list[Hypothesis]:
        """At most one pose, and as `rival_inliers` the support of the best pose elsewhere.

        A `pruner` decides which matches the solver sees, and nothing else: the support of the pose, and that
        of a rival, are counted over all of them, so they mean what they mean without it. With a `matcher` the
        solver sees its matches, and the features that it matched have its landmark in place of the nearest.
        """
        start = time.perf_counter()
        landmarks = self._candidates(neighbours)
        nearest = nearest_neighbours(query.features.descriptors, self.map.landmarks.descriptors[landmarks])
        tentative = nearest.passing(self.options.ratio)
        matched = time.perf_counter()
        self.timings = {"match": 1e3 * (matched - start), "solve": 0.0, "refine": 0.0}
        plain = nearest, tentative
        if matcher is not None and len(landmarks):
            nearest, kept = self._by_matcher(query, neighbours, landmarks, nearest, matcher)
            tentative = np.union1d(tentative, kept)
        elif len(tentative) < self.options.min_matches:
            return []
        else:
            kept = self._pruned(query, neighbours, landmarks, nearest, tentative, pruner)
        if len(kept) < self.options.min_matches:
            return []
        pruned = time.perf_counter()
        robust = self._solve(query, landmarks, nearest, kept)
        solved = time.perf_counter()
        self.timings["solve"] = 1e3 * (solved - pruned)
        if robust is None or robust.inliers.sum() < self.options.min_matches:
            return []
        found = self._refine(query, neighbours, landmarks, nearest, tentative, kept, robust)
        if found is not None and matcher is not None:
            found = self._with_rival_of_nearest(found, query, landmarks, *plain)
        self.timings["refine"] = 1e3 * (time.perf_counter() - solved)
        return [found] if found is not None else []

    def _candidates(self, neighbours: list[Neighbour]) -> NDArray[np.int32]:
        if not neighbours:
            return np.zeros(0, np.int32)
        seen = np.zeros(len(self.map.landmarks), np.bool_)
        for neighbour in neighbours:
            seen[self.map.visible[neighbour.index]] = True
        return np.flatnonzero(seen).astype(np.int32)

    def _pruned(
        self,
        query: Query,
        neighbours: list[Neighbour],
        landmarks: Index,
        nearest: NearestNeighbours,
        tentative: Index,
        pruner: Judge | None,
    ) -> Index:
        """The tentative matches that the pruner, if there is one, lets through."""
        if pruner is None:
            return tentative
        start = time.perf_counter()
        judges = neighbours[: self.options.judges]
        may_be = credible(self.map, query, judges, landmarks[nearest.index], nearest, pruner)
        self.timings["prune"] = 1e3 * (time.perf_counter() - start)
        return tentative[may_be[tentative]]

    def _by_matcher(
        self,
        query: Query,
        neighbours: list[Neighbour],
        landmarks: Index,
        nearest: NearestNeighbours,
        matcher: PairMatcher,
    ) -> tuple[NearestNeighbours, Index]:
        """The nearest landmarks with the matcher's in their place where it has one, and which these are."""
        start = time.perf_counter()
        matches = to_landmarks(self.map, query, neighbours, matcher, self.options.judges)
        known = self.map.landmarks.descriptors
        nearest = instead_of_nearest(nearest, matches, landmarks, query.features.descriptors, known)
        self.timings["graph"] = 1e3 * (time.perf_counter() - start)
        return nearest, matches.features

    def _with_rival_of_nearest(
        self,
        found: Hypothesis,
        query: Query,
        landmarks: Index,
        nearest: NearestNeighbours,
        tentative: Index,
    ) -> Hypothesis:
        """What a matcher found, doubted also by what the nearest landmarks say for another place."""
        own = self._agreeing(query, landmarks, nearest, found.map_from_camera)
        left = np.setdiff1d(tentative, own, assume_unique=True)
        pose, evidence = found.map_from_camera, found.evidence
        rival = self._rival(query, landmarks, nearest, left, pose, evidence.inliers)
        evidence = replace(evidence, rival_inliers=max(rival, evidence.rival_inliers))
        return replace(found, evidence=evidence)

    def _solve(
        self, query: Query, landmarks: Index, nearest: NearestNeighbours, tentative: Index
    ) -> RobustPose | None:
        points = self.map.landmarks.points[landmarks[nearest.index[tentative]]]
        options = RansacOptions(self.options.max_error_px, seed=query.seed)
        return absolute_pose(query.rays[tentative], points, query.camera.focal, options)

    def _refine(
        self,
        query: Query,
        neighbours: list[Neighbour],
        landmarks: Index,
        nearest: NearestNeighbours,
        tentative: Index,
        kept: Index,
        robust: RobustPose,
    ) -> Hypothesis | None:
        chosen = self._agreeing(query, landmarks, nearest, robust.pose)
        if len(chosen) < self.options.min_matches:
            return None
        seen = self._correspondences(query, landmarks[nearest.index[chosen]], chosen)
        pose, line, weight = refine_pose(robust.pose, seen)
        inlier = line.squared < self.options.gate_sigma**2
        if inlier.sum() < self.options.min_matches:
            return None
        blocks = image_blocks(seen.rays[inlier])
        covariance = clustered_covariance(line[inlier], blocks, weight[inlier])
        # What was pruned may be another place's: only what agrees with this pose is not looked at.
        explained = np.concatenate([kept[robust.inliers], np.setdiff1d(chosen, kept)])
        left = np.setdiff1d(tentative, explained, assume_unique=True)
        rival = self._rival(query, landmarks, nearest, left, pose, len(chosen))
        evidence = Evidence(
            inliers=int(inlier.sum()),
            matches=len(tentative),
            spread=query.spread(query.features.keypoints[chosen[inlier]]),
            residual_px=float(np.median(np.sqrt(line.squared[inlier]))),
            rival_inliers=rival,
        )
        landmark_of = landmarks[nearest.index[chosen]]
        matches = Matches(
            query.features.keypoints[chosen].astype(float), self.map.landmarks.points[landmark_of], inlier
        )
        names = tuple(n.name for n in neighbours)
        return Hypothesis(pose, covariance, evidence, "structure", names, matches)

    def _correspondences(self, query: Query, landmarks: Index, chosen: Index) -> Correspondences:
        known = self.map.landmarks
        return Correspondences(
            query.rays[chosen], known.points[landmarks], known.covariances[landmarks], query.camera.focal
        )

    def _agreeing(self, query: Query, landmarks: Index, nearest: NearestNeighbours, pose: Rigid) -> Index:
        """Features whose nearest landmark projects onto them, whatever the ratio test said.

        One feature per landmark: the nearest in descriptor.
        """
        points = self.map.landmarks.points[landmarks[nearest.index]]
        local = (points - pose.translation) @ pose.rotation
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.abs(local[:, :2] / local[:, 2:] - query.rays).max(axis=1)
        close = (local[:, 2] > 0) & (error * query.camera.focal < self.options.max_error_px)
        # Nobody sees a wall from its back: a mirror image, and a flip of a flat scene, would.
        towards = pose.translation - points
        facing = (towards * self.map.seen_from[landmarks[nearest.index]]).sum(axis=1)
        close &= facing > _BEHIND * np.linalg.norm(towards, axis=1)
        chosen = np.flatnonzero(close)
        chosen = chosen[np.argsort(nearest.distance[chosen], kind="stable")]
        _, first = np.unique(nearest.index[chosen], return_index=True)
        return np.sort(chosen[first])

    def _rival(
        self,
        query: Query,
        landmarks: Index,
        nearest: NearestNeighbours,
        left: Index,
        pose: Rigid,
        support: int,
    ) -> int:
        """Support of the best pose that explains what the first one does not.

        0 without looking when too little is left over to make the first one doubtful.
        """
        if len(left) < max(2 * self.options.min_matches, support // 4):
            return 0
        points = self.map.landmarks.points[landmarks[nearest.index[left]]]
        options = RansacOptions(self.options.max_error_px, 30, 200, query.seed)
        rival = absolute_pose(query.rays[left], points, query.camera.focal, options)
        if rival is None:
            return 0
        distance, angle = pose.distance_to(rival.pose)
        same = distance < 0.05 * max(self.map.depth, 1e-9) and angle < np.deg2rad(5)
        return 0 if same else int(rival.inliers.sum())
