"""Coordinates through the encoders of other tasks: every tensor of them arrives, or no run begins."""

from __future__ import annotations

import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, load_network, write_checkpoint
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.networks.registry import build_network
from relpose_training.data.seen_views import scene_shards, views_of_set
from relpose_training.data.similarity import SimilarityOptions, similarity_table
from relpose_training.data.similarity_table import write_table
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import Meter, Trainer
from relpose_training.recipes.scene_coordinates.encoders import load_encoders

MLR = {
    "network": "coord_tiny",
    "loss": "crossloc",
    "steps": 1,
    "batch_size": 1,
    "canvas": (32, 40),
    "height": 32,
}


@pytest.fixture
def saved(tmp_path):
    """Write a checkpoint of a network drawn by a seed: `saved("depth", 3, tiny=True)`."""

    def write(name, seed, **parameters):
        torch.manual_seed(seed)
        network = build_network(f"scene_coordinates.{name}", **parameters)
        info = CheckpointInfo(f"scene_coordinates.{name}", parameters)
        return write_checkpoint(tmp_path / f"{name}{seed}.safetensors", network.state_dict(), info)

    return write


@pytest.fixture
def three(saved):
    """Encoders of coordinates, depth and normals."""
    return saved("coord_tiny", 1), saved("depth", 2, tiny=True), saved("normal", 3, tiny=True)


def part(weights, prefix):
    return {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}


def same(a, b):
    return a.keys() == b.keys() and len(a) > 0 and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("fusion", ["crossloc", "transpose"])
def test_every_encoder_and_the_decoder_arrive(recipe, three, saved, fusion):
    start = saved("coord_tiny", 9, uncertainty="none")
    made = recipe(**MLR, encoders=three, unfrozen_encoders=1, fusion=fusion, start_from=start)
    module = made.module()
    made.start(module)
    weights = module.network.state_dict()
    for number, path in enumerate(three, 1):
        given = load_network(path)[0].state_dict()
        assert same(part(weights, f"mlr_encoder_{number}."), part(given, "encoder."))
    given = load_network(start)[0].state_dict()
    ours, theirs = part(weights, "decoder."), part(given, "decoder.")
    ours.pop("mean"), theirs.pop("mean")
    assert same(ours, theirs)
    if fusion == "transpose":
        assert same(part(weights, "encoder."), part(given, "encoder."))
    assert weights["mean"].abs().max() > 0, "the mean is the scene's"


def test_frozen_encoders_stay_and_the_others_learn(recipe, three):
    made = recipe(**MLR, encoders=three, unfrozen_encoders=1)
    trainer = Trainer(made, TorchDevice("cpu", Place()))
    before = {n: v.clone() for n, v in trainer.module.network.state_dict().items()}
    trainer.train_step(trainer.training_batches(), Meter(0.0))
    after = trainer.module.network.state_dict()
    for number, learns in ((1, True), (2, False), (3, False)):
        prefix = f"mlr_encoder_{number}."
        assert same(part(before, prefix), part(after, prefix)) != learns
    assert not same(part(before, "mlr_skip."), part(after, "mlr_skip."))


def test_a_checkpoint_has_the_encoders_in_it_and_the_next_stage_goes_on_with_them(recipe, three, tmp_path):
    settings = {**MLR, "encoders": three[1:], "fusion": "transpose"}
    made = recipe(**settings)
    module = made.module()
    made.start(module)
    info = CheckpointInfo(**made.checkpoint())
    last = write_checkpoint(tmp_path / "last.safetensors", module.network.state_dict(), info)
    network, info = load_network(last)
    assert network.mlr_encoders == 2 and info.parameters["fusion"] == "transpose"
    later = recipe(**settings, start_from=last, stage="uncertainty", uncertainty="isotropic")
    module = later.module()
    later.start(module)
    assert same(part(module.network.state_dict(), "mlr_"), part(network.state_dict(), "mlr_"))


def test_encoders_that_do_not_fit_are_refused_with_their_names(recipe, three, saved):
    full, shallow = saved("normal", 4, extra_blocks=0), saved("depth", 5, tiny=True, extra_blocks=1)
    other = saved("dsacstar_tiny", 6)
    network = recipe(**MLR, encoders=three).module().network
    before = {n: v.clone() for n, v in network.state_dict().items()}
    for bad, said in (
        (full, "of another shape"),
        (shallow, "missing"),
        (other, "expected a network of depth"),
    ):
        with pytest.raises(CheckpointError, match=said) as caught:
            load_encoders(network, [bad, three[1], three[2]])
        assert bad.name in str(caught.value)
    assert all(torch.equal(v, before[n]) for n, v in network.state_dict().items())


def test_a_later_stage_cannot_begin_with_new_encoders(recipe, three, saved):
    made = recipe(
        **MLR, encoders=three, stage="uncertainty", uncertainty="isotropic", start_from=saved("coord_tiny", 9)
    )
    with pytest.raises(CheckpointError, match="stage=uncertainty"):
        made.start(made.module())


def test_settings_that_do_not_fit_are_refused(configured, three):
    with pytest.raises(ConfigurationError, match="unfrozen"):
        configured(**MLR, unfrozen_encoders=1)
    with pytest.raises(ConfigurationError, match="coord"):
        configured(encoders=three)
    with pytest.raises(ConfigurationError, match="kfnet"):
        configured(replay_every=3, loss="kfnet", network="scoordnet", uncertainty="isotropic")
    with pytest.raises(ConfigurationError, match="coord"):
        configured(contrastive_weight=1.0, similarity="x.h5")


def test_contrast_and_replay_go_with_coordinates(recipe, room_set, tmp_path):
    views = list(views_of_set(scene_shards(room_set, "train"), 60))
    table = write_table(tmp_path / "table.h5", similarity_table(views, SimilarityOptions()))
    only_real = {"positives_other": 0, "negatives_other": 0, "negatives_same": 1}
    shares = {"near_share": 0.2, "near_back_share": 0.4, "far_share": 0.4, "far_back_share": 0.5}
    made = recipe(
        **{**MLR, "batch_size": 2}, uncertainty="isotropic", contrastive_weight=0.5,
        similarity=table, replay_every=1, **only_real, **shares,
    )  # fmt: skip
    trainer = Trainer(made, TorchDevice("cpu", Place()))
    data = trainer.training_batches()
    for _ in range(2):
        values = trainer.train_step(data, Meter(0.0))
        trainer.step += 1
    assert {"loss", "task", "contrastive", "valid"} <= values.keys()
    known = trainer.order.rounds.state_dict()["errors"]
    assert torch.isfinite(known).sum() >= 2 and known.nan_to_num(0).max() <= 100


def test_replay_weights_count_in_every_loss(recipe, batch):
    for values in ({}, {"network": "coord_tiny", "loss": "crossloc"}):
        made = recipe(**{**MLR, "network": "dsacstar_tiny", "loss": "dsacstar", "batch_size": 2, **values})
        module = made.module().eval()
        one = batch(made)
        whole = module(one, 0)["loss"]
        halves = [module({**one, "weight": torch.tensor(w)}, 0)["loss"] for w in ([1.0, 0.0], [0.0, 1.0])]
        assert torch.allclose(whole, sum(halves)) and halves[0] != halves[1]
