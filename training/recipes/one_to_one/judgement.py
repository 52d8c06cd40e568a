"""What a correspondence classifier says of a pair, in one form for all of them; and how right that is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from relpose_ros.evaluation.pose_auc import relative_pose_errors_deg
from relpose_ros.evaluation.two_view_poses import pose_of_essential
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.base import Network
from relpose_ros.networks.one_to_one.candidates import CandidateNetwork
from relpose_ros.networks.one_to_one.clnet import CLNet
from relpose_ros.networks.one_to_one.eight_point import inlier_weights, weighted_eight_point
from relpose_training.losses.correspondence_classification import POSITIVE_BELOW

NO_POSE = 180.0
"""Degrees: the error of a pair for which there is no pose."""


class Judgement(NamedTuple):
    """Logits (B, N), above 0 for what is called an inlier, and essential matrices (B, 3, 3)."""

    logits: Tensor
    essential: Tensor


def judge(
    network: Network,
    correspondences: Tensor,
    candidates: int | None = None,
    threshold: float = POSITIVE_BELOW,
) -> Judgement:
    """The judgement of `network` on `correspondences` (B, N, 4 or 6) of B pairs.

    CLNet judges all correspondences by the essential matrix of those that it keeps: the logit is
    log(`threshold` / squared symmetric epipolar distance). `candidates`: see `candidate_logits`.
    """
    if isinstance(network, CLNet):
        *_, essential, distances = network(correspondences)
        return Judgement(torch.log(threshold / distances.float().clamp(min=1e-12)), essential)
    if isinstance(network, CandidateNetwork):
        logits = candidate_logits(network, correspondences, candidates)
    else:
        logits = network(correspondences)[-1]
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return Judgement(logits, weighted_eight_point(correspondences.to(logits.dtype), inlier_weights(logits)))


def candidate_logits(network: CandidateNetwork, context: Tensor, candidates: int | None) -> Tensor:
    """Logits (B, N) of all of `context` (B, N, width), so many candidates at a time (None: all).

    Candidates that run together are normalised together. Under gradients each part is computed again in
    the backward pass, so that the memory is that of one part.
    """
    size = context.shape[1] if candidates is None else candidates
    parts = context.split(size, dim=1)
    if len(parts) == 1:
        logits: Tensor = network(context, context)[0]
        return logits
    again: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False}
    return torch.cat([checkpoint(network, context, part, **again)[0] for part in parts], dim=1)


def pose_errors_deg(
    judged: Judgement, correspondences: Tensor, rotation: Tensor, translation: Tensor
) -> NDArray[np.float64]:
    """Errors (B, 2) of rotation and direction, degrees, of the judged essential matrices, without RANSAC.

    `correspondences` (B, N, 4 or more); `rotation` (B, 3, 3), `translation` (B, 3): the truth. NO_POSE where
    there is none. Computed on the host, by `pose_of_essential`.
    """
    arrays = [_host(x) for x in (judged.essential, correspondences[..., :4], judged.logits)]
    errors = []
    for essential, pairs, logits, turn, move in zip(
        *arrays, _host(rotation), _host(translation), strict=True
    ):
        sane = np.isfinite(essential).all() and np.isfinite(logits).all()
        pose = pose_of_essential(essential, pairs, logits) if sane else None
        errors.append(relative_pose_errors_deg(pose, Rigid(turn, move)))
    return np.minimum(np.asarray(errors, np.float64), NO_POSE)


def _host(values: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values.detach().cpu().double().numpy()
    return found
