"""Triplet, SARE and SFRS: values that can be worked out by hand, invariances, and what gets a gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.region import RegionSimilarities
from relpose_training.losses.sare import sare_ind_loss, sare_joint_loss
from relpose_training.losses.sfrs import HARD_LOSSES, SfrsOptions, hard_loss, sfrs_loss, soft_loss
from relpose_training.losses.triplet import EPSILON, MARGIN, triplet_loss

LOSSES = {
    "triplet": triplet_loss,
    "triplet squared": lambda a, p, n: triplet_loss(a, p, n, 0.5, squared=True),
    "sare_ind": sare_ind_loss,
    "sare_joint": sare_joint_loss,
    "sare_ind dot": lambda a, p, n: sare_ind_loss(a, p, n, 0.07),
    "sare_joint dot": lambda a, p, n: sare_joint_loss(a, p, n, 0.07),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(noise, dim=-1)


def tuples() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three anchors, positives, and five negatives each that are hardly farther away."""
    anchor = unit(3, 16)
    positive = functional.normalize(anchor + unit(3, 16, seed=1), dim=1)
    negatives = functional.normalize(anchor[:, None] + 1.5 * unit(3, 5, 16, seed=2), dim=2)
    return anchor, positive, negatives


@every_loss
def test_the_order_of_negatives_and_tuples_does_not_count(loss):
    a, p, n = tuples()
    assert torch.allclose(loss(a, p, n), loss(a.flip(0), p.flip(0), n.flip(0, 1)))


@every_loss
def test_only_angles_count(loss):
    rotation = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64)).Q
    turned = (x @ rotation for x in tuples())
    assert torch.allclose(loss(*turned), loss(*tuples()), atol=1e-5)


@every_loss
def test_a_step_down_brings_the_positive_nearer(loss):
    a, p, n = tuples()
    (gradient,) = torch.autograd.grad(loss(a, p.requires_grad_(), n), p)
    nearer = functional.normalize((p - 0.01 * gradient).detach(), dim=1)
    assert ((a - nearer).norm(dim=1) < (a - p.detach()).norm(dim=1)).all()
    assert loss(a, nearer, n) < loss(a, p, n)


@every_loss
def test_gradients_are_those_of_the_function(loss):
    given = tuple(x.requires_grad_() for x in tuples())
    assert torch.autograd.gradcheck(loss, given)


@every_loss
def test_a_positive_that_equals_the_anchor_has_a_finite_gradient(loss):
    a, _, n = (x.requires_grad_() for x in tuples())
    loss(a, a.detach().clone(), n).backward()
    assert torch.isfinite(a.grad).all()


@every_loss
def test_autocast_changes_nothing(loss):
    given = tuple(x.float() for x in tuples())
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(*given)
    assert inside.dtype == torch.float32 and torch.allclose(inside, loss(*given))


def test_triplet_is_the_margin_where_distances_are_equal_and_zero_beyond_it():
    a, far = torch.zeros(1, 4), torch.full((1, 1, 4), 9.0)
    p, equal = torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[[0, 1.0, 0, 0]]])
    assert triplet_loss(a, p, equal).item() == pytest.approx(MARGIN)
    assert triplet_loss(a, p, far).item() == 0
    assert triplet_loss(a, p, torch.cat([equal, far], dim=1)).item() == pytest.approx(MARGIN / 2)


def test_squared_triplet_is_that_of_the_paper():
    a, p, n = torch.zeros(1, 2), torch.tensor([[2.0, 0]]), torch.tensor([[[1.5, 0], [3.0, 0]]])
    assert triplet_loss(a, p, n, 0.1, squared=True).item() == pytest.approx((4 - 2.25 + 0.1) / 2)
    assert triplet_loss(a, p, n, 0.1).item() == pytest.approx((2 - 1.5 + 0.1) / 2, abs=4 * EPSILON)


def test_hard_triplets_of_regions_can_be_squared():
    a, p, n = tuples()
    whole = torch.cat([p[:, None], n], dim=1)[:, :, None]
    found = RegionSimilarities(torch.zeros(3, 6, 1, 1), a[:, None, None], whole)
    for squared in (False, True):
        options = SfrsOptions("triplet", margin=0.5, squared=squared)
        assert hard_loss(found, 0, options) == triplet_loss(a, p, n, 0.5, squared)


def test_one_negative_makes_both_sare_equal():
    a, p, n = tuples()
    for temperature in (None, 0.07):
        joint, single = (f(a, p, n[:, :1], temperature) for f in (sare_joint_loss, sare_ind_loss))
        assert torch.allclose(joint, single)


def test_sare_of_negatives_as_near_as_the_positive():
    a, p, _ = tuples()
    n = p[:, None].expand(3, 5, 16)
    assert sare_ind_loss(a, p, n).item() == pytest.approx(math.log(2))
    assert sare_joint_loss(a, p, n).item() == pytest.approx(math.log(6))


@pytest.mark.parametrize("loss", [sare_ind_loss, sare_joint_loss])
def test_distance_is_a_dot_product_of_temperature_a_half(loss):
    """|a - b|^2 = 2 - 2 a.b for descriptors of norm 1."""
    assert torch.allclose(loss(*tuples()), loss(*tuples(), temperature=0.5))


@pytest.mark.parametrize("loss", [sare_ind_loss, sare_joint_loss])
def test_a_hopeless_tuple_does_not_overflow(loss):
    a = unit(1, 8).float()
    assert torch.isfinite(loss(a, -a, a[:, None], 1e-3))


def compared(count: int, seed: int, tuples: int = 2) -> RegionSimilarities:
    """Random regions of an anchor and `count` others."""
    anchors, others = unit(tuples, 1, 9, 32, seed=seed), unit(tuples, count, 9, 32, seed=seed + 50)
    others = functional.normalize(others + anchors.mean(dim=2, keepdim=True), dim=-1).requires_grad_()
    return RegionSimilarities(anchors @ others.transpose(2, 3), anchors, others)


def test_the_soft_loss_waits_for_a_teacher():
    easy, difficult, teacher = compared(6, 1), compared(4, 2), compared(4, 3).scores
    first, second = (sfrs_loss(easy, difficult, teacher, g, SfrsOptions(soft_weight=0.3)) for g in (0, 1))
    assert first.total == first.hard and first.soft > 0
    assert torch.allclose(second.total, second.hard + 0.3 * second.soft)


def test_the_teacher_gets_no_gradient():
    teacher = compared(4, 3)
    sfrs_loss(compared(6, 1), compared(4, 2), teacher.scores, 2).total.backward()
    assert teacher.others.grad is None


@pytest.mark.parametrize("hard", HARD_LOSSES)
def test_later_generations_take_the_region_that_is_most_like_the_anchor(hard):
    easy, options = compared(6, 1), SfrsOptions(hard)
    best = easy.scores[:, 1:, 0].argmax(dim=2)
    assert len(best.unique()) > 2, "the choice matters"
    chosen = torch.stack([easy.others[t, 1 + j, best[t, j]] for t in range(2) for j in range(5)])
    whole = easy.others[:, :, :1].expand(2, 6, 9, 32).clone()
    whole[:, 1:] = chosen.reshape(2, 5, 1, 32)
    replaced = easy._replace(others=whole)
    assert torch.allclose(hard_loss(easy, 3, options), hard_loss(replaced, 0, options))
    assert hard_loss(easy, 3, options) > hard_loss(easy, 0, options), "harder negatives"


def test_a_region_that_was_not_chosen_gets_no_gradient():
    easy = compared(6, 1)
    hard_loss(easy, 1, SfrsOptions("sare_joint")).backward()
    moved = easy.others.grad.abs().sum(dim=3) > 0
    assert moved.sum(dim=2).eq(1).all() and moved[:, 0, 0].all()


def test_the_soft_loss_is_least_where_the_student_agrees():
    teacher = compared(4, 3).scores.detach()
    student = teacher.clone().requires_grad_()
    soft_loss(student, teacher, 0.07, 0.07).backward()
    assert student.grad.abs().max() < 1e-9
    other = compared(4, 2).scores
    assert soft_loss(other, teacher, 0.07, 0.07) > soft_loss(teacher, teacher, 0.07, 0.07)


def test_a_colder_teacher_is_surer():
    """Cross entropy with itself is its entropy at the same temperature."""
    scores = compared(4, 3).scores
    entropies = [soft_loss(scores, scores, t, t).item() for t in (0.07, 0.06, 0.05)]
    assert entropies == sorted(entropies, reverse=True) and entropies[0] < math.log(36)


def test_only_the_anchors_whole_image_is_compared_softly():
    difficult, teacher = compared(4, 2), compared(4, 3)
    changed = difficult.scores.clone()
    changed[:, :, 1:] += 1
    values = [soft_loss(s, teacher.scores, 0.07, 0.06) for s in (difficult.scores, changed)]
    assert torch.equal(*values)


def test_padding_is_as_if_it_were_not_there():
    student, teacher = compared(4, 2).scores, compared(4, 3).scores
    valid = torch.tensor([[True, True, False, False], [True, True, True, True]])
    found = soft_loss(student, teacher, 0.07, 0.06, valid)
    first = soft_loss(student[:1, :2], teacher[:1, :2], 0.07, 0.06)
    second = soft_loss(student[1:], teacher[1:], 0.07, 0.06)
    assert torch.allclose(found, (first + second) / 2)


def test_a_tuple_of_padding_alone_adds_nothing():
    difficult, teacher = compared(4, 2), compared(4, 3).scores
    valid = torch.tensor([[False] * 4, [True] * 4])
    loss = soft_loss(difficult.scores, teacher, 0.07, 0.06, valid)
    assert torch.allclose(loss, soft_loss(difficult.scores[1:], teacher[1:], 0.07, 0.06) / 2)
    (gradient,) = torch.autograd.grad(loss, difficult.others)
    assert torch.isfinite(gradient).all() and gradient[0].abs().max() == 0


@pytest.mark.parametrize("generation", [-1, 4])
def test_a_generation_without_temperature_is_refused(generation):
    with pytest.raises(ConfigurationError, match="generation below 4"):
        sfrs_loss(compared(6, 1), compared(4, 2), compared(4, 3).scores, generation)


@pytest.mark.parametrize(
    "options", [{"hard": "contrastive"}, {"temperatures": ()}, {"temperatures": (0.07, 0)}]
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigurationError, match="expected"):
        SfrsOptions(**options)


@pytest.mark.parametrize("loss", [sare_ind_loss, sare_joint_loss])
def test_negatives_that_are_not_usable_do_not_count(loss):
    a, p, n = tuples()
    usable = torch.tensor([True, False, True, True, False]).expand(3, 5)
    masked = loss(a, p, n, 0.1, usable)
    assert torch.allclose(masked, loss(a, p, n[:, usable[0]], 0.1))
    assert not torch.allclose(masked, loss(a, p, n, 0.1))
