"""Contrast between patches: what was made at a place shall be like what was there, and like nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

TEMPERATURE = 0.07


def patch_nce(queries: Tensor, keys: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """-log( exp(q_p k_p / tau) / sum_r exp(q_p k_r / tau) ), the mean over patches p: (B,).

    `queries`, `keys` (B, P, C) unit vectors of the patches of one image, before and after; the keys get no
    gradient. Guessing gives log P. Park, Efros, Zhang, Zhu, ECCV 2020, eq. 3 and 4: the other patches r are
    those of the same image.
    """
    with torch.autocast(queries.device.type, enabled=False):
        logits = queries.float() @ keys.detach().float().transpose(1, 2) / temperature
        right = torch.diagonal(logits, dim1=1, dim2=2)
        return (torch.logsumexp(logits, dim=2) - right).mean(dim=1)
