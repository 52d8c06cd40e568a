"""GM and DGNNS: what holds for any matcher of two sets of points, and one iteration at a time."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.imp.adagmn import AdaGMN
from relpose_ros.networks.imp.dgnns import DGNNS
from relpose_ros.networks.imp.graph_matcher import GM
from relpose_ros.networks.registry import load_class

CLASSES = (GM, DGNNS, AdaGMN)
every_class = pytest.mark.parametrize("cls", CLASSES)


@pytest.fixture
def make(working_matcher):
    return lambda cls, **parameters: working_matcher(cls, **{**cls.small_parameters(), **parameters})


def swapped(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    k0, k1, s0, s1, d0, d1 = inputs
    return k1, k0, s1, s0, d1, d0


@every_class
def test_like_descriptors_match(make, cls, random_inputs):
    network = make(cls)
    matches, scores, _ = network(*random_inputs(network))
    assert (matches[0, :20] == torch.arange(20)).sum() >= 15
    assert ((scores > 0.2) | (matches < 0)).all()


@every_class
def test_the_order_of_keypoints_does_not_matter(make, cls, random_inputs):
    network = make(cls)
    k0, k1, s0, s1, d0, d1 = random_inputs(network)
    order = torch.randperm(k0.shape[1], generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        matches, scores, _ = network(k0, k1, s0, s1, d0, d1)
        turned, turned_scores, _ = network(k0[:, order], k1, s0[:, order], s1, d0[:, order], d1)
    assert torch.equal(turned, matches[:, order])
    torch.testing.assert_close(turned_scores, scores[:, order])


@every_class
def test_both_images_are_treated_alike(make, cls, random_inputs):
    network = make(cls, with_sinkhorn=False)
    inputs = random_inputs(network)
    with torch.no_grad():
        torch.testing.assert_close(network.last(*swapped(inputs)), network.last(*inputs).mT)


@every_class
def test_forward_is_all_its_steps(make, cls, random_inputs):
    network = make(cls)
    inputs = random_inputs(network)
    with torch.no_grad():
        *_, (state, assignment) = network.iterate(*inputs)
        assert state.iteration == network.iterations
        torch.testing.assert_close(network(*inputs)[2], assignment)


@every_class
def test_step_by_step_by_hand(make, cls, random_inputs):
    """Also GM, whose original could not be stepped."""
    network = make(cls)
    state = network.encode(*random_inputs(network))
    assert state.iteration == 0
    with torch.no_grad():
        for i in range(network.iterations):
            state = network.step(state)
            assert state.iteration == i + 1 and network.scores(state).shape == (1, 38, 30)
    with pytest.raises(ConfigurationError, match=f"has {network.iterations} iterations"):
        network.step(state)


def test_attention_is_kept_only_where_the_next_iteration_shares_it(make, random_inputs):
    network = make(DGNNS, iterations=6)
    state = network.encode(*random_inputs(network))
    kept = []
    with torch.no_grad():
        for _ in range(6):
            state = network.step(state)
            kept.append(state.attention is not None)
    assert kept == [False, False, True, True, True, True]
    assert [DGNNS.shares_attention(i) for i in range(7)] == [False, False, False, True, False, True, False]
    assert not any(GM.shares_attention(i) for i in range(15))


@every_class
@pytest.mark.parametrize(("n0", "n1"), [(1, 1), (1, 9), (5, 0), (0, 5), (0, 0)])
def test_few_keypoints_or_none(make, cls, n0, n1, random_inputs):
    network = make(cls)
    k0, k1, s0, s1, d0, d1 = random_inputs(network)
    with torch.no_grad():
        matches, scores, assignment = network(
            k0[:, :n0], k1[:, :n1], s0[:, :n0], s1[:, :n1], d0[:, :n0], d1[:, :n1]
        )
    assert matches.shape == scores.shape == (1, n0) and assignment.shape == (1, n0 + 1, n1 + 1)
    assert torch.isfinite(assignment).all()


@every_class
def test_training_gives_all_iterations_and_a_gradient_to_every_parameter(make, cls, random_inputs):
    network = make(cls).train()
    inputs = random_inputs(network, batch=2)
    assignments, keep0, keep1 = network(*inputs)
    assert assignments.shape == (2, network.iterations, 38, 30)
    assert keep0.shape == (2, network.iterations, 37) and keep1.shape == (2, network.iterations, 29)
    (assignments + 1e-8).log().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


@every_class
def test_a_bfloat16_training_step_is_finite_and_near(make, cls, random_inputs):
    network = make(cls).float().train()
    inputs = tuple(x.float() for x in random_inputs(network, batch=2))
    with torch.autocast("cpu", torch.bfloat16):
        assignments, _, _ = network(*inputs)
    assert assignments.dtype == torch.float32
    (assignments + 1e-8).log().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    exact = network(*inputs)[0]
    assert (assignments - exact)[:, 0, :-1, :-1].abs().max() < 0.1


def test_batch_normalisation_learns_statistics(make, random_inputs):
    network = make(DGNNS, norm_fn="bn").train()
    mean = network.get_buffer("gnn.layers.0.mlp.1.running_mean")
    before = mean.clone()
    network(*random_inputs(network, batch=2))
    assert not torch.equal(mean, before)


@pytest.mark.parametrize(
    ("cls", "parameters", "count"),
    [
        (GM, {"iterations": 9}, 12_530_241),
        (GM, {}, 20_810_817),
        (DGNNS, {}, 19_231_809),
        (DGNNS, {"descriptor_size": 128}, 4_869_953),
        (AdaGMN, {}, 19_231_809),
    ],
)
def test_published_parameter_counts(cls, parameters, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in cls(**parameters).parameters()) == count


@pytest.mark.parametrize("norm_fn", ["in", "bn"])
def test_a_state_dict_tells_its_parameters(norm_fn):
    parameters = {"iterations": 4, "descriptor_size": 16, "norm_fn": norm_fn}
    shapes = {key: tuple(value.shape) for key, value in DGNNS(**parameters).state_dict().items()}
    assert DGNNS.parameters_from(shapes) == parameters


@pytest.mark.parametrize("parameters", [{"iterations": 0}, {"descriptor_size": 30}, {"descriptor_size": 0}])
def test_impossible_sizes_are_refused(parameters):
    with pytest.raises(ConfigurationError, match="divisible by 4"):
        GM(**parameters)


def test_registered_variants_are_the_published_ones():
    for name, cls in (("gm", GM), ("dgnns", DGNNS), ("adagmn", AdaGMN)):
        assert load_class(f"imp.{name}") is load_class(f"imp.{name}_sift") is cls
