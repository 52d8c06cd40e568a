"""Drawing partners for contrastive training, those seen least first."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def drawing_probabilities(
    drawn: ArrayLike, candidates: ArrayLike, compat: bool = False
) -> NDArray[np.float64]:
    """How likely each of `candidates` (K,), indices into `drawn` (N,) counts of earlier draws, is drawn.

    Proportional to 1 / (count - smallest count among them + 1). `compat`: to count - smallest + 1, as in
    TransPose, which draws what it has drawn most already.
    """
    count = np.asarray(drawn, np.float64)[np.asarray(candidates, np.intp)]
    surplus = count - count.min() + 1
    weight = surplus if compat else 1 / surplus
    return np.asarray(weight / weight.sum())


def draw_rare_first(
    rng: np.random.Generator, drawn: ArrayLike, candidates: ArrayLike, size: int, compat: bool = False
) -> NDArray[np.intp]:
    """`size` different ones of `candidates` (K,); the caller adds them to the counts `drawn` (N,)."""
    pool = np.asarray(candidates, np.intp)
    chance = drawing_probabilities(drawn, pool, compat)
    return rng.choice(pool, size, replace=False, p=chance)
