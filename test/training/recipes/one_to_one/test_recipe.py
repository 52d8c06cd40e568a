"""Every model type trains, the losses are the published ones, and start when they are told to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import load_network
from relpose_ros.errors import CheckpointError, DatasetError
from relpose_training.data.stream import batches
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train
from relpose_training.engine.optimizers import make_optimizer
from relpose_training.losses.candidate_feedback import pose_gradient
from relpose_training.recipes.one_to_one.config import OneToOneConfig
from relpose_training.recipes.one_to_one.judgement import judge
from relpose_training.recipes.one_to_one.models import MODELS
from relpose_training.recipes.one_to_one.recipe import OneToOneRecipe


def first_batch(recipe):
    data = recipe.training_data(Place())
    return next(iter(batches(data, recipe.config.batch_size, seed=3)))


def values_of(module, batch, step):
    return {name: float(value.detach()) for name, value in module(batch, step).items()}


def two_steps(recipe):
    torch.manual_seed(0)
    module, batch = recipe.module(), first_batch(recipe)
    optimizer = make_optimizer(recipe.config, module.parameters())
    before = [p.detach().clone() for p in module.parameters() if p.requires_grad]
    values = []
    for step in range(2):
        optimizer.zero_grad()
        values.append(module(batch, step))
        values[-1]["loss"].backward()
        optimizer.step()
    return module, batch, values, before


@pytest.mark.parametrize("model", MODELS)
def test_every_model_type_trains_two_steps(recipe, model):
    module, batch, values, before = two_steps(recipe(model))
    trained = [p for p in module.parameters() if p.requires_grad]
    assert all(torch.isfinite(v["loss"]) for v in values)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)  # or DDP would wait for ever
    assert sum(not torch.equal(a, b) for a, b in zip(before, trained, strict=True)) > 0.9 * len(trained)
    scores = module.eval().score(batch)
    assert {tuple(value.shape) for value in scores.values()} == {(2,)}


@pytest.mark.parametrize("model", ["oanet_iter", "clnet", "eot"])
def test_the_pose_counts_from_its_step_on(recipe, model):
    chosen = recipe(model, regression_start=5, regression_weight=0.25)
    module, batch = chosen.module(), first_batch(chosen)
    early, late = values_of(module, batch, 4), values_of(module, batch, 5)
    assert early["loss"] == early["classification"]
    assert late["loss"] == pytest.approx(late["classification"] + 0.25 * late["geometric"], rel=1e-5)
    assert early.keys() == late.keys()


def test_the_kind_of_pose_loss_is_a_choice(recipe):
    for kind, weight in (("geometric", 0.5), ("essential", 0.1), ("none", 0.0)):
        chosen = recipe("ltfgc", regression=kind, regression_start=0)
        torch.manual_seed(0)
        module, batch = chosen.module(), first_batch(chosen)
        found = values_of(module, batch, 0)
        pose = found[kind] if kind != "none" else 0.0
        assert found["loss"] == pytest.approx(found["classification"] + weight * pose, rel=1e-5)


def test_the_margin_bounds_the_geometric_loss(recipe):
    chosen = recipe("ltfgc", margin=1e-3)
    assert values_of(chosen.module(), first_batch(chosen), 0)["geometric"] <= 1e-3


def test_stages_are_added_up(recipe):
    chosen = recipe("oanet_iter")
    module, batch = chosen.module(), first_batch(chosen)
    logits = tuple(stage.detach() for stage in module.network(batch["correspondences"]))
    parts = [module.stage_terms((stage,), batch) for stage in logits]
    whole = module.stage_terms(logits, batch)
    for name in whole._fields:
        alone = sum(float(getattr(part, name)) for part in parts)
        assert float(getattr(whole, name)) == pytest.approx(alone, rel=1e-5)


def test_candidates_in_parts_have_the_gradient_of_one_graph(recipe):
    chosen = recipe("cnn_given", candidates=16, regression_start=0)
    torch.manual_seed(0)
    module, batch = chosen.module().double(), first_batch(chosen)
    batch = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
    module(batch, 0)["loss"].backward()
    in_parts = [p.grad.clone() for p in module.parameters()]
    module.zero_grad()
    context = batch["correspondences"]
    logits = torch.cat([module.network(context, part)[0] for part in context.split(16, dim=1)], dim=1)
    terms = module.stage_terms((logits,), batch)
    (terms.classification + module.regression(terms)).backward()
    for mine, p in zip(in_parts, module.parameters(), strict=True):
        assert torch.allclose(mine, p.grad, rtol=1e-8, atol=1e-12)


def test_the_feedback_of_the_original_is_classification_of_moved_logits(recipe):
    settings = {"candidates": 16, "pose_gradient": "feedback", "regression_start": 1}
    chosen = recipe("cnn_given", **settings, learning_rate=0.01)
    module, batch = chosen.module(), first_batch(chosen)
    before, after = values_of(module, batch, 0), values_of(module, batch, 1)
    assert before["loss"] == before["classification"]
    # The published step is so small that the loss of moved logits is nearly that of the logits.
    assert after["loss"] == pytest.approx(1.5 * after["classification"], rel=1e-2)
    judged = judge(module.network, batch["correspondences"], 16)
    _, gradient = pose_gradient(judged.logits.detach(), batch["correspondences"], batch["virtual_points"])
    assert gradient.abs().max() > 0


def test_correspondences_have_the_shape_and_order_of_the_model(recipe):
    shapes = {m: first_batch(recipe(m))["correspondences"].shape for m in ("ltfgc", "clnet", "eot")}
    assert shapes == {"ltfgc": (2, 64, 6), "clnet": (2, 64, 4), "eot": (2, 64, 6)}
    ordered = first_batch(recipe("cnn_disparity"))["correspondences"]
    disparity = (ordered[..., :2] - ordered[..., 2:4]).norm(dim=-1)
    assert (disparity.diff(dim=1) >= 0).all()


def test_clnet_judges_all_by_the_matrix_of_those_it_keeps(recipe):
    chosen = recipe("clnet")
    module, batch = chosen.module().eval(), first_batch(chosen)
    judged = judge(module.network, batch["correspondences"])
    *_, distances = module.network(batch["correspondences"])
    assert judged.logits.shape == (2, 64)
    assert torch.equal(judged.logits > 0, distances < 1e-4)


def test_scores_are_summed_over_pairs_before_they_are_divided(recipe):
    names = ("hits", "called", "right", "classification", "rotation_deg", "translation_deg")
    columns = np.array([[3, 4, 6, 1.0, 1.0, 4.0], [0, 0, 4, 3.0, 180.0, 2.0]])
    found = recipe("ltfgc").summarise(dict(zip(names, columns.T, strict=True)))
    assert (found["precision"], found["recall"]) == (0.75, 0.3)
    assert found["f1"] == pytest.approx(6 / 14)
    assert (found["accuracy_5"], found["classification"]) == (0.5, 2.0)
    assert found["auc_5"] == pytest.approx((0.25 * 4 + 0.5) / 5)


def test_nothing_called_an_inlier_is_zero_and_not_nan(recipe):
    zeros = dict.fromkeys(("hits", "called", "right", "classification"), np.zeros(2))
    found = recipe("ltfgc").summarise(
        {**zeros, "rotation_deg": np.full(2, 180.0), "translation_deg": np.zeros(2)}
    )
    assert found["precision"] == found["f1"] == found["auc_20"] == 0


@pytest.fixture(scope="module")
def trained(shards, tmp_path_factory):
    """The configuration of a run that is over."""
    settings = {"out": tmp_path_factory.mktemp("run"), "data": str(shards), "model": "ltfgc", "blocks": 2}
    sizes = {"correspondences": 64, "steps": 3, "batch_size": 2, "regression_start": 1, "ema": 0.9}
    config = OneToOneConfig(**settings, **sizes)
    assert train(OneToOneRecipe(config), TorchDevice("cpu", Place())) == 0
    return config


def test_a_run_leaves_a_checkpoint_that_says_what_it_is(trained):
    network, info = load_network(trained.out / "best.safetensors")
    assert (info.network, info.parameters) == ("one_to_one.ltfgc", {"blocks": 2})
    assert info.data == "invented, none"
    assert info.recipe["config"]["correspondences"] == 64
    assert 0 <= info.metrics["validation/auc_5"] <= 1
    assert network(torch.zeros(1, 64, 6))[0].shape == (1, 64)


def test_another_run_can_start_from_it(trained, recipe, tmp_path):
    path = trained.out / "last.safetensors"
    chosen = recipe("ltfgc", out=tmp_path / "second", start_from=path)
    module = chosen.module()
    chosen.start(module)
    weights = load_network(path)[0].state_dict()
    assert all(torch.equal(weights[name], value) for name, value in module.network.state_dict().items())
    for other in (recipe("clnet", start_from=path), recipe("ltfgc", blocks=3, start_from=path)):
        with pytest.raises(CheckpointError):
            other.start(other.module())


def test_the_test_split_is_never_looked_at(recipe, shards):
    chosen = recipe("ltfgc")
    assert chosen.training_data(Place()).shards.split == "train"
    assert chosen.validation_data(Place()).shards.split == "val"
    assert read_splits(chosen, Place(1, 2)) == [[1], [1]]
    with pytest.raises(DatasetError, match="shards for 3 processes"):
        chosen.training_data(Place(0, 3))


def read_splits(chosen, place):
    return [chosen.training_data(place).numbers, chosen.validation_data(place).numbers]


@pytest.mark.parametrize("model", ["ltfgc", "oanet_iter", "clnet", "eot"])
def test_mixed_precision_keeps_the_losses_in_float32(recipe, model):
    chosen = recipe(model, regression_start=0)
    torch.manual_seed(0)
    module, batch = chosen.module(), first_batch(chosen)
    exact = values_of(module, batch, 0)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module(batch, 0)
    assert {value.dtype for value in mixed.values()} == {torch.float32}
    # Rounded neighbours and halves of CLNet are other ones.
    tolerance = 0.15 if model == "clnet" else 0.02
    assert float(mixed["loss"].detach()) == pytest.approx(exact["loss"], rel=tolerance)
