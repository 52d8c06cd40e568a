"""Matches by a graph network (IMP, EIMP) in place of nearest neighbours: what a robot asks of `imp.*`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.inference import inference
from relpose_ros.errors import CheckpointError, ConfigurationError, DependencyError
from relpose_ros.features.base import rank_scores
from relpose_ros.features.iterative_matching import IterativeOptions, ScoredKeypoints, match_iteratively
from relpose_ros.features.onnx_iterations import Backend, advance_with
from relpose_ros.geometry.two_view import TwoViewEstimator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from relpose_ros.networks.imp.matcher import Matcher
    from relpose_ros.networks.imp.state import MatchingState

Float32 = NDArray[np.float32]
Index = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class MatchedImage:
    """What is matched of one image: features, strongest first, and its `size` (width, height) in pixels.

    `keypoints` (N, 2) pixels; `descriptors` (N, D) of unit length; `preferred` (N,) bool: which to keep first
    where there are too many (those on landmarks); None: the strongest.
    """

    keypoints: Float32
    descriptors: Float32
    size: tuple[int, int]
    preferred: NDArray[np.bool_] | None = None

    def chosen(self, limit: int) -> Index:
        """At most `limit` of the features, ascending: preferred ones before others, else by strength."""
        order = np.arange(len(self.keypoints))
        if len(order) <= limit:
            return order
        if self.preferred is not None:
            order = np.argsort(~self.preferred, kind="stable")
        return np.sort(order[:limit])

    def scored(self, chosen: Index) -> ScoredKeypoints:
        """Those features as the network sees them: scored by their rank among all."""
        scores = rank_scores(len(self.keypoints))[chosen]
        return ScoredKeypoints(self.keypoints[chosen], scores, self.descriptors[chosen], self.size)


class GraphMatches(NamedTuple):
    """`pairs` (M, 2): feature of the query, of the reference; `scores` (M,) assignment values, 0..1."""

    pairs: Index
    scores: Float32


class PosedMatches(NamedTuple):
    """`pairs` (M, 2), `scores` (M,) as in `GraphMatches`; `matches` before outliers of the pose that ended
    the loop were taken out; `iterations` that were done."""

    pairs: Index
    scores: Float32
    matches: int
    iterations: int


class PairMatcher(Protocol):
    """Whatever matches images by looking at all their features together."""

    def match(self, query: MatchedImage, references: Sequence[MatchedImage]) -> list[GraphMatches]:
        """Matches to each of the references."""
        ...

    def match_until_posed(
        self, query: MatchedImage, reference: MatchedImage, estimate: TwoViewEstimator
    ) -> PosedMatches:
        """Matches to one reference; no more work than it takes `estimate` to give the same pose twice."""
        ...


class GraphMatcher:
    """Matches with the network of a checkpoint (`imp.gm`, `imp.dgnns`: IMP, `imp.adagmn`: EIMP, ...).

    iterations  stop after so many, each of which has a projection of its own to match by: few when tracking,
                all when lost. None, or more than the network has: all
    threshold   least assignment value of a match
    keypoints   at most so many of an image (time grows with their square): the strongest, of a reference
                those on landmarks first
    threads     while it matches: on a busy robot more of them wait for each other
    backend     of the iterations: `torch`; `onnxruntime`, whose files are made the first time
                (`export_iterations`); `auto`: ONNX Runtime if it is installed and the files are there

    Raises CheckpointError for a checkpoint of another kind of network, ConfigurationError for numbers out of
    range, DependencyError without torch.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        iterations: int | None = None,
        threshold: float = 0.2,
        keypoints: int = 1024,
        threads: int = 1,
        backend: Backend = "auto",
    ) -> None:
        if (iterations is not None and iterations < 1) or not 0 <= threshold <= 1 or keypoints < 1:
            raise ConfigurationError(
                "a matcher takes 1 iteration or more, a threshold of 0 to 1 and 1 keypoint or more; "
                f"got {iterations}, {threshold} and {keypoints}"
            )
        self.checkpoint = Path(checkpoint)
        self.network, self.name = _load(self.checkpoint)
        self.iterations = min(iterations or self.network.iterations, self.network.iterations)
        self.threshold, self.keypoints, self.threads = threshold, keypoints, threads
        self._advance = advance_with(self.network, self.checkpoint, self.iterations, backend, threads)

    def check_fits(self, feature: str, dimension: int) -> None:
        """Raises CheckpointError if the network takes descriptors of another size than the map's features."""
        if self.network.descriptor_size != dimension:
            raise CheckpointError(
                f"{self.checkpoint}: expected a matcher for the map's features, {feature} with {dimension} "
                f"numbers each, got {self.name} for {self.network.descriptor_size}; train one on {feature}, "
                "or build the map with the features of the matcher"
            )

    def match(self, query: MatchedImage, references: Sequence[MatchedImage]) -> list[GraphMatches]:
        """Matches to each of the references, the query being encoded once.

        References with equally many features, after cutting to `keypoints`, are a batch. EIMP goes one by
        one and takes features out on the way, which a batch cannot.
        """
        mine = query.chosen(self.keypoints)
        theirs = [reference.chosen(self.keypoints) for reference in references]
        found = [GraphMatches(np.zeros((0, 2), np.intp), np.zeros(0, np.float32))] * len(references)
        if not len(mine):
            return found
        with inference(self.threads):
            encoded = self._encode([query.scored(mine)])
            for batch in self._batches(theirs):
                state = self._after(encoded, self._encode([references[i].scored(theirs[i]) for i in batch]))
                for i, matches in zip(batch, self._read(state), strict=True):
                    pairs = np.stack([mine[matches.pairs[:, 0]], theirs[i][matches.pairs[:, 1]]], axis=1)
                    found[i] = GraphMatches(pairs, matches.scores)
        return found

    def match_until_posed(
        self, query: MatchedImage, reference: MatchedImage, estimate: TwoViewEstimator
    ) -> PosedMatches:
        """Matches to one reference, by `match_iteratively`: it ends when the pose stands still."""
        mine, theirs = query.chosen(self.keypoints), reference.chosen(self.keypoints)
        options = IterativeOptions(final_threshold=self.threshold, iterations=self.iterations)
        with inference(self.threads):
            found = match_iteratively(
                self.network, query.scored(mine), reference.scored(theirs), estimate, options, self._advance
            )
        pairs = np.stack([mine[found.pairs[:, 0]], theirs[found.pairs[:, 1]]], axis=1)
        matches = found.attempts[-1].matches if found.converged else len(pairs)
        return PosedMatches(pairs, found.scores, matches, found.iterations)

    def _batches(self, chosen: Sequence[Index]) -> Iterator[list[int]]:
        """Numbers of the references that go together; those without features go nowhere."""
        from relpose_ros.networks.imp.adagmn import AdaGMN

        sizes: dict[int, list[int]] = {}
        for i, index in enumerate(chosen):
            sizes.setdefault(len(index), []).append(i)
        for size, members in sizes.items():
            if size and isinstance(self.network, AdaGMN):
                yield from ([i] for i in members)
            elif size:
                yield members

    def _encode(self, images: Sequence[ScoredKeypoints]) -> Tensor:
        """(B, D, N) of images with N keypoints each."""
        import torch

        from relpose_ros.networks.imp.keypoint_normalisation import normalise_keypoints

        def stacked(arrays: list[Float32]) -> torch.Tensor:
            return torch.from_numpy(np.stack(arrays).astype(np.float32, copy=False))

        placed = [
            normalise_keypoints(torch.from_numpy(i.keypoints.astype(np.float32)), i.size) for i in images
        ]
        scores, descriptors = stacked([i.scores for i in images]), stacked([i.descriptors for i in images])
        return self.network.encode_image(torch.stack(placed), scores, descriptors)

    def _after(self, query: Tensor, references: Tensor) -> MatchingState:
        """The state after all iterations: query (1, D, N), references (B, D, M)."""
        from relpose_ros.networks.imp.adagmn import AdaGMN
        from relpose_ros.networks.imp.state import MatchingState

        network = self.network
        state = MatchingState(query.expand(len(references), -1, -1), references)
        for stop in network.stops(self.iterations):
            state = self._advance(state, stop - state.iteration)
            if stop < self.iterations and isinstance(network, AdaGMN):
                state = network.pool(state, network.scores(state))
        return state

    def _read(self, state: MatchingState) -> Iterator[GraphMatches]:
        """The matches of each pair of a batch."""
        found = self.network.match(self.network.scores(state), self.threshold)
        for partner, scores in zip(found.indices0.numpy(), found.scores0.numpy(), strict=True):
            matched = np.flatnonzero(partner >= 0)
            pairs = [matched, partner[matched]]
            for side, ids in enumerate((state.ids0, state.ids1)):
                pairs[side] = pairs[side] if ids is None else ids.numpy()[pairs[side]]
            yield GraphMatches(np.stack(pairs, axis=1), scores[matched])


def _load(path: Path) -> tuple[Matcher, str]:
    """The network and its name in the registry. Raises CheckpointError if it is no matcher."""
    from relpose_ros.checkpoints.format import load_network, read_info
    from relpose_ros.networks.registry import ARCHITECTURES

    name = read_info(path).network
    if not name.startswith("imp."):
        fitting = ", ".join(known for known in ARCHITECTURES if known.startswith("imp."))
        raise CheckpointError(
            f"{path}: expected a checkpoint of a network that matches two images ({fitting}), got one of "
            f"{name}; train one with `relpose train matcher`"
        )
    try:
        from relpose_ros.networks.imp.matcher import Matcher
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"{path}: a matcher needs {error.name}: pip install 'relpose_ros[learned]'"
        ) from None
    network, _ = load_network(path)
    assert isinstance(network, Matcher)
    return network, name
