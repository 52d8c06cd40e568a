"""SupCon, TransPose's SuperCon and CamNet's triplets: identities that hold for any features."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_training.losses.contrastive import single_anchor_supcon_loss, supcon_loss, tuple_supcon_loss
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


def test_tuples_have_the_loss_of_single_anchors() -> None:
    anchors, partners = torch.randn(3, 8), torch.randn(3, 5, 8)
    exist = torch.ones(3, 5, dtype=torch.bool)
    ours = tuple_supcon_loss(anchors, partners, exist, 2, 0.1)
    for k in range(3):
        single = single_anchor_supcon_loss(anchors[k : k + 1], partners[k, :2], partners[k, 2:], 0.1)
        assert torch.allclose(3 * ours[k], single, rtol=1e-5)


def test_partners_that_do_not_exist_change_nothing() -> None:
    anchors, partners = torch.randn(2, 8), torch.randn(2, 5, 8)
    exist = torch.tensor([[True, False, True, True, False], [False, True, False, True, True]])
    ours = tuple_supcon_loss(anchors, partners, exist, 2)
    for k in range(2):
        kept, positives = partners[k][exist[k]], int(exist[k, :2].sum())
        single = single_anchor_supcon_loss(anchors[k : k + 1], kept[:positives], kept[positives:])
        assert torch.allclose((1 + positives) * ours[k], single, rtol=1e-5)
    other = torch.where(exist[..., None], partners, 100 * torch.randn(2, 5, 8))
    assert torch.allclose(tuple_supcon_loss(anchors, other, exist, 2), ours)


@pytest.mark.parametrize("exist", [(False, False, True), (False, False, False), (True, False, False)])
def test_tuples_that_lack_partners_have_finite_gradients(exist) -> None:
    anchors, partners = torch.randn(1, 8, requires_grad=True), torch.randn(1, 3, 8, requires_grad=True)
    loss = tuple_supcon_loss(anchors, partners, torch.tensor([exist]), 2)
    loss.sum().backward()
    assert torch.isfinite(anchors.grad).all() and torch.isfinite(partners.grad).all()
    if not any(exist[:2]):
        assert loss.item() == 0


def test_tuples_under_autocast_are_in_full_precision() -> None:
    anchors, partners, exist = torch.randn(2, 8), torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)
    with torch.autocast("cpu", torch.bfloat16):
        loss = tuple_supcon_loss(anchors.bfloat16(), partners.bfloat16(), exist, 1)
    assert loss.dtype == torch.float32
    assert torch.allclose(loss, tuple_supcon_loss(anchors, partners, exist, 1), rtol=0.05, atol=0.05)
