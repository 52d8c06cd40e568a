"""Relative poses to retrieved references -> absolute pose, where landmarks do not suffice.

Each reference gives a rotation and a direction. The directions from several references meet
where the camera is, so the references' own distances give the scale; landmarks are not needed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.graph_matching import PairMatcher
from relpose_ros.features.pruning import Judge
from relpose_ros.geometry.covariance import rotate_covariance, safe_inverse
from relpose_ros.geometry.epipolar import essential_matrix, nearest_point_to_lines, sampson_residual
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.calibration import CHI2_6_QUANTILES
from relpose_ros.localization.pairwise import RelativeOptions, RelativePose, estimate_relative_pose
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Evidence, Hypothesis

Array = NDArray[np.float64]

_AGREEING_ROTATION = np.deg2rad(8.0)
_MIN_PARALLAX = np.deg2rad(4.0)
_ROBUST_PX = 1.5
"""Residuals above twice this are not inliers, whatever the noise."""
_MIN_ROBUST_PX = 0.3
_CAUCHY = 2.385 * 1.4826
"""Times the median residual: where Cauchy's weights lose 5 % of efficiency (Holland and Welsch 1977)."""
_FAR_OFF = CHI2_6_QUANTILES[0.95]
"""Squared Mahalanobis distance at which a metric relative pose counts half."""
_INDEPENDENT_MATCHES = 20
_BOTH_AXES = 1.7456
"""Median of a distance in the plane over that to a line, both of the same noise: sqrt(2 ln 2) / 0.6745.

Calibration knows residuals of points, which are of the first kind.
"""
_METRIC_INFLATION = 20.0
"""Landmarks seen in one reference share its pose error, which their residuals do not show."""


@dataclass
class RelativeLocalizer:
    """The road over relative poses. `pruner`: judges the matches to each reference before its solver;
    `matcher`: makes them, and then nothing judges them."""

    map: Map
    options: RelativeOptions = field(default_factory=RelativeOptions)
    pruner: Judge | None = None
    matcher: PairMatcher | None = None

    def relative_poses(self, query: Query, neighbours: list[Neighbour]) -> list[RelativePose]:
        """Relative poses to those neighbours that share enough with the query."""
        tried = neighbours[: self.options.neighbours]
        found = [
            estimate_relative_pose(self.map, query, n, self.options, self.pruner, self.matcher) for n in tried
        ]
        return [pose for pose in found if pose is not None]

    def hypotheses(self, query: Query, neighbours: list[Neighbour]) -> list[Hypothesis]:
        """At most one pose. With a single reference and no landmarks, `scale_known` is False."""
        poses = self.relative_poses(query, neighbours)
        if not poses:
            return []
        agreeing = _agreeing(self.map, poses)
        start = self._start(agreeing)
        if start is None:
            return [self._direction_only(agreeing[0])]
        return self._refined(query, agreeing, start)

    def _start(self, poses: list[RelativePose]) -> Rigid | None:
        """Rotation of the best supported, position where the directions meet (or as scaled)."""
        best = max(poses, key=lambda p: (p.scale_known, p.inliers))
        reference = self.map.reference_poses[best.index]
        if best.scale_known:
            return reference @ best.reference_from_camera
        references = self.map.reference_poses[np.array([p.index for p in poses])]
        local = np.stack([p.reference_from_camera.translation for p in poses])
        directions = np.einsum("nij,nj->ni", references.rotation, local)
        if not _has_parallax(directions):
            return None
        weights = np.array([p.inliers for p in poses], float)
        try:
            position = nearest_point_to_lines(references.translation, directions, weights)
        except np.linalg.LinAlgError:
            return None
        ahead = ((position - references.translation) * directions).sum(axis=1) > 0
        if not ahead.all():
            return None
        return Rigid((reference @ best.reference_from_camera).rotation, position)

    def _refined(self, query: Query, poses: list[RelativePose], start: Rigid) -> list[Hypothesis]:
        """Minimise all epipolar errors together; the references' distances fix the scale.

        Metric relative poses pull as well: references in a row ahead or behind give the same
        direction, and then only landmarks know how far away they are.
        """
        pose = start
        for _ in range(8):
            residual = self._residuals(query, poses, pose)
            jacobian = self._jacobian(query, poses, pose, residual)
            weight = 1 / (1 + (residual / _robust_px(residual)) ** 2)
            information, pull = self._metric_information(poses, pose)
            normal = (jacobian * weight[:, None]).T @ jacobian + information
            step = -safe_inverse(normal) @ (jacobian.T @ (weight * residual) + pull)
            if not np.isfinite(step).all() or np.linalg.norm(step[3:]) > 0.3:
                return []
            pose = pose.perturbed(step)
        residual = self._residuals(query, poses, pose)
        inlier = np.abs(residual) < 2 * _ROBUST_PX
        if inlier.sum() < self.options.min_inliers:
            return []
        if not any(p.scale_known for p in poses) and not self._sees_apart(poses, pose):
            return [self._direction_only(poses[0])]
        covariance = self._covariance(query, poses, pose, residual, inlier)
        evidence = Evidence(
            inliers=int(inlier.sum()),
            matches=sum(p.matches for p in poses),
            spread=query.spread(query.ideal_pixels(np.concatenate([p.query_rays for p in poses])[inlier])),
            residual_px=_BOTH_AXES * float(np.median(np.abs(residual[inlier]))),
            references=len(poses),
            depth=self._depth(poses, pose),
        )
        return [Hypothesis(pose, covariance, evidence, "relative", tuple(p.reference for p in poses))]

    def _covariance(
        self,
        query: Query,
        poses: list[RelativePose],
        pose: Rigid,
        residual: Array,
        inlier: NDArray[np.bool_],
    ) -> Array:
        """As if each reference had given `_INDEPENDENT_MATCHES`: its own pose error is in all of them."""
        jacobian = self._jacobian(query, poses, pose, residual)[inlier]
        variance = max(float((residual[inlier] ** 2).sum()) / max(inlier.sum() - 6, 1), 1e-4)
        shared = max(1.0, inlier.sum() / (_INDEPENDENT_MATCHES * len(poses)))
        information, _ = self._metric_information(poses, pose)
        return safe_inverse(jacobian.T @ jacobian / (variance * shared) + information)

    def _metric_information(self, poses: list[RelativePose], at: Rigid) -> tuple[Array, Array]:
        """Information (6, 6) of the metric relative poses, and its gradient (6,) at a pose.

        Robust (Cauchy): a single reference whose landmarks or matches mislead must not outvote the others.
        """
        information, gradient = np.zeros((6, 6)), np.zeros(6)
        for pose in poses:
            if not pose.scale_known:
                continue
            reference = self.map.reference_poses[pose.index]
            covariance = rotate_covariance(pose.covariance, reference) * _METRIC_INFLATION
            error = (reference @ pose.reference_from_camera).error_to(at)
            inverse = safe_inverse(covariance)
            inverse /= 1 + error @ inverse @ error / _FAR_OFF
            information += inverse
            gradient += inverse @ error
        return information, gradient

    def _sees_apart(self, poses: list[RelativePose], pose: Rigid) -> bool:
        """Whether the references see the camera in directions that differ enough to meet."""
        references = self.map.reference_poses[np.array([p.index for p in poses])]
        offset = pose.translation - references.translation
        return _has_parallax(offset / np.maximum(np.linalg.norm(offset, axis=1, keepdims=True), 1e-9))

    def _direction_only(self, pose: RelativePose) -> Hypothesis:
        reference = self.map.reference_poses[pose.index]
        evidence = Evidence(pose.inliers, pose.matches, scale_known=False, references=1)
        return Hypothesis(
            reference @ pose.reference_from_camera, pose.covariance, evidence, "relative", (pose.reference,)
        )

    def _depth(self, poses: list[RelativePose], map_from_camera: Rigid) -> float:
        """Median distance to where matched rays meet: there may be no landmark to tell it."""
        depths = []
        for pose in poses:
            reference_from_camera = self.map.reference_poses[pose.index].inverse() @ map_from_camera
            ours = _homogeneous(pose.query_rays) @ reference_from_camera.rotation.T
            theirs = _homogeneous(pose.reference_rays)
            # t + s * ours is parallel to theirs.
            across = np.cross(ours, theirs)
            along = np.cross(theirs, np.broadcast_to(reference_from_camera.translation, theirs.shape))
            scale = (along * across).sum(axis=1) / np.maximum((across**2).sum(axis=1), 1e-12)
            depths.append(scale * np.linalg.norm(ours, axis=1))
        return max(float(np.median(np.concatenate(depths))), 0.0)

    def _residuals(self, query: Query, poses: list[RelativePose], map_from_camera: Rigid) -> Array:
        parts = []
        for pose in poses:
            reference_from_camera = self.map.reference_poses[pose.index].inverse() @ map_from_camera
            essential = essential_matrix(reference_from_camera)
            parts.append(sampson_residual(essential, pose.query_rays, pose.reference_rays))
        return np.concatenate(parts) * query.camera.focal

    def _jacobian(self, query: Query, poses: list[RelativePose], at: Rigid, residual: Array) -> Array:
        columns = []
        for axis in range(6):
            step = 1e-6 * (max(self.map.depth, 1e-3) if axis < 3 else 1.0)
            twist = np.zeros(6)
            twist[axis] = step
            columns.append((self._residuals(query, poses, at.perturbed(twist)) - residual) / step)
        return np.stack(columns, axis=1)


def _robust_px(residual: Array) -> float:
    """Residuals beyond this count little: it follows the noise, so that a few wrong matches cannot bend a
    pose that hundreds fix to a tenth of a pixel."""
    return float(np.clip(_CAUCHY * np.median(np.abs(residual)), _MIN_ROBUST_PX, _ROBUST_PX))


def _agreeing(map_: Map, poses: list[RelativePose]) -> list[RelativePose]:
    """The largest group whose absolute rotations agree, best supported first."""
    absolute = [map_.reference_poses[p.index] @ p.reference_from_camera for p in poses]
    rotations = Rigid.stack([Rigid(a.rotation, np.zeros(3)) for a in absolute])
    groups = []
    for pose in absolute:
        _, angle = Rigid(pose.rotation, np.zeros(3)).distance_to(rotations)
        groups.append([p for p, a in zip(poses, angle, strict=True) if a < _AGREEING_ROTATION])
    best = max(groups, key=lambda g: sum(p.inliers for p in g))
    return sorted(best, key=lambda p: -p.inliers)


def _homogeneous(rays: Array) -> Array:
    return np.concatenate([rays, np.ones((len(rays), 1))], axis=1)


def _has_parallax(directions: Array) -> bool:
    cosine = np.abs(directions @ directions.T)
    return bool(cosine.min() < np.cos(_MIN_PARALLAX))
