"""Which matches of two images are right, by a correspondence network: between matching and the solver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    from relpose_ros.checkpoints.format import CheckpointInfo
    from relpose_ros.checkpoints.predictor import Backend

Array = NDArray[np.float64]
Float32 = NDArray[np.float32]

MIN_MATCHES = 8
"""Fewer than these have no epipolar geometry that could be told from chance: all are kept."""

_INLIER_DISTANCE = 1e-4
"""Squared symmetric epipolar distance below which the networks were taught to call a match right."""


class Judgement(NamedTuple):
    """Of n matches: `weights` (n,) in 0..1, the network's belief in each; `keep` (n,): does it suffice."""

    weights: Float32
    keep: NDArray[np.bool_]


class Judge(Protocol):
    """Whatever tells right matches from wrong ones."""

    def judge(self, points: Array, ratio: Float32, mutual: NDArray[np.bool_]) -> Judgement:
        """Judge n matches: `points` (n, 4) are x1, y1, x2, y2 on z = 1; the rest as in NearestNeighbours."""
        ...


def _of_last_logits(outputs: tuple[NDArray[Any], ...]) -> Float32:
    """Weights (1, N) from the logits of the last stage."""
    logits = np.clip(outputs[-1].astype(np.float64), -60, 60)
    return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _of_distances(outputs: tuple[NDArray[Any], ...]) -> Float32:
    """Weights (1, N) from CLNet's last output, distances to its essential matrix: a half at the limit."""
    return np.asarray(_INLIER_DISTANCE / (_INLIER_DISTANCE + outputs[-1]), np.float32)


@dataclass(frozen=True)
class _Family:
    """Default width of the input, and how weights are read from the outputs."""

    width: int = 6
    weights: Callable[[tuple[NDArray[Any], ...]], Float32] = _of_last_logits


_FAMILIES = {
    "one_to_one.ltfgc:LTFGC": _Family(),
    "one_to_one.oanet:OANet": _Family(),
    "one_to_one.oanet_iter:OANetIter": _Family(),
    "one_to_one.ms2dgnet:MS2DGNet": _Family(),
    "one_to_one.convmatch:ConvMatch": _Family(width=4),
    "one_to_one.convmatch_plus:ConvMatchPlus": _Family(width=4),
    "one_to_one.clnet:CLNet": _Family(width=4, weights=_of_distances),
}
"""The networks that judge a whole set at once, by what the registry makes them of."""


class Pruner:
    """Judges matches with the network of a checkpoint (any of `one_to_one` that takes whole sets).

    Give it all nearest neighbours of one image's features in the other, as in training; the caller combines
    its judgement with a ratio test. Sets are brought to `size` matches, one static shape and so one ONNX
    file: smaller ones are repeated, every match as often as any other or once more; larger ones are dealt out
    to several calls. The network runs once at construction, so that no frame waits for the ONNX export.

    `threshold`: a match is kept whose weight reaches it. Raises CheckpointError for a checkpoint of another
    kind of network, ConfigurationError for a `size` below 32 or a `threshold` outside 0..1, and what
    `Predictor` raises.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        size: int = 2048,
        threshold: float = 0.5,
        backend: Backend = "auto",
        threads: int | None = None,
        cache: str | Path | None = None,
    ) -> None:
        if size < 32 or not 0 <= threshold <= 1:
            raise ConfigurationError(
                f"a pruner takes a size of 32 or more and a threshold of 0 to 1; got {size} and {threshold}"
            )
        from relpose_ros.checkpoints.format import read_info
        from relpose_ros.checkpoints.predictor import Predictor

        self.info = read_info(checkpoint)
        self._family, self._width = _recognise(Path(checkpoint), self.info)
        self.size, self.threshold = size, threshold
        self._predict = Predictor(checkpoint, backend, threads, cache)
        self._weights(np.random.default_rng(0).uniform(-0.5, 0.5, (size, self._width)).astype(np.float32))

    def judge(self, points: Array, ratio: Float32, mutual: NDArray[np.bool_]) -> Judgement:
        """Judge n matches; see `Judge`. A match whose points are not finite gets 0."""
        usable = np.flatnonzero(np.isfinite(points).all(axis=1))
        if len(usable) < MIN_MATCHES:
            return Judgement(np.ones(len(points), np.float32), np.ones(len(points), np.bool_))
        values = np.column_stack([points, ratio, mutual])[:, : self._width].astype(np.float32)
        weights = np.zeros(len(points), np.float32)
        parts = -(-len(usable) // self.size)
        for part in range(parts):
            # Every so-many-th: features come strongest first, and each call should see all kinds.
            dealt = usable[part::parts]
            weights[dealt] = self._weights(values[dealt])
        return Judgement(weights, weights >= self.threshold)

    def _weights(self, values: Float32) -> Float32:
        """Weights (n,) of n <= `size` matches (n, width)."""
        count = len(values)
        repeated = np.arange(self.size) * count // self.size
        first = -(-np.arange(count) * self.size // count)
        outputs = self._predict(values[repeated][None])
        return np.asarray(self._family.weights(outputs)[0, first])


def size_for(features: int) -> int:
    """The size of a pruner for images of at most that many features: the next power of two, 256 or more."""
    return max(256, 1 << (features - 1).bit_length())


def _recognise(path: Path, info: CheckpointInfo) -> tuple[_Family, int]:
    """The family and input width of a checkpoint's network. Raises CheckpointError if it judges no sets."""
    from relpose_ros.networks.registry import ARCHITECTURES

    architecture = ARCHITECTURES.get(info.network)
    family = _FAMILIES.get(architecture.factory) if architecture is not None else None
    if architecture is None or family is None:
        fitting = [name for name, known in ARCHITECTURES.items() if known.factory in _FAMILIES]
        raise CheckpointError(
            f"{path}: expected a checkpoint of a network that judges whole sets of matches "
            f"({', '.join(fitting)}), got one of {info.network}; train one with `relpose train one_to_one`"
        )
    return family, int({**architecture.parameters, **info.parameters}.get("width", family.width))
