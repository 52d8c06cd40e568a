"""EIMP: which points stay, and that masking and taking out agree."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.imp.adagmn import AdaGMN
from relpose_ros.networks.imp.pooling import (
    informative_points,
    masked_lower_median,
    pooled,
    received_attention,
)
from relpose_ros.networks.imp.state import Attention

ALL = torch.ones(1, 5, dtype=torch.bool)


def row(*values: float) -> torch.Tensor:
    return torch.tensor([values])


def test_the_lower_median_of_what_is_in():
    values = torch.tensor([[5.0, 1.0, 3.0, 9.0], [4.0, 3.0, 2.0, 1.0]])
    mask = torch.tensor([[True, True, False, True], [True, True, True, True]])
    assert masked_lower_median(values, mask).tolist() == [[5.0], [2.0]]
    assert masked_lower_median(values, torch.zeros_like(mask)).tolist() == [[float("inf")]] * 2
    random = torch.rand(1, 40, generator=torch.Generator().manual_seed(1))
    assert masked_lower_median(random, random > 0.3) == random[random > 0.3].median()


def test_seeds_stay_and_who_is_as_much_attended_to():
    mass = row(0.9, 0.1, 0.05, 0.0, 0.0)  # seeds: 0 and 1, their medians 0.2 and 0.3
    own = row(0.2, 0.4, 0.2, 0.1, 0.1)
    other = row(0.3, 0.5, 0.0, 0.3, 0.2)
    kept = informative_points(mass, own, other, ALL, 0.1)
    assert kept.tolist() == [[True, True, True, True, False]]


def test_without_a_seed_all_stay():
    nothing = row(0.0, 0.0, 0.0, 0.0, 0.0)
    keep = torch.tensor([[True, False, True, True, True]])
    assert torch.equal(
        informative_points(nothing, row(1.0, 2.0, 3.0, 4.0, 5.0), row(1.0, 2.0, 3.0, 4.0, 5.0), keep, 0.1),
        keep,
    )


def test_what_left_does_not_come_back():
    keep = torch.tensor([[True, False, True, True, True]])
    kept = informative_points(
        row(0.9, 0.9, 0.0, 0.0, 0.0), row(1.0, 9.0, 0.0, 0.0, 0.0), row(1.0, 9.0, 0.0, 0.0, 0.0), keep, 0.1
    )
    assert kept.tolist() == [[True, False, False, False, False]]


def test_attention_is_counted_by_who_receives_it():
    """Image 0's cross attention is received in image 1, and the other way round."""
    assignment = torch.zeros(1, 4, 4)
    assignment[0, 0, 0] = 1.0
    nothing = torch.zeros(1, 4, 3, 3)
    to_first = nothing.clone()
    to_first[..., 0] = 0.5
    to_last = to_first.clone()
    to_last[..., 2] = 0.5
    attention = Attention(self0=to_first, self1=to_first, cross0=to_first, cross1=to_last)
    all_three = torch.ones(1, 3, dtype=torch.bool)
    received = received_attention(attention)
    keep0, keep1 = pooled(assignment, received, all_three, all_three, 0.1, minimum=0)
    assert keep0.tolist() == [[True, False, True]]
    assert keep1.tolist() == [[True, False, False]]
    small0, small1 = pooled(assignment, received, all_three, all_three, 0.1, minimum=3)
    assert small0.all() and small1.all()


@pytest.fixture
def matcher(working_matcher):
    return lambda **given: working_matcher(AdaGMN, **{"iterations": 7, "n_min_tokens": 4, **given})


def test_masks_only_shrink_and_only_after_shared_iterations(matcher, random_inputs):
    network = matcher()
    with torch.no_grad():
        kept = [s.keep0 for s, _ in network.iterate(*random_inputs(network, 2))]
    assert kept[:4] == [None] * 4
    assert torch.equal(kept[4], kept[5])
    assert not (kept[6] & ~kept[5]).any() and kept[6].sum() <= kept[4].sum() < kept[4].numel()


@pytest.fixture
def run(random_inputs):
    """All iterations; the points are dropped by the method called `drop`."""

    def through(network: AdaGMN, drop: str):
        state = network.encode(*random_inputs(network))
        with torch.no_grad():
            for i in range(network.iterations):
                state = network.step(state)
                assignment = network.scores(state)
                if network.pools_after(i):
                    state = getattr(network, drop)(state, assignment)
        return state, assignment

    return through


def test_taking_out_is_masking_where_no_statistic_mixes_the_points(matcher, run):
    """Up to the second pooling, for which the attention that masked points pay still counts."""
    network = matcher(norm_fn="bn", iterations=5)
    masked, dense = run(network, "mask")
    removed, compact = run(network, "pool")
    assert removed.keep0 is None and 0 < len(removed.ids0) < 37
    assert torch.equal(masked.keep0[0].nonzero()[:, 0], removed.ids0)
    assert torch.equal(masked.keep1[0].nonzero()[:, 0], removed.ids1)
    rows, columns = (
        torch.cat([ids, torch.tensor([n])]) for ids, n in ((removed.ids0, 37), (removed.ids1, 29))
    )
    torch.testing.assert_close(dense[:, rows][:, :, columns], compact)


def test_instance_normalisation_still_sees_masked_points(matcher, run):
    """Why the published training and its iterative evaluation differ."""
    network = matcher()
    masked, _ = run(network, "mask")
    removed, _ = run(network, "pool")
    assert masked.descriptors0.shape[2] == 37 > removed.descriptors0.shape[2]


def test_every_seed_stays(matcher, random_inputs):
    network = matcher()
    with torch.no_grad():
        state, assignment = list(network.iterate(*random_inputs(network)))[3]
    mass = assignment[0, :-1, :-1].sum(1)
    for threshold in (0.1, 0.5):
        left = set(network.pool(state, assignment, threshold).ids0.tolist())
        assert set((mass >= threshold).nonzero()[:, 0].tolist()) <= left
    assert len(network.pool(state, assignment, 0.0).ids0) == 37, "all are seeds"
    assert len(network.pool(state, assignment, 1e9).ids0) == 37, "none is"


def test_a_small_image_is_not_pooled(matcher, run):
    network = matcher()
    network.n_min_tokens = 37
    state, _ = run(network, "pool")
    assert torch.equal(state.ids0, torch.arange(37))


def test_a_batch_cannot_be_taken_out_of(matcher, random_inputs):
    network = matcher()
    with torch.no_grad():
        state, assignment = list(network.iterate(*random_inputs(network, 2)))[3]
    with pytest.raises(ConfigurationError, match="batch of 1, not of 2; use mask"):
        network.pool(state, assignment)


def test_pooling_at_another_time_is_refused(matcher, random_inputs):
    network = matcher()
    with torch.no_grad():
        state = network.step(network.encode(*random_inputs(network)))
        with pytest.raises(ConfigurationError, match="shares it"):
            network.mask(state, network.scores(state))
        for _ in range(2):
            state = network.step(state)
        early = network.pool(state, network.scores(state))
        with pytest.raises(ConfigurationError, match="pool after an iteration"):
            network.step(early)


def test_the_choice_has_no_gradient_but_the_loss_has(matcher, random_inputs):
    network = matcher().train()
    assignments, keep0, _ = network(*random_inputs(network, 2))
    assert not keep0.requires_grad and assignments.requires_grad
    assignments[:, -1].sum().backward()
    assert torch.isfinite(network.bin_score.grad)
