"""What finds matches and poses of two images: nearest neighbours, a network once, a network in the loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.features.iterative_matching import IterativeOptions, ScoredKeypoints, match_iteratively
from relpose_ros.features.matching import nearest_neighbours
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.two_view import TwoViewEstimator
from relpose_ros.networks.imp.keypoint_normalisation import normalise_keypoints
from relpose_ros.networks.imp.matcher import Matcher
from relpose_training.data.matching_pairs import PosedPair

Pairs = NDArray[np.intp]


class Found(NamedTuple):
    """`pairs` (M, 2) of keypoints, `second_from_first` or None, iterations that it took (0: none)."""

    pairs: Pairs
    pose: Rigid | None
    iterations: int = 0


class Contender(Protocol):
    """One way to match, with what can be set about it."""

    name: str
    what: str
    settings: tuple[float, ...]
    """Values of its own dial: the first is the default, others are tried on validation data."""

    def find(self, pair: PosedPair, estimate: TwoViewEstimator, setting: float) -> Found:
        """Matches and pose of a pair."""
        ...


@dataclass
class Nearest:
    """Mutual nearest neighbours whose distance is below `setting` times that of the second nearest."""

    name: str = "nearest"
    what: str = "mutual nearest neighbours, largest ratio to the second nearest"
    settings: tuple[float, ...] = (0.85, 0.75, 0.8, 0.9, 0.95, 1.0)

    def find(self, pair: PosedPair, estimate: TwoViewEstimator, setting: float) -> Found:
        """See Contender; 1 is no test of the ratio at all."""
        first, second = (_unit(features.descriptors) for features in pair.features)
        near = nearest_neighbours(first, second)
        kept = near.passing(setting) if setting < 1 else np.flatnonzero(near.mutual)
        pairs = np.stack([kept, near.index[kept]], axis=1)
        return Found(pairs, _pose(pair, pairs, estimate))


@dataclass
class OneShot:
    """A network from beginning to end, then the estimator; `setting`: least assignment value of a match."""

    name: str
    network: Matcher
    settings: tuple[float, ...] = (0.2, 0.05, 0.1, 0.3, 0.5)
    what: str = "all iterations, then the estimator; least assignment value"
    _last: tuple[PosedPair, Found, NDArray[np.float32]] | None = field(default=None, repr=False)

    def find(self, pair: PosedPair, estimate: TwoViewEstimator, setting: float) -> Found:
        """See Contender."""
        if self._last is None or self._last[0] is not pair:  # settings are tried one after the other
            self._last = (pair, *self._matched(pair))
        _, found, scores = self._last
        pairs = found.pairs[scores > setting]
        return Found(pairs, _pose(pair, pairs, estimate), found.iterations)

    @torch.inference_mode()
    def _matched(self, pair: PosedPair) -> tuple[Found, NDArray[np.float32]]:
        weight = self.network.bin_score
        images = scored_keypoints(pair)
        if not all(len(image.keypoints) for image in images):
            return Found(np.zeros((0, 2), np.intp), None), np.zeros(0, np.float32)
        given = [torch.from_numpy(np.ascontiguousarray(x))[None].to(weight) for x in _in_order(images)]
        for side, image in enumerate(images):
            given[side] = normalise_keypoints(given[side], image.size)
        matches = self.network.match(self.network.last(*given), 0.0)
        partner = matches.indices0[0].cpu().numpy()
        matched = np.flatnonzero(partner >= 0)
        pairs = np.stack([matched, partner[matched]], axis=1)
        scores = matches.scores0[0].float().cpu().numpy()[matched]
        return Found(pairs, None, self.network.iterations), scores


@dataclass
class Iterative:
    """The loop of matching and pose; it has no dial of its own that is tried."""

    name: str
    network: Matcher
    settings: tuple[float, ...] = (IterativeOptions().final_threshold,)
    what: str = "stops when two poses agree; least assignment value where they never do"

    def find(self, pair: PosedPair, estimate: TwoViewEstimator, setting: float) -> Found:
        """See Contender."""
        first, second = scored_keypoints(pair)
        options = IterativeOptions(final_threshold=setting)
        found = match_iteratively(self.network, first, second, estimate, options)
        return Found(found.pairs, found.pose, found.iterations)


def scored_keypoints(pair: PosedPair) -> tuple[ScoredKeypoints, ScoredKeypoints]:
    """Both images as the loop takes them."""
    first, second = (
        ScoredKeypoints(f.keypoints[:, :2], f.keypoints[:, 2], _unit(f.descriptors), size)
        for f, size in zip(pair.features, pair.image_sizes, strict=True)
    )
    return first, second


def _in_order(images: tuple[ScoredKeypoints, ScoredKeypoints]) -> list[NDArray[np.float32]]:
    """Keypoints, scores, descriptors, of both images each: the order of the network's inputs."""
    first, second = images
    return [values for both in zip(first[:3], second[:3], strict=True) for values in both]


def _pose(pair: PosedPair, pairs: Pairs, estimate: TwoViewEstimator) -> Rigid | None:
    first, second = (f.keypoints[pairs[:, side], :2] for side, f in enumerate(pair.features))
    result = estimate(first.astype(float), second.astype(float))
    return None if result is None else result.pose


def _unit(descriptors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return np.asarray(descriptors / np.maximum(norms, 1e-12), np.float32)
