"""Pairs of a test set, one after the other, by every contender; and their dials, set on other pairs."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.match_quality import match_quality
from relpose_ros.evaluation.pose_auc import pose_auc, relative_pose_errors_deg
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.essential_opencv import EssentialOptions
from relpose_ros.geometry.robust import RansacOptions
from relpose_ros.geometry.two_view import TwoViewEstimator, opencv_estimator, robust_estimator
from relpose_ros.progress import Progress, silent
from relpose_training.data.matching_pairs import PosedPair
from relpose_training.recipes.matcher.contenders import Contender

ERRORS_PX = (1.0, 0.5, 1.5, 2.0, 3.0)
"""Inlier thresholds of the estimator that are tried on validation data; the first is the default."""

CHOSEN_BY = 10.0
"""Dials are set by the AUC of the pose error up to so many degrees."""

ESTIMATORS: dict[str, str] = {
    "poselib": "PoseLib's LO-RANSAC (Sampson), the robot's",
    "magsac": "OpenCV's USAC_MAGSAC at confidence 0.99999, the published one",
    "opencv": "OpenCV's RANSAC at confidence 0.99999",
}


@dataclass(frozen=True)
class Setting:
    """`dial`: the contender's own; `max_error_px`: inlier threshold of the estimator."""

    dial: float
    max_error_px: float


@dataclass(frozen=True)
class PairResult:
    """Errors in degrees (infinite without a pose), matches, their quality, and what it took."""

    rotation_deg: float
    translation_deg: float
    matches: int
    precision: float
    matching_score: float
    iterations: int
    seconds: float

    @property
    def error_deg(self) -> float:
        """The larger of the two errors."""
        return max(self.rotation_deg, self.translation_deg)


@dataclass(frozen=True)
class Examiner:
    """Asks contenders. `estimator` is one of ESTIMATORS. Raises ConfigurationError for another."""

    estimator: str = "poselib"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise ConfigurationError(
                f"expected an estimator of {', '.join(ESTIMATORS)}, got {self.estimator!r}"
            )

    def examine(
        self,
        contender: Contender,
        setting: Setting,
        pairs: Sequence[PosedPair],
        progress: Progress = silent,
    ) -> list[PairResult]:
        """Results of all pairs."""
        results = []
        for done, pair in enumerate(pairs, 1):
            results.append(self.ask(contender, setting, pair))
            progress(done, len(pairs), contender.name)
        return results

    def ask(self, contender: Contender, setting: Setting, pair: PosedPair) -> PairResult:
        """The result of one pair."""
        started = time.perf_counter()
        found = contender.find(pair, self._estimator(pair, setting.max_error_px), setting.dial)
        seconds = time.perf_counter() - started
        rotation, translation = relative_pose_errors_deg(found.pose, pair.second_from_first)
        first, second = (
            camera.rays(features.keypoints[found.pairs[:, side], :2])
            for side, (camera, features) in enumerate(zip(cameras_of(pair), pair.features, strict=True))
        )
        keypoints = len(pair.features[0].keypoints)
        quality = match_quality(pair.second_from_first, first, second, keypoints)
        return PairResult(
            rotation,
            translation,
            len(found.pairs),
            quality.precision,
            quality.score,
            found.iterations,
            seconds,
        )

    def _estimator(self, pair: PosedPair, max_error_px: float) -> TwoViewEstimator:
        if self.estimator == "poselib":
            return robust_estimator(*cameras_of(pair), RansacOptions(max_error_px, seed=self.seed))
        options = EssentialOptions("ransac" if self.estimator == "opencv" else "magsac", max_error_px)
        return opencv_estimator(*pair.matrices, options)


def cameras_of(pair: PosedPair) -> tuple[Camera, Camera]:
    """Pinhole cameras of both images."""
    first, second = (
        Camera("pinhole", m[0, 0], m[1, 1], m[0, 2], m[1, 2], *size)
        for m, size in zip(pair.matrices, pair.image_sizes, strict=True)
    )
    return first, second


def default_setting(contender: Contender) -> Setting:
    """What holds where there are no validation pairs."""
    return Setting(contender.settings[0], ERRORS_PX[0])


def choose_setting(
    examiner: Examiner,
    contender: Contender,
    pairs: Sequence[PosedPair],
    errors_px: Sequence[float] = ERRORS_PX,
    progress: Progress = silent,
) -> Setting:
    """The setting with the highest AUC of the pose error on validation `pairs`; the first of equals."""
    settings = [Setting(*both) for both in itertools.product(contender.settings, errors_px)]
    errors = np.empty((len(pairs), len(settings)))
    for row, pair in enumerate(pairs):
        errors[row] = [examiner.ask(contender, setting, pair).error_deg for setting in settings]
        progress(row + 1, len(pairs), f"{contender.name}: setting dials")
    scores = [float(pose_auc(column, [CHOSEN_BY])[0]) for column in errors.T]
    return settings[int(np.argmax(scores))]
