"""Supervised contrastive losses: SupCon (Khosla et al., NeurIPS 2020) and TransPose's form of it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_training.losses.reprojection import full_precision

BASE_TEMPERATURE = 0.07


@full_precision
def supcon_loss(
    features: Tensor,
    labels: Tensor | None = None,
    mask: Tensor | None = None,
    temperature: float = 0.07,
    all_views: bool = True,
) -> Tensor:
    """-(t / 0.07) times the mean over anchors of the mean of log p over their positives: a scalar.

    `features` (B, V, D), V views of B images, of norm 1; p is the softmax of similarity / t over all
    others. Positives: the other views, and those of images with the same `labels` (B,), or with
    `mask[i, j]` not 0 (B, B); with neither, SimCLR. Anchors: every view, or the first if not `all_views`.
    An anchor without positives contributes 0. Khosla et al., eq. 2.
    """
    batch, views, _ = features.shape
    positive = _positives(batch, labels, mask, features)
    contrast = features.transpose(0, 1).flatten(0, 1)
    anchors = batch * views if all_views else batch
    positive = positive.repeat(anchors // batch, views)
    others = ~torch.eye(batch * views, dtype=torch.bool, device=features.device)[:anchors]
    log_p = _log_probability(contrast[:anchors] @ contrast.T / temperature, others)
    mean = _mean_over_positives(log_p, positive * others)
    return -(temperature / BASE_TEMPERATURE) * mean.mean()


@full_precision
def single_anchor_supcon_loss(
    anchor: Tensor, positives: Tensor, negatives: Tensor, temperature: float = 0.07, normalise: bool = True
) -> Tensor:
    """TransPose's SuperCon: `anchor` (1, D) with its `positives` (P, D) and `negatives` (N, D); a scalar.

    All pairs of the anchor and the positives are positive to each other. The sum over these 1 + P rows of
    -(the mean of log p over their positives); p is the softmax of similarity / temperature over all others.
    """
    features = torch.cat([anchor, positives, negatives])
    if normalise:
        features = functional.normalize(features, dim=1)
    rows = len(anchor) + len(positives)
    others = ~torch.eye(len(features), dtype=torch.bool, device=features.device)[:rows]
    log_p = _log_probability(features[:rows] @ features.T / temperature, others)
    positive = others & (torch.arange(len(features), device=features.device) < rows)
    return -_mean_over_positives(log_p, positive.to(log_p.dtype)).sum()


@full_precision
def tuple_supcon_loss(
    anchors: Tensor, partners: Tensor, exist: Tensor, positives: int, temperature: float = 0.07
) -> Tensor:
    """`single_anchor_supcon_loss` (B,) of B tuples of one shape, divided by the rows that it sums over.

    `anchors` (B, D); `partners` (B, K, D), the first `positives` of them positive, of which those count that
    `exist` (B, K). Embeddings of any length. 0 for an anchor without a positive.
    """
    features = functional.normalize(torch.cat([anchors[:, None], partners], dim=1), dim=2)
    there = torch.cat([torch.ones_like(exist[:, :1]), exist], dim=1)
    count = features.shape[1]
    others = there[:, None, :] & ~torch.eye(count, dtype=torch.bool, device=features.device)
    logits = features @ features.transpose(1, 2) / temperature
    # A floor in place of -inf: the gradient of a row of nothing but -inf is NaN.
    divisor = logits.masked_fill(~others, torch.finfo(logits.dtype).min).logsumexp(2, keepdim=True)
    positive = (others & (torch.arange(count, device=features.device) <= positives)).to(logits.dtype)
    own = positive.sum(2)
    mean = (positive * (logits - divisor)).sum(2) / own.clamp(min=1)
    rows = (there & (own > 0))[:, : positives + 1].to(logits.dtype)
    return -(rows * mean[:, : positives + 1]).sum(1) / rows.sum(1).clamp(min=1)


def _positives(batch: int, labels: Tensor | None, mask: Tensor | None, like: Tensor) -> Tensor:
    """Which images (B, B) are positive to each other, 0 or 1, each to itself included."""
    if labels is not None and mask is not None:
        raise ConfigurationError("SupCon takes labels or a mask of positives, not both: leave one out")
    if mask is not None:
        return mask.to(like)
    if labels is not None:
        return (labels[:, None] == labels[None, :]).to(like)
    return torch.eye(batch, dtype=like.dtype, device=like.device)


def _log_probability(logits: Tensor, others: Tensor) -> Tensor:
    """Log-softmax of rows over the entries of `others`; the rest have the same divisor."""
    return logits - logits.masked_fill(~others, -torch.inf).logsumexp(1, keepdim=True)


def _mean_over_positives(log_p: Tensor, positive: Tensor) -> Tensor:
    """Rows' means over positives (R, N) -> (R,); 0 for a row without any."""
    count = positive.sum(1)
    return (positive * log_p).sum(1) / count.clamp(min=1)
