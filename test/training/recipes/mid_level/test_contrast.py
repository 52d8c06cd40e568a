"""Contrastive learning beside a task: two appearances of one room come together, other places stay apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.data.shards import ShardSet
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import Meter, Trainer, train
from relpose_training.recipes.contrast import ContrastiveModule
from relpose_training.recipes.mid_level.module import DepthModule

CONTRAST = {
    "contrastive_weight": 1.0,
    "batch_size": 2,
    "positives_same": 0,
    "negatives_same": 1,
    "negatives_other": 1,
    "near_share": 0.1,
    "near_back_share": 0.3,
    "far_share": 0.4,
    "far_back_share": 0.5,
    "augment_light": 0.1,
}


def device():
    return TorchDevice("cpu", Place())


def similarities(module, recipe):
    """Cosines (8, 8) of the embeddings of real views (rows) and simulated ones of the same places."""
    views = recipe._views(ShardSet(recipe.config.data, "train"), augment=False)
    samples = [views.sample(k % 2, k // 2, None) for k in range(16)]
    assert [int(s["domain"]) for s in samples] == [0] * 8 + [1] * 8
    with torch.no_grad():
        embedded = module.embed(torch.from_numpy(np.stack([s["image"] for s in samples])))
    embedded = functional.normalize(embedded, dim=1)
    return (embedded[:8] @ embedded[8:].T).numpy()


def test_the_same_place_comes_nearer_than_others_across_domains(recipe, similarity):
    made = recipe(similarity=similarity, steps=20, **CONTRAST)
    trainer = Trainer(made, device())
    data = trainer.training_batches()
    before = similarities(trainer.module, made)
    for _ in range(made.config.steps):
        values = trainer.train_step(data, Meter(0.0))
        trainer.step += 1
    after = similarities(trainer.module, made)
    elsewhere = ~np.eye(8, dtype=bool)
    gap = after.diagonal().mean() - after[elsewhere].mean()
    assert gap > 0.15 > before.diagonal().mean() - before[elsewhere].mean()
    assert (after.argmax(1) == np.arange(8)).mean() >= 0.75
    assert float(values["contrastive"]) < 0.9 and torch.isfinite(values["task"])


def test_the_head_is_trained_but_not_saved(recipe, similarity, tmp_path):
    made = recipe(similarity=similarity, **CONTRAST)
    module = made.module()
    assert isinstance(module, ContrastiveModule)
    assert {id(p) for p in module.head.parameters()} <= {id(p) for p in module.parameters()}
    trainer = Trainer(made, device())
    before = [p.detach().clone() for p in trainer.module.head.parameters()]
    trainer.train_step(trainer.training_batches(), Meter(0.0))
    after = list(trainer.module.head.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any("head" in name for name in trainer.module.network.state_dict())
    names = list(trainer.module.state_dict())
    assert len(names) == len(set(names)) and not any(n.startswith("network.") for n in names)


def test_a_run_with_all_of_it_equals_one_that_was_stopped(recipe, similarity, tmp_path, interrupt_at):
    settings = {
        **CONTRAST,
        "similarity": similarity,
        "replay_every": 2,
        "steps": 4,
        "save_every": 1,
        "ema": 0.9,
    }
    train(recipe(out=tmp_path / "whole", **settings), device())
    interrupt_at(4)
    parts = recipe(out=tmp_path / "parts", **settings)
    with pytest.raises(KeyboardInterrupt):
        train(parts, device())
    train(parts, device())
    whole, again = (torch.load(tmp_path / n / "state.pt", weights_only=True) for n in ("whole", "parts"))
    assert all(torch.equal(v, again["module"][n]) for n, v in whole["module"].items())
    assert torch.equal(
        whole["rounds"][0]["errors"].nan_to_num(-1), again["rounds"][0]["errors"].nan_to_num(-1)
    )


def test_the_weight_scales_the_contrastive_loss(recipe, similarity, batch):
    one = None
    for weight in (0.5, 2.0):
        made = recipe(similarity=similarity, **{**CONTRAST, "contrastive_weight": weight})
        torch.manual_seed(0)
        module = made.module().eval()
        one = batch(made) if one is None else one
        values = module(one, 0)
        assert torch.allclose(values["loss"], values["task"] + weight * values["contrastive"])
        assert one["partners"].shape == (2, 3, 3, 32, 40)


def test_without_a_weight_there_is_none(recipe):
    made = recipe()
    assert isinstance(made.module(), DepthModule)
    assert "partners" not in made.training_data(Place()).sample(0, 0, np.random.default_rng(0))


def test_networks_without_such_an_encoder_and_missing_tables_are_refused(recipe, similarity, tmp_path):
    made = recipe(similarity=tmp_path / "none.h5", **CONTRAST)
    with pytest.raises(DatasetError, match="relpose prepare similarity"):
        made.training_data(Place())
    inner = made.module().inner
    inner.network = torch.nn.Linear(1, 1)
    with pytest.raises(ConfigurationError, match="coord"):
        ContrastiveModule(inner, made.config)
