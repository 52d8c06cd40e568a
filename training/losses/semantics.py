"""The semantic loss of CrossLoc."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from relpose_training.losses.reprojection import full_precision


@full_precision
def semantics_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy, mean over pixels (B,), and share of pixels classified rightly (B,).

    `logits` (B, classes, H, W); `labels` (B, H, W) integer classes.
    """
    loss = functional.cross_entropy(logits, labels, reduction="none")
    right = logits.argmax(1) == labels
    return loss.mean((1, 2)), right.to(loss.dtype).mean((1, 2))
