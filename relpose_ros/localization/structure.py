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
from relpose_ros.localization.graph_matches import LandmarkMatches, instead_of_nearest, to_landmarks
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


@dataclass(frozen=True)
class Sighting:
    """A query's features and the landmarks that its neighbours see, matched.

    `landmarks` (L,) ascending; `nearest` among them; `tentative`: features whose match may be right; `kept`:
    those that the solver sees. `plain`: the same without the matcher that took part, if one did.
    """

    query: Query
    neighbours: list[Neighbour]
    landmarks: Index
    nearest: NearestNeighbours
    tentative: Index
    kept: Index
    plain: Sighting | None = None

    def unexplained(self, inliers: Index, chosen: Index) -> Index:
        """Tentative matches that neither the solver (`inliers` of `kept`) nor a pose (`chosen`) explains.

        What was pruned may be another place's: only what agrees with the pose is not looked at.
        """
        explained = np.concatenate([inliers, np.setdiff1d(chosen, self.kept)])
        return np.setdiff1d(self.tentative, explained, assume_unique=True)


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
        return self.hypotheses_of(self.look(query, neighbours, pruner, matcher))

    def hypotheses_of(self, sighting: Sighting) -> list[Hypothesis]:
        """Like `hypotheses`, from matches that were made before."""
        if len(sighting.kept) < self.options.min_matches:
            return []
        start = time.perf_counter()
        robust = self._solve(sighting)
        solved = time.perf_counter()
        self.timings["solve"] = 1e3 * (solved - start)
        if robust is None or robust.inliers.sum() < self.options.min_matches:
            return []
        found = self._refine(sighting, robust)
        if found is not None and sighting.plain is not None:
            found = self._with_rival_of_nearest(found, sighting.plain)
        self.timings["refine"] = 1e3 * (time.perf_counter() - solved)
        return [found] if found is not None else []

    def look(
        self,
        query: Query,
        neighbours: list[Neighbour],
        pruner: Judge | None = None,
        matcher: PairMatcher | None = None,
    ) -> Sighting:
        """Match a query with the landmarks that its neighbours see."""
        start = time.perf_counter()
        landmarks = self._candidates(neighbours)
        known = self.map.landmarks.descriptors[landmarks]
        nearest = nearest_neighbours(query.features.descriptors, known)
        tentative = nearest.passing(self.options.ratio)
        seen = Sighting(query, neighbours, landmarks, nearest, tentative, tentative)
        self.timings = {"match": 1e3 * (time.perf_counter() - start), "solve": 0.0, "refine": 0.0}
        if matcher is not None and len(landmarks):
            return self._by_matcher(seen, matcher)
        if pruner is None or len(tentative) < self.options.min_matches:
            return seen
        return self._pruned(seen, pruner)

    def _candidates(self, neighbours: list[Neighbour]) -> NDArray[np.int32]:
        if not neighbours:
            return np.zeros(0, np.int32)
        seen = np.zeros(len(self.map.landmarks), np.bool_)
        for neighbour in neighbours:
            seen[self.map.visible[neighbour.index]] = True
        return np.flatnonzero(seen).astype(np.int32)

    def _pruned(self, seen: Sighting, pruner: Judge) -> Sighting:
        """With those of the tentative matches that the pruner lets through."""
        start = time.perf_counter()
        judges = seen.neighbours[: self.options.judges]
        known = seen.landmarks[seen.nearest.index]
        may_be = credible(self.map, seen.query, judges, known, seen.nearest, pruner)
        self.timings["prune"] = 1e3 * (time.perf_counter() - start)
        return replace(seen, kept=seen.tentative[may_be[seen.tentative]])

    def _by_matcher(self, seen: Sighting, matcher: PairMatcher) -> Sighting:
        """The nearest landmarks with the matcher's in their place where it has one."""
        start = time.perf_counter()
        matches = to_landmarks(self.map, seen.query, seen.neighbours, matcher, self.options.judges)
        self.timings["graph"] = 1e3 * (time.perf_counter() - start)
        return self.matched_by(seen, matches)

    def matched_by(self, seen: Sighting, matches: LandmarkMatches) -> Sighting:
        """With matches made otherwise, to landmarks that the neighbours see, in place of the nearest."""
        features, known = seen.query.features.descriptors, self.map.landmarks.descriptors
        nearest = instead_of_nearest(seen.nearest, matches, seen.landmarks, features, known)
        tentative = np.union1d(seen.tentative, matches.features)
        return replace(seen, nearest=nearest, tentative=tentative, kept=matches.features, plain=seen)

    def _with_rival_of_nearest(self, found: Hypothesis, plain: Sighting) -> Hypothesis:
        """What a matcher found, doubted also by what the nearest landmarks say for another place."""
        own = self.agreeing(plain, found.map_from_camera)
        left = np.setdiff1d(plain.tentative, own, assume_unique=True)
        pose, evidence = found.map_from_camera, found.evidence
        rival = self._rival(plain, left, pose, evidence.inliers)
        evidence = replace(evidence, rival_inliers=max(rival, evidence.rival_inliers))
        return replace(found, evidence=evidence)

    def _solve(self, seen: Sighting) -> RobustPose | None:
        options = RansacOptions(self.options.max_error_px, seed=seen.query.seed)
        points = self.points(seen, seen.kept)
        return absolute_pose(seen.query.rays[seen.kept], points, seen.query.camera.focal, options)

    def _refine(self, seen: Sighting, robust: RobustPose) -> Hypothesis | None:
        near = self.nearby(seen, robust.pose)
        if near is None:
            return None
        found, chosen = near
        left = seen.unexplained(seen.kept[robust.inliers], chosen)
        rival = self._rival(seen, left, found.map_from_camera, len(chosen))
        return replace(found, evidence=replace(found.evidence, rival_inliers=rival))

    def nearby(self, seen: Sighting, start: Rigid) -> tuple[Hypothesis, Index] | None:
        """The pose that the features near `start` speak for, and these features; no rival is looked for."""
        chosen = self.agreeing(seen, start)
        if len(chosen) < self.options.min_matches:
            return None
        known = self.correspondences(seen, chosen)
        pose, line, weight = refine_pose(start, known)
        inlier = line.squared < self.options.gate_sigma**2
        if inlier.sum() < self.options.min_matches:
            return None
        blocks = image_blocks(known.rays[inlier])
        covariance = clustered_covariance(line[inlier], blocks, weight[inlier])
        keypoints = seen.query.features.keypoints[chosen]
        evidence = Evidence(
            inliers=int(inlier.sum()),
            matches=len(seen.tentative),
            spread=seen.query.spread(keypoints[inlier]),
            residual_px=float(np.median(np.sqrt(line.squared[inlier]))),
        )
        matches = Matches(keypoints.astype(float), known.points, inlier)
        names = tuple(n.name for n in seen.neighbours)
        return Hypothesis(pose, covariance, evidence, "structure", names, matches), chosen

    def correspondences(self, seen: Sighting, chosen: Index) -> Correspondences:
        """Some features of a query, each with its landmark."""
        known, landmarks = self.map.landmarks, seen.landmarks[seen.nearest.index[chosen]]
        focal = seen.query.camera.focal
        return Correspondences(
            seen.query.rays[chosen], known.points[landmarks], known.covariances[landmarks], focal
        )

    def points(self, seen: Sighting, chosen: Index) -> NDArray[np.float64]:
        """Where the landmarks (N, 3) of some features are."""
        return self.map.landmarks.points[seen.landmarks[seen.nearest.index[chosen]]]

    def agreeing(self, seen: Sighting, pose: Rigid) -> Index:
        """Features whose nearest landmark projects onto them, whatever the ratio test said.

        One feature per landmark: the nearest in descriptor.
        """
        query, nearest = seen.query, seen.nearest
        points = self.points(seen, np.arange(len(nearest.index)))
        local = (points - pose.translation) @ pose.rotation
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.abs(local[:, :2] / local[:, 2:] - query.rays).max(axis=1)
        close = (local[:, 2] > 0) & (error * query.camera.focal < self.options.max_error_px)
        # Nobody sees a wall from its back: a mirror image, and a flip of a flat scene, would.
        towards = pose.translation - points
        facing = (towards * self.map.seen_from[seen.landmarks[nearest.index]]).sum(axis=1)
        close &= facing > _BEHIND * np.linalg.norm(towards, axis=1)
        chosen = np.flatnonzero(close)
        chosen = chosen[np.argsort(nearest.distance[chosen], kind="stable")]
        _, first = np.unique(nearest.index[chosen], return_index=True)
        return np.sort(chosen[first])

    def _rival(self, seen: Sighting, left: Index, pose: Rigid, support: int) -> int:
        """Support of the best pose that explains what the first one does not.

        0 without looking when too little is left over to make the first one doubtful.
        """
        if not self.may_hide_rival(len(left), support):
            return 0
        points, focal = self.points(seen, left), seen.query.camera.focal
        rival = absolute_pose(seen.query.rays[left], points, focal, self.rival_search(seen.query.seed))
        if rival is None or self.is_same_place(pose, rival.pose):
            return 0
        return int(rival.inliers.sum())

    def may_hide_rival(self, left: int, support: int) -> bool:
        """Whether so many matches that a pose does not explain could make it doubtful."""
        return left >= max(2 * self.options.min_matches, support // 4)

    def rival_search(self, seed: int) -> RansacOptions:
        """How long to look for a pose elsewhere."""
        return RansacOptions(self.options.max_error_px, 30, 200, seed)

    def is_same_place(self, pose: Rigid, other: Rigid, turn: float = np.deg2rad(5)) -> bool:
        """Whether two poses are too near to be rivals: within 5 % of the map's depth, and `turn` (rad)."""
        distance, angle = pose.distance_to(other)
        return bool(distance < 0.05 * max(self.map.depth, 1e-9) and angle < turn)
