"""How sure a network is of a vector: channels -> standard deviation, or factor of a covariance."""

from __future__ import annotations

import torch
from torch import Tensor

LOG_SCALE_RANGE = (-16.10, 13.82)
"""The logarithm of a standard deviation is kept in here: 1e-7 to 1e6 metres or radians."""

UNCERTAINTIES = {"none": 0, "isotropic": 1, "anisotropic": 6}
"""Uncertainty -> channels after those of the task; anisotropic is for vectors of three alone."""

LEANING_LIMIT = 20.0
"""An entry below the diagonal, in deviations: correlations up to 0.999."""


def deviation(raw: Tensor) -> Tensor:
    """What a last layer says (B, 0, 1 or 6, h, w) -> the same number of channels that mean something.

    1: the standard deviation s = exp(raw), of each component. 6: the lower factor L of a covariance L L^T,
    as l11, l21, l22, l31, l32, l33. With s = exp(raw) on the diagonal, l_ij = s_i raw_ij below it: the
    unit in which L is measured is then learned by the diagonal alone.
    """
    if raw.shape[1] != UNCERTAINTIES["anisotropic"]:
        return raw.clamp(*LOG_SCALE_RANGE).exp()
    first, leaning21, second, leaning31, leaning32, third = raw.split(1, dim=1)
    scales = [x.clamp(*LOG_SCALE_RANGE).exp() for x in (first, second, third)]
    leanings = [x.clamp(-LEANING_LIMIT, LEANING_LIMIT) for x in (leaning21, leaning31, leaning32)]
    rows = [scales[0], scales[1] * leanings[0], scales[1]]
    rows += [scales[2] * leanings[1], scales[2] * leanings[2], scales[2]]
    return torch.cat(rows, dim=1)
