"""PatchNCE and the least-squares adversarial losses."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from relpose_training.losses.adversarial import discriminator_loss, generator_loss
from relpose_training.losses.patch_nce import patch_nce


def unit(*shape, seed=0):
    return functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_patch_nce_is_the_cross_entropy_of_the_right_patch():
    queries, keys = unit(2, 6, 8), unit(2, 6, 8, seed=1)
    found = patch_nce(queries, keys, 0.07)
    for b in range(2):
        logits = queries[b] @ keys[b].T / 0.07
        assert found[b].item() == pytest.approx(
            functional.cross_entropy(logits, torch.arange(6)).item(), 1e-5
        )


def test_like_patches_are_told_apart_and_equal_ones_are_guessed():
    keys = torch.eye(16)[None]
    assert patch_nce(keys, keys) < 1e-4
    same = torch.ones(1, 16, 4) / 2
    assert patch_nce(same, same).item() == pytest.approx(math.log(16))


def test_an_image_is_compared_with_itself_alone():
    queries, keys = unit(2, 6, 8), unit(2, 6, 8, seed=1)
    assert torch.allclose(patch_nce(queries, keys)[0], patch_nce(queries[:1], keys[:1])[0])


def test_keys_get_no_gradient():
    queries, keys = unit(1, 6, 8).requires_grad_(), unit(1, 6, 8, seed=1).requires_grad_()
    patch_nce(queries, keys).sum().backward()
    assert keys.grad is None and queries.grad.abs().max() > 0


def test_adversarial_losses():
    ones, zeros = torch.ones(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    assert discriminator_loss(ones, zeros) == 0
    assert discriminator_loss(zeros, ones) == 1
    assert discriminator_loss(ones / 2, ones / 2) == 0.25
    assert generator_loss(ones) == 0
    assert generator_loss(zeros) == 1
