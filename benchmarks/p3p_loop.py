"""The straightforward robust estimator on scene coordinates: a loop of OpenCV calls, as DSAC* is published.

Brachmann and Rother, TPAMI 2021: for each of 64 hypotheses, four cells at random until a P3P pose has all of
them within the threshold; soft inlier scores; the best one refined on its inliers. It knows no failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.geometry.scene_targets import RayTargets

Array = NDArray[np.float64]
Pose = tuple[Any, Any]
"""Rotation vector and translation of camera_from_map, as OpenCV gives them."""

MAX_TRIES = 1_000_000
"""For one hypothesis; the last try is kept then."""

DRAWN_AT_ONCE = 4096
"""Random numbers in one call: the loop shall not wait for those."""


@dataclass(frozen=True)
class LoopResult:
    """The pose, and how often P3P was solved for it."""

    map_from_camera: Rigid
    tries: int


class P3PLoop:
    """Estimates poses from maps of `targets`, one map at a time."""

    def __init__(self, targets: RayTargets, options: SceneRansacOptions) -> None:
        self.pixels = targets.rays * targets.focal
        self.matrix: Array = np.diag([targets.focal, targets.focal, 1.0])
        self.options = options

    def __call__(self, points: Array) -> LoopResult:
        """The pose from `points` (N, 3)."""
        generator = np.random.default_rng(self.options.seed)
        hypotheses: list[Pose] = []
        tries = 0
        for _ in range(self.options.hypotheses):
            pose, needed = self._hypothesis(points, generator)
            tries += needed
            if pose is not None:
                hypotheses.append(pose)
        scores = [self._score(self._errors(points, pose)) for pose in hypotheses]
        turn, move = self._refine(points, hypotheses[int(np.argmax(scores))])
        return LoopResult(Rigid.from_rotation_vector(turn.ravel(), move.ravel()).inverse(), tries)

    def _hypothesis(self, points: Array, generator: np.random.Generator) -> tuple[Pose | None, int]:
        tries, pose = 0, None
        while tries < MAX_TRIES:
            for cells in generator.integers(0, len(points), (DRAWN_AT_ONCE, 4)):
                tries += 1
                sample, seen = points[cells], self.pixels[cells]
                solved, turn, move = cv2.solvePnP(sample, seen, self.matrix, None, flags=cv2.SOLVEPNP_P3P)
                if not solved:
                    continue
                pose = (turn, move)
                off = cv2.projectPoints(sample, turn, move, self.matrix, None)[0][:, 0] - seen
                if np.einsum("ij,ij->i", off, off).max() < self.options.threshold**2:
                    return pose, tries
        return pose, tries

    def _errors(self, points: Array, pose: Pose) -> Array:
        projected = cv2.projectPoints(points, *pose, self.matrix, None)[0][:, 0]
        errors = np.linalg.norm(projected - self.pixels, axis=1)
        return np.asarray(np.minimum(errors, self.options.max_error), np.float64)

    def _score(self, errors: Array) -> float:
        return float(np.mean(1 / (1 + np.exp(self.options.steepness * (errors - self.options.threshold)))))

    def _refine(self, points: Array, pose: Pose) -> Pose:
        best = 4
        for _ in range(100):
            inliers = self._errors(points, pose) < self.options.threshold
            count = int(inliers.sum())
            if count <= best:
                break
            best, start = count, (pose[0].copy(), pose[1].copy())  # OpenCV writes into what it is given
            solved: Any = cv2.solvePnP(
                points[inliers],
                self.pixels[inliers],
                self.matrix,
                None,
                *start,
                useExtrinsicGuess=True,
                flags=cv2.SOLVEPNP_ITERATIVE,
            )
            pose = (solved[1], solved[2])
        return pose
