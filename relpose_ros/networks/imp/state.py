"""What the matching loop carries from one iteration to the next."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Attention:
    """Attention probabilities of one iteration: (B, 4, queries, keys)."""

    self0: Tensor  # (B, 4, N0, N0)
    self1: Tensor  # (B, 4, N1, N1)
    cross0: Tensor  # (B, 4, N0, N1): image 0 asks, image 1 is attended to
    cross1: Tensor  # (B, 4, N1, N0)


@dataclass(frozen=True)
class ReceivedAttention:
    """What each keypoint gets from all heads and queries, (B, N): of its own image, of the other one."""

    own0: Tensor
    other0: Tensor
    own1: Tensor
    other1: Tensor


@dataclass(frozen=True)
class MatchingState:
    """Two sets of keypoints after `iteration` iterations (0: encoded only).

    Points can leave in two ways: masked (`keep0`, `keep1`; None: all are there) so that shapes stay, or
    taken out, where `ids0`, `ids1` say which of the original points are left (None: all of them).
    """

    descriptors0: Tensor  # (B, D, N0)
    descriptors1: Tensor  # (B, D, N1)
    iteration: int = 0
    attention: Attention | None = None  # the last one computed, if the next iteration shares it
    received: ReceivedAttention | None = None  # of the last one, where it is known without `attention`
    keep0: Tensor | None = None  # (B, N0) bool
    keep1: Tensor | None = None  # (B, N1) bool
    ids0: Tensor | None = None  # (N0,) int64
    ids1: Tensor | None = None  # (N1,) int64
