"""Negative log-likelihood of a prediction with a standard deviation."""

from __future__ import annotations

from torch import Tensor

from relpose_training.losses.reprojection import TINY, full_precision

SCALE_FLOOR = TINY**0.5


@full_precision
def gaussian_nll(squared_error: Tensor, scale: Tensor, dimension: int, compat: bool = False) -> Tensor:
    """d ln s + e^2 / (2 s^2) for e^2 and s of one shape, each cell a vector of `dimension` d.

    The likelihood of an isotropic Gaussian, without its constant (Kendall and Gal, NeurIPS 2017). Its
    best s^2 is e^2 / d, so d must be that of the vector: 3 for coordinates, 2 for angles, 1 for depth;
    TransPose took 3 for all, and was over-confident by sqrt(3) in depth. s counts as 3e-4 at least;
    with `compat` the logarithm follows it down to 1e-7, where the error no longer does.
    """
    floored = scale.clamp(min=SCALE_FLOOR)
    logarithm = scale.clamp(min=TINY).log() if compat else floored.log()
    return dimension * logarithm + squared_error.clamp(min=TINY) / (2 * floored**2)
