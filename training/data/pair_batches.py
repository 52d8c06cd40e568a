"""Which image pairs, and which candidates of them, make one step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from relpose_ros.errors import ConfigurationError
from relpose_training.data.context_order import Rng

Phase = Literal["score", "pose", "learn"]


def pair_batches(pairs: int, batch: int, rng: Rng) -> Iterator[list[int]]:
    """Batches of indices of pairs in a random order; what does not fill a batch is left out.

    Raises ConfigurationError when not even one is filled.
    """
    if not 0 < batch <= pairs:
        raise ConfigurationError(f"batches of {batch} from {pairs} pairs; expected 1 to {pairs}")
    order = rng.permutation(pairs)
    for start in range(0, pairs - batch + 1, batch):
        yield order[start : start + batch].tolist()


@dataclass(frozen=True)
class CandidateBatch:
    """Candidates `first` to `last` - 1 of one pair, for one of the passes of the feedback loss.

    score: logits without a graph. pose: the geometric loss of all the pair's logits and its gradient.
    learn: logits again, and the loss with the feedback (relpose_training.losses.candidate_feedback).
    """

    pair: int
    phase: Phase
    first: int
    last: int


def candidate_batches(
    pairs: int, context: int, batch: int, rng: Rng, *, learn: bool
) -> Iterator[CandidateBatch]:
    """All passes over all pairs, in a random order of pairs, when `context` candidates do not fit at once.

    `learn`: with the third pass, for training. Raises ConfigurationError unless `batch` divides `context`.
    """
    if batch <= 0 or context % batch:
        raise ConfigurationError(f"batches of {batch} candidates do not divide the {context} of a pair")
    starts = range(0, context, batch)
    for pair in rng.permutation(pairs).tolist():
        yield from (CandidateBatch(pair, "score", start, start + batch) for start in starts)
        yield CandidateBatch(pair, "pose", 0, context)
        if learn:
            yield from (CandidateBatch(pair, "learn", start, start + batch) for start in starts)
