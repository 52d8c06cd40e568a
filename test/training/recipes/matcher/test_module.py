"""The matcher's module: labels, losses, and that training does what it should."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.registry import build_network
from relpose_training.recipes.matcher.config import MatcherConfig
from relpose_training.recipes.matcher.module import NO_LABEL, MatcherModule, inputs_of, matching_mask
from relpose_training.recipes.matcher.start import start_as_nearest_neighbours


def module_of(model: str = "dgnns", nearest: bool = False, **values) -> MatcherModule:
    config = MatcherConfig(out="x", data="x", model=model, iterations=5, n_min_tokens=4, **values)
    torch.manual_seed(0)
    network = build_network(f"imp.{model}", **config.network_parameters(16))
    if nearest:
        start_as_nearest_neighbours(network)
    return MatcherModule(network, config)


def f_score(module, batch) -> float:
    with torch.no_grad():
        found = module.eval().score(batch)
    return float(2 * found["right"].sum() / (found["called"].sum() + found["partners"].sum()))


def test_mask_has_pairs_dustbins_and_nothing_for_the_unlabelled():
    mask = matching_mask(torch.tensor([[1, -1, NO_LABEL]]), torch.tensor([[-1, 0]]))
    assert mask.tolist() == [[[0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, 0]]]


@pytest.mark.parametrize("model", ["gm", "dgnns", "adagmn"])
def test_training_learns_to_match(model, invented_batch):
    """Noise makes nearest neighbours wrong now and then; the loss falls and matches get better."""
    module, batch = module_of(model), invented_batch(3, noise=0.15)
    before = f_score(module, batch)
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    losses = []
    for step in range(30):
        module.train()
        values = module(batch, step)
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
        losses.append(float(values["loss"].detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert f_score(module, batch) > max(before, 0.6)


@pytest.mark.parametrize("model", ["gm", "dgnns", "adagmn"])
def test_it_can_begin_as_a_search_for_nearest_neighbours(model, invented_batch):
    """On clean descriptors that is nearly perfect, where random weights match nothing; and it can learn."""
    batch = invented_batch(6, noise=0.05)
    assert f_score(module_of(model), batch) < 0.3
    module = module_of(model, nearest=True)
    assert f_score(module, batch) > 0.9
    module.train()(batch, 0)["loss"].backward()
    last = [layer.mlp[-1].weight.grad for layer in module.network.gnn.layers]
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in last[:-2])


def test_keypoints_without_a_label_have_no_part_in_the_loss(invented_batch):
    module, batch = module_of(nearest=True).train(), invented_batch(2)
    hidden = {name: value.clone() for name, value in batch.items()}
    hidden["partner0"][batch["partner0"] == -1] = NO_LABEL
    hidden["partner1"][batch["partner1"] == -1] = NO_LABEL
    assert module(hidden, 0)["unmatched"].item() == 0
    assert module(hidden, 0)["matched"].item() == pytest.approx(module(batch, 0)["matched"].item())


def test_pose_loss_counts_from_its_step_and_holds_matches_to_the_truth(invented_batch):
    module = module_of(nearest=True, pose_weight=1.0, pose_start=5).train()
    batch = invented_batch(3, noise=0.02)
    assert "pose" not in module(batch, 4)
    right = module(batch, 5)
    turned = dict(batch, essential=batch["essential"].transpose(1, 2).contiguous())
    wrong = module(turned, 5)
    assert float(wrong["geometry"].detach()) > float(right["geometry"].detach()) + 0.5
    right["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in module.parameters() if p.grad is not None)


def test_scores_count_only_labelled_keypoints(invented_batch):
    module, batch = module_of(nearest=True).eval(), invented_batch(2, noise=0.02)
    with torch.no_grad():
        found, all_of_them = module.network(*inputs_of(batch))[0], module.score(batch)
        partner = torch.where(found >= 0, NO_LABEL, batch["partner0"])
        none = module.score({**batch, "partner0": partner})
    assert (all_of_them["called"] > 0).all()
    assert (none["called"] == 0).all()
    assert (none["right"] == 0).all()


def test_configurations_that_do_not_fit_are_refused():
    with pytest.raises(ConfigurationError, match="min_inliers <= max_inliers"):
        MatcherConfig(out="x", data="x", min_inliers=9, max_inliers=8)
    with pytest.raises(ConfigurationError, match="both say how to start"):
        MatcherConfig(out="x", data="x", start_from="a.safetensors", start_as_nearest=True)
    config = MatcherConfig(out="x", data="x")
    assert "n_min_tokens" not in config.network_parameters(64)
    assert replace(config, model="adagmn").network_parameters(64)["n_min_tokens"] == 256
