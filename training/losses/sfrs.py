"""Losses of SFRS: hard ones on the best regions, soft ones that a teacher's similarities supervise.

Ge et al., Self-supervising Fine-grained Region Similarities for Large-scale Image Localization, ECCV 2020.
A network is trained in generations: that of generation g > 0 has the one of g - 1 as its teacher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.region import RegionSimilarities
from relpose_training.losses.sare import sare_ind_loss, sare_joint_loss
from relpose_training.losses.triplet import MARGIN, triplet_loss

HARD_LOSSES = ("sare_ind", "sare_joint", "triplet")


@dataclass(frozen=True)
class SfrsOptions:
    """`hard` is one of HARD_LOSSES; `temperatures` are the teacher's, one a generation; the first of them
    is also the student's. `soft_weight` weighs the soft loss from generation 1 on; `margin` and `squared`
    are the triplet's. Raises ConfigurationError for what makes no sense."""

    hard: str = "sare_ind"
    temperatures: tuple[float, ...] = (0.07, 0.07, 0.06, 0.05)
    soft_weight: float = 0.5
    margin: float = MARGIN
    squared: bool = False

    def __post_init__(self) -> None:
        if self.hard not in HARD_LOSSES:
            raise ConfigurationError(f"expected a loss of {', '.join(HARD_LOSSES)}, got {self.hard!r}")
        if not self.temperatures or min(self.temperatures) <= 0:
            raise ConfigurationError(f"expected temperatures above 0, got {self.temperatures}")


class SfrsLoss(NamedTuple):
    """Scalars: `total` = hard + weight * soft, where the weight is 0 in generation 0."""

    total: Tensor
    hard: Tensor
    soft: Tensor


def sfrs_loss(
    easy: RegionSimilarities,
    difficult: RegionSimilarities,
    teacher_scores: Tensor,
    generation: int,
    options: SfrsOptions | None = None,
    valid: Tensor | None = None,
) -> SfrsLoss:
    """The losses of one step, for T tuples.

    `easy` compares the anchor with [the best positive, N negatives], `difficult` with n positives that
    are hard to tell, both by the student; `teacher_scores` (T, n, 9, 9) are the teacher's for the
    latter (no gradient flows there). `valid` (T, n), boolean, marks the positives that are not padding.
    Raises ConfigurationError for a generation without temperature.
    """
    options = options or SfrsOptions()
    if not 0 <= generation < len(options.temperatures):
        raise ConfigurationError(
            f"expected a generation below {len(options.temperatures)}, as there are so many temperatures, "
            f"got {generation}"
        )
    hard = hard_loss(easy, generation, options)
    soft = soft_loss(
        difficult.scores, teacher_scores, options.temperatures[0], options.temperatures[generation], valid
    )
    weight = options.soft_weight if generation else 0.0
    return SfrsLoss(hard + weight * soft, hard, soft)


def hard_loss(easy: RegionSimilarities, generation: int, options: SfrsOptions) -> Tensor:
    """The chosen loss of the global descriptors of anchor and positive and one region of each negative.

    In generation 0 that region is the whole image; later it is the one most like the anchor's whole image.
    """
    anchor, positive = easy.anchors[:, 0, 0], easy.others[:, 0, 0]
    if generation == 0:
        negatives = easy.others[:, 1:, 0]
    else:
        best = easy.scores[:, 1:, 0].detach().argmax(dim=2)  # (T, N)
        negatives = torch.take_along_dim(easy.others[:, 1:], best[:, :, None, None], dim=2)[:, :, 0]
    if options.hard == "triplet":
        return triplet_loss(anchor, positive, negatives, options.margin, options.squared)
    loss = sare_ind_loss if options.hard == "sare_ind" else sare_joint_loss
    return loss(anchor, positive, negatives, options.temperatures[0])


def soft_loss(
    scores: Tensor,
    teacher_scores: Tensor,
    temperature: float,
    teacher_temperature: float,
    valid: Tensor | None = None,
) -> Tensor:
    """Mean over tuples of the cross entropy between the teacher's and the student's similarities, a scalar.

    Each is the softmax, over the regions of all n positives, of the scores (T, n, 9, 9) of the anchor's
    whole image with them, divided by its temperature. `valid` (T, n) as in `sfrs_loss`; a tuple without
    any adds 0.
    """
    student = scores[:, :, 0].flatten(1) / temperature  # (T, 9 n)
    teacher = teacher_scores.detach()[:, :, 0].flatten(1) / teacher_temperature
    if valid is not None:
        padding = ~valid.repeat_interleave(scores.shape[3], dim=1)
        lowest = torch.finfo(student.dtype).min
        student, teacher = student.masked_fill(padding, lowest), teacher.masked_fill(padding, lowest)
    terms = torch.softmax(teacher, dim=1) * functional.log_softmax(student, dim=1)
    if valid is not None:
        terms = terms.masked_fill(padding, 0.0)
    return -terms.sum(dim=1).mean()
