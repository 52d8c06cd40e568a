"""AdaGMN, the network of EIMP: DGNNS that drops uninformative keypoints on the way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.imp.dgnns import DGNNS
from relpose_ros.networks.imp.pooling import pooled, received_attention
from relpose_ros.networks.imp.state import MatchingState


class AdaGMN(DGNNS):
    """Parameters and state dict as DGNNS; pools after every iteration that shares attention.

    n_min_tokens    an image with at most this many points left is not pooled
    seed_threshold  least assignment mass of a point that certainly stays
    """

    def __init__(self, *, n_min_tokens: int = 256, seed_threshold: float = 0.1, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.n_min_tokens, self.seed_threshold = n_min_tokens, seed_threshold

    @classmethod
    def small_parameters(cls) -> dict[str, Any]:
        return {**super().small_parameters(), "iterations": 7, "n_min_tokens": 8}

    def mask(self, state: MatchingState, assignment: Tensor) -> MatchingState:
        """Pool without changing shapes: dropped points are no longer attended to nor matched.

        They still count in the statistics of instance normalisation, and the attention they pay in the next
        choice, as in the published training.
        """
        keep0, keep1 = self._choice(state, assignment, self.seed_threshold)
        return replace(state, keep0=keep0, keep1=keep1, attention=None, received=None)

    def pool(self, state: MatchingState, assignment: Tensor, threshold: float | None = None) -> MatchingState:
        """Pool by taking points out, which makes the next iterations cheaper; for a batch of one.

        `assignment` is `scores(state)`, `threshold` that of a seed (default `seed_threshold`; the iterative
        loop uses 0.2 times its inlier ratio). `ids0`, `ids1` of the result lead back to the inputs.
        Raises ConfigurationError for a larger batch and after an iteration without shared attention.
        """
        if assignment.shape[0] != 1:
            raise ConfigurationError(
                f"points can be taken out of a batch of 1, not of {assignment.shape[0]}; use mask() instead"
            )
        keep0, keep1 = self._choice(
            state, assignment, self.seed_threshold if threshold is None else threshold
        )
        left0, left1 = (keep[0].nonzero().squeeze(1) for keep in (keep0, keep1))
        return replace(
            state,
            descriptors0=state.descriptors0[:, :, left0],
            descriptors1=state.descriptors1[:, :, left1],
            attention=None,
            received=None,
            keep0=None,
            keep1=None,
            ids0=left0 if state.ids0 is None else state.ids0[left0],
            ids1=left1 if state.ids1 is None else state.ids1[left1],
        )

    def _choice(self, state: MatchingState, assignment: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
        received = state.received
        if received is None:
            if state.attention is None:
                raise ConfigurationError("pooling needs the attention of an iteration that shares it")
            received = received_attention(state.attention)
        keep0, keep1 = (
            torch.ones(x.shape[::2], dtype=torch.bool, device=x.device) if keep is None else keep
            for x, keep in ((state.descriptors0, state.keep0), (state.descriptors1, state.keep1))
        )
        return pooled(assignment, received, keep0, keep1, threshold, self.n_min_tokens)

    def pools_after(self, iteration: int) -> bool:
        return self.shares_attention(iteration)

    def iterate(self, *inputs: Tensor) -> Iterator[tuple[MatchingState, Tensor]]:
        state = self.encode(*inputs)
        for iteration in range(self.iterations):
            state = self.step(state)
            assignment = self.scores(state)
            yield state, assignment
            if self.pools_after(iteration):
                state = self.mask(state, assignment)

    def last(self, *inputs: Tensor) -> Tensor:
        state = self.encode(*inputs)
        for iteration in range(self.iterations):
            state = self.step(state)
            if self.pools_after(iteration) and iteration + 1 < self.iterations:
                state = self.mask(state, self.scores(state))
        return self.scores(state)
