"""Least-squares adversarial losses (Mao, Li, Xie, Lau, Wang, Smolley, ICCV 2017)."""

from __future__ import annotations

from torch import Tensor


def discriminator_loss(said_of_real: Tensor, said_of_made: Tensor) -> Tensor:
    """(mean (D(real) - 1)^2 + mean D(made)^2) / 2; tensors of any shape."""
    real, made = said_of_real.float(), said_of_made.float()
    return ((real - 1).square().mean() + made.square().mean()) / 2


def generator_loss(said_of_made: Tensor) -> Tensor:
    """mean (D(made) - 1)^2."""
    return (said_of_made.float() - 1).square().mean()
