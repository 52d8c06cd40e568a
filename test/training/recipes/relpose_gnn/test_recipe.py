"""Both kinds of networks learn, go on where they stopped, and leave checkpoints that say how they are fed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import load_network, read_info
from relpose_ros.checkpoints.graph import GraphPredictor
from relpose_ros.checkpoints.graph_header import GraphInfo
from relpose_ros.errors import CheckpointError, ConfigurationError, DatasetError
from relpose_ros.geometry.relative_vectors import InSourceFrame, VectorDifference
from relpose_ros.networks.relpose_gnn.resnet34 import ResNet34
from relpose_ros.retrieval.graph_images import GraphInput
from relpose_training.data.stream import batches
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train
from relpose_training.recipes.relpose_gnn.predictions import predict_graphs
from relpose_training.recipes.relpose_gnn.recipe import RelposeGnnRecipe
from relpose_training.recipes.relpose_gnn.scores import constant_nll, pose_errors

PARTS = ("translation", "rotation")


def run(recipe):
    assert train(recipe, TorchDevice("cpu", Place())) == 0
    return recipe.config.out


def validation(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == "validation"][-1]


def test_a_run_that_was_stopped_ends_with_the_same_bits(recipe, tmp_path):
    settings = {"steps": 4, "save_every": 2, "halving": True, "light": True, "edge_share": 0.5}
    whole = run(recipe(**settings, out=tmp_path / "whole"))
    run(recipe(**{**settings, "steps": 2}, out=tmp_path / "part"))
    part = run(recipe(**settings, out=tmp_path / "part"))
    first, second = (read_container(out / "last.safetensors") for out in (whole, part))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_checkpoint_says_how_its_graphs_are_made(recipe, walls):
    out = run(recipe(steps=1))
    info = read_info(out / "last.safetensors")
    graph = GraphInfo.of(info)
    assert info.network == "relpose_gnn.robot" and info.licence == "CC0-1.0"
    assert GraphInput.from_dict(graph.input).size_of(None) == (32, 48)
    assert graph.convention == InSourceFrame() and (graph.neighbours, graph.period) == (3, 1)
    assert "wall0" in info.data
    predictor = GraphPredictor(out / "last.safetensors")
    descriptors = predictor.features(np.zeros((4, 3, 32, 48), np.float32))
    assert descriptors.shape == (4, load_network(out / "last.safetensors")[0].descriptor_size)


def test_the_published_network_trains_by_its_own_loss(recipe):
    out = run(recipe(published=True, convention="vector_difference", compat=True, dropout=0.5))
    info = read_info(out / "last.safetensors")
    assert GraphInfo.of(info).convention == VectorDifference()
    network, _ = load_network(out / "last.safetensors")
    assert network.compat and len(network.schedule) == 3
    assert not any(name.startswith("gnn2") for name in network.state_dict())
    metrics = validation(out)
    assert not any(name.startswith("nll") for name in metrics)
    assert metrics["median_translation_m"] > 0
    lines = (out / "metrics.jsonl").read_text().splitlines()
    weights = [json.loads(line).get("rotation_weight") for line in lines]
    assert weights[0] == -3.0 and weights[1] != -3.0, "they are learnt"


def test_the_published_network_may_say_an_uncertainty(recipe):
    chosen = recipe(published=True, loss="gaussian")
    values = chosen.module()(next(iter(batches(chosen.training_data(Place()), 2, 0))), 0)
    assert values["loss"].isfinite() and set(values) == {"loss", "translation", "rotation", "deviation"}


def test_dropped_edges_are_drawn_anew(recipe):
    chosen = recipe(edge_share=0.5)
    module = chosen.module().train()
    batch = next(iter(batches(chosen.training_data(Place()), 2, 0)))
    assert module(batch, 0)["loss"] != module(batch, 0)["loss"]
    whole = recipe().module().train()
    assert whole(batch, 0)["loss"] == whole(batch, 0)["loss"]


def test_validation_fuses_what_the_network_says(recipe):
    chosen = recipe()
    module = chosen.module()
    found = chosen.validate(module, TorchDevice("cpu", Place()))
    data = chosen.validation_data(Place())
    graphs = list(predict_graphs(module.network.eval(), data, batch_size=2))
    errors = pose_errors(graphs, InSourceFrame())
    assert found["median_translation_m"] == pytest.approx(np.median(errors["translation"]), abs=1e-6)
    assert found["nearest_translation_m"] == np.median(errors["nearest_translation"])
    assert found["median_rotation_deg"] == pytest.approx(np.median(errors["rotation"]), abs=1e-4)
    truth = data.split.scenes[graphs[3].scene].map_from_camera[graphs[3].nodes]
    np.testing.assert_array_equal(graphs[3].map_from_node.matrix, truth.matrix)


def test_edges_from_best_references_are_also_scored_alone(recipe):
    """To tell near references from far ones, and nothing else, beats the constant of all edges alone."""
    rng = np.random.default_rng(0)
    near = np.tile([True, False, False], 2000)
    size = np.where(near, 0.1, 1.0)[:, None]
    truth = rng.laplace(0, size / np.sqrt(2), (len(near), 6))
    nll = (np.log(size) + np.sqrt(2) * np.abs(truth) / size).sum(axis=1)
    poses = {f"{kind}{of}": np.zeros(1) for kind in ("", "nearest_") for of in PARTS}
    found = recipe().summarise({**poses, "nll": nll, "truth": truth, "first": near.astype(float)})
    assert found["nll"] == pytest.approx(nll.mean()) and found["nll"] < found["nll_constant"] - 1
    assert found["nll_first"] == pytest.approx(nll[near].mean())
    assert found["nll_first_constant"] == constant_nll(truth[near], "laplace")
    assert found["nll_first"] == pytest.approx(found["nll_first_constant"], abs=0.02)
    none = recipe().summarise({**poses, "nll": nll, "truth": truth, "first": np.zeros(len(near))})
    assert "nll" in none and "nll_first" not in none


def test_published_weights_start_a_run_without_the_layers_that_never_ran(recipe, tmp_path):
    from relpose_ros.checkpoints.format import CheckpointInfo, write_checkpoint
    from relpose_ros.networks.registry import build_network

    torch.manual_seed(1)
    release = build_network("relpose_gnn.release", dimension=16)
    info = CheckpointInfo("relpose_gnn.release", {"dimension": 16})
    path = write_checkpoint(tmp_path / "release.safetensors", release.state_dict(), info)
    chosen = recipe(published=True, start_from=path)
    module = chosen.module()
    chosen.start(module)
    assert torch.equal(module.network.proj_edge.weight, release.proj_edge.weight)
    with pytest.raises(CheckpointError, match=r"relpose_gnn\.robot"):
        recipe(start_from=path).start(recipe().module())


def test_torchvisions_backbone_is_loaded(recipe, tmp_path):
    torch.manual_seed(3)
    published = ResNet34(1000).state_dict()
    torch.save(published, tmp_path / "resnet34.pth")
    chosen = recipe(published=True, backbone=tmp_path / "resnet34.pth")
    module = chosen.module()
    chosen.start(module)
    loaded = module.network.feature_extractor.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in published.items() if "fc." not in name)


def test_scenes_are_chosen_by_name(recipe):
    names = recipe(only="wall3, wall5").training_data(Place()).split.names
    assert names == ("wall3", "wall5")
    without = recipe(leave_out="wall3")
    assert "wall3" not in without.training_data(Place()).split.names
    assert len(without.validation_data(Place()).split.names) == 3, "walls 12 to 14"
    with pytest.raises(ConfigurationError, match="no scene 'wall99'"):
        recipe(leave_out="wall99").training_data(Place())


def test_a_mirrored_graph_is_the_graph_in_a_mirror(recipe):
    """Mirroring map and cameras (x to -x) mirrors pictures, and relative poses."""
    data = recipe(mirror=True).training_data(Place())
    plain = recipe().training_data(Place())
    seeds = range(12)
    mirrored = 0
    for seed in seeds:
        a, b = (d.sample(0, 0, np.random.default_rng(seed)) for d in (data, plain))
        if np.array_equal(a["images"], b["images"]):
            np.testing.assert_array_equal(a["pairs"], b["pairs"])
            continue
        mirrored += 1
        np.testing.assert_array_equal(a["images"], b["images"][..., ::-1])
        flip = np.diag([-1.0, 1, 1])
        vectors = b["pairs"].reshape(-1, 6).astype(float)
        from relpose_ros.geometry.rigid import Rigid

        pose = Rigid.from_rotation_vector(vectors[:, 3:], vectors[:, :3])
        seen = Rigid(flip @ pose.rotation @ flip, pose.translation @ flip)
        found = np.concatenate([seen.translation, seen.rotation_vector], axis=1)
        np.testing.assert_allclose(a["pairs"].reshape(-1, 6), found, atol=1e-6)
    assert 0 < mirrored < len(seeds)


@pytest.mark.parametrize(
    "values",
    [
        {"only": "a", "leave_out": "b"},
        {"convention": "vector_difference"},
        {"loss": "l1", "convention": "vector_difference", "mirror": True},
        {"backbone": "resnet34.pth"},
        {"dropout": 0.5},
        {"nearest": 4},
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(recipe, values):
    with pytest.raises(ConfigurationError):
        recipe(**values)


def test_missing_data_is_named_before_a_run_starts(recipe, tmp_path):
    with pytest.raises(DatasetError, match="relpose prepare graphs"):
        RelposeGnnRecipe(recipe(data=str(tmp_path)).config).module()
