"""Matching and pose in turn (IMP, EIMP: Xue et al., CVPR 2023): stop as soon as the pose stands still."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RobustPose
from relpose_ros.geometry.two_view import TwoViewEstimator

if TYPE_CHECKING:
    import torch

    from relpose_ros.features.onnx_iterations import Advance
    from relpose_ros.networks.imp.matcher import Matcher
    from relpose_ros.networks.imp.state import MatchingState

Float32 = NDArray[np.float32]


class ScoredKeypoints(NamedTuple):
    """What the network sees of one image."""

    keypoints: Float32  # (N, 2) pixels
    scores: Float32  # (N,) of the detector
    descriptors: Float32  # (N, D) of unit length
    size: tuple[int, int]  # width, height in pixels


@dataclass(frozen=True)
class IterativeOptions:
    """The published values.

    match_threshold   least assignment value of the matches that a pose is tried with
    final_threshold   of the matches that are returned when the pose never stood still
    min_matches       with fewer no pose is tried
    stop_angle_deg    two poses in a row that differ by no more, in rotation and direction of translation,
                      end the loop; None: all iterations are done
    seed_threshold    EIMP: times the share of inliers, least assignment mass of a keypoint that stays
    layout_bug_compat keypoints are normalised as in the published evaluation (`normalise_keypoints`)
    iterations        at most so many; None, or more than the network has: all of them
    """

    match_threshold: float = 0.1
    final_threshold: float = 0.2
    min_matches: int = 25
    stop_angle_deg: float | None = 1.5
    seed_threshold: float = 0.2
    layout_bug_compat: bool = False
    iterations: int | None = None


@dataclass(frozen=True, eq=False)
class PoseAttempt:
    """A pose tried on the way: after how many iterations, from how many matches, what came of it."""

    iterations: int
    matches: int
    result: RobustPose | None


@dataclass(frozen=True, eq=False)
class IterativeMatches:
    """What the loop found.

    `pairs` (M, 2): index in the first image, in the second; `scores` (M,) assignment values. If
    `converged` they are the inliers of `pose`, else all matches and `pose` is estimated from them; None
    where there is none. `kept`: the keypoints of each image that were still in play; `attempts`: the poses
    tried on the way.
    """

    pairs: NDArray[np.intp]
    scores: Float32
    pose: Rigid | None
    iterations: int
    converged: bool
    kept: tuple[NDArray[np.intp], NDArray[np.intp]]
    attempts: list[PoseAttempt] = field(default_factory=list)


def match_iteratively(
    network: Matcher,
    first: ScoredKeypoints,
    second: ScoredKeypoints,
    estimate: TwoViewEstimator,
    options: IterativeOptions | None = None,
    advance: Advance | None = None,
) -> IterativeMatches:
    """Match two images with IMP (`DGNNS`) or EIMP (`AdaGMN`), in eval mode, on the network's device.

    A pose is tried after every iteration that shares attention, and after the last. EIMP then takes out the
    keypoints that look useless. `advance` does the iterations; None: the network itself. Raises
    ConfigurationError for a network in train mode.
    """
    import torch

    if network.training:
        raise ConfigurationError(
            "expected a network in eval mode, got one in train mode; call network.eval()"
        )
    if not len(first.keypoints) or not len(second.keypoints):
        return _nothing(first, second)
    with torch.inference_mode():
        loop = _Loop(network, first, second, estimate, options or IterativeOptions(), advance)
        return loop.run()


class _Loop:
    """One pair on its way through the network."""

    def __init__(
        self,
        network: Matcher,
        first: ScoredKeypoints,
        second: ScoredKeypoints,
        estimate: TwoViewEstimator,
        options: IterativeOptions,
        advance: Advance | None,
    ) -> None:
        self.network, self.first, self.second = network, first, second
        self.advance = advance or network.advance
        self.estimate, self.options = estimate, options
        self.attempts: list[PoseAttempt] = []

    def run(self) -> IterativeMatches:
        state = self._encode()
        count = min(self.options.iterations or self.network.iterations, self.network.iterations)
        for stop in self.network.stops(count):
            state = self.advance(state, stop - state.iteration)
            last = stop == count
            assignment = self.network.scores(state)
            pairs, scores = self._matches(state, assignment, self.options.match_threshold)
            pose = self._try(pairs, stop)
            if pose is not None and self._stands_still():
                return self._converged(state, pairs, scores, pose)
            if not last and pose is not None:
                state = self._pooled(state, assignment, pose)
        pairs, scores = self._matches(state, assignment, self.options.final_threshold)
        result = self._estimate(pairs)
        found = None if result is None else result.pose
        return IterativeMatches(
            pairs, scores, found, state.iteration, False, self._kept(state), self.attempts
        )

    def _encode(self) -> MatchingState:
        import torch

        from relpose_ros.networks.imp.keypoint_normalisation import normalise_keypoints

        weight = self.network.bin_score
        images = (self.first, self.second)

        def tensors(arrays: list[Float32]) -> list[torch.Tensor]:
            return [torch.tensor(np.asarray(a, np.float32))[None].to(weight) for a in arrays]

        compat = self.options.layout_bug_compat
        keypoints = [
            normalise_keypoints(tensor, image.size, layout_bug_compat=compat)
            for tensor, image in zip(tensors([i.keypoints for i in images]), images, strict=True)
        ]
        scores = tensors([i.scores for i in images])
        return self.network.encode(*keypoints, *scores, *tensors([i.descriptors for i in images]))

    def _matches(
        self, state: MatchingState, assignment: torch.Tensor, threshold: float
    ) -> tuple[NDArray[np.intp], Float32]:
        """Pairs (M, 2) of original keypoints and their assignment values (M,)."""
        found = self.network.match(assignment, threshold)
        partner = found.indices0[0].cpu().numpy()
        matched = np.flatnonzero(partner >= 0)
        kept0, kept1 = self._kept(state)
        pairs = np.stack([kept0[matched], kept1[partner[matched]]], axis=1)
        return pairs, found.scores0[0].float().cpu().numpy()[matched]

    def _kept(self, state: MatchingState) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Original indices of the points that the state has."""
        kept0, kept1 = (
            np.arange(len(image.keypoints)) if ids is None else ids.cpu().numpy()
            for image, ids in ((self.first, state.ids0), (self.second, state.ids1))
        )
        return kept0, kept1

    def _estimate(self, pairs: NDArray[np.intp]) -> RobustPose | None:
        return self.estimate(self.first.keypoints[pairs[:, 0]], self.second.keypoints[pairs[:, 1]])

    def _try(self, pairs: NDArray[np.intp], iterations: int) -> RobustPose | None:
        enough = len(pairs) >= self.options.min_matches
        result = self._estimate(pairs) if enough else None
        self.attempts.append(PoseAttempt(iterations, len(pairs), result))
        return result

    def _stands_still(self) -> bool:
        """Whether the last two attempts both have poses, and these agree."""
        results = [attempt.result for attempt in self.attempts[-2:]]
        if self.options.stop_angle_deg is None or len(results) < 2:
            return False
        before, now = results
        if before is None or now is None:
            return False
        return _difference_deg(before.pose, now.pose) <= self.options.stop_angle_deg

    def _converged(
        self, state: MatchingState, pairs: NDArray[np.intp], scores: Float32, pose: RobustPose
    ) -> IterativeMatches:
        good = pose.inliers
        return IterativeMatches(
            pairs[good], scores[good], pose.pose, state.iteration, True, self._kept(state), self.attempts
        )

    def _pooled(self, state: MatchingState, assignment: torch.Tensor, pose: RobustPose) -> MatchingState:
        """In EIMP: the state without the keypoints that nothing speaks for."""
        from relpose_ros.networks.imp.adagmn import AdaGMN

        if not isinstance(self.network, AdaGMN):
            return state
        inlier_share = float(pose.inliers.mean()) or 1.0
        return self.network.pool(state, assignment, self.options.seed_threshold * inlier_share)


def _difference_deg(first: Rigid, second: Rigid) -> float:
    """The larger of the angles between two rotations and between two directions of translation."""
    turn = Rigid(first.rotation.T @ second.rotation, np.zeros(3)).angle
    across = np.linalg.norm(np.cross(first.translation, second.translation))
    direction = np.arctan2(across, first.translation @ second.translation)
    return float(np.degrees(max(float(turn), float(direction))))


def _nothing(first: ScoredKeypoints, second: ScoredKeypoints) -> IterativeMatches:
    kept = np.arange(len(first.keypoints)), np.arange(len(second.keypoints))
    return IterativeMatches(np.zeros((0, 2), np.intp), np.zeros(0, np.float32), None, 0, False, kept)
