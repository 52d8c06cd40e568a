"""SupCon, TransPose's SuperCon and CamNet's triplets: identities that hold for any features."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_training.losses.contrastive import single_anchor_supcon_loss, supcon_loss
from relpose_training.losses.graded_triplet import graded_triplet_loss, pairwise_distance


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(noise, dim=-1)


def test_labels_and_their_mask_are_the_same():
    features, labels = unit(6, 2, 8), torch.tensor([0, 0, 1, 1, 2, 0])
    mask = (labels[:, None] == labels).double()
    torch.testing.assert_close(supcon_loss(features, labels), supcon_loss(features, mask=mask))


def test_without_labels_every_image_is_its_own():
    features = unit(5, 2, 8)
    torch.testing.assert_close(supcon_loss(features), supcon_loss(features, torch.arange(5)))


def test_equal_features_give_the_logarithm_of_the_number_of_others():
    features = unit(1, 1, 8).expand(4, 2, 8)
    assert supcon_loss(features, temperature=0.07).item() == pytest.approx(math.log(7))
    anchor, positives, negatives = features[:1, 0], features[:2, 0], features[:3, 0]
    loss = single_anchor_supcon_loss(anchor, positives, negatives)
    assert loss.item() == pytest.approx(3 * math.log(5))  # a row each for the anchor and two positives


def test_an_image_without_positives_has_a_loss_of_zero_and_no_nan():
    features = unit(4, 1, 8).requires_grad_()
    loss = supcon_loss(features)
    loss.backward()
    assert loss == 0 and torch.isfinite(features.grad).all()


def test_order_does_not_matter():
    features, labels = unit(6, 2, 8), torch.tensor([0, 0, 1, 1, 2, 0])
    order = torch.tensor([3, 5, 0, 2, 4, 1])
    torch.testing.assert_close(supcon_loss(features, labels), supcon_loss(features[order], labels[order]))


def test_nearer_positives_cost_less():
    anchor, negatives = unit(1, 16), unit(6, 16, seed=1)
    far = unit(3, 16, seed=2)
    near = functional.normalize(far + 3 * anchor, dim=1)
    assert single_anchor_supcon_loss(anchor, near, negatives) < single_anchor_supcon_loss(
        anchor, far, negatives
    )


def test_labels_and_mask_together_are_refused():
    with pytest.raises(ConfigurationError, match="not both"):
        supcon_loss(unit(2, 1, 4), torch.tensor([0, 0]), torch.ones(2, 2))


def test_grades_in_order_cost_nothing_and_the_hardest_costs_most():
    fine, medium, negative = torch.tensor([0.1, 0.2]), torch.tensor([0.4, 0.5]), torch.tensor([0.9, 1.5])
    assert graded_triplet_loss(fine, medium, negative) == 0
    assert graded_triplet_loss(medium, fine, negative).item() == pytest.approx(0.4)
    assert graded_triplet_loss(medium, fine, negative, hardest=True).item() == pytest.approx(0.5)


def test_the_distance_of_a_vector_to_itself_has_a_gradient():
    x = unit(3, 4).requires_grad_()
    pairwise_distance(x, x.detach()).sum().backward()
    assert torch.isfinite(x.grad).all()
