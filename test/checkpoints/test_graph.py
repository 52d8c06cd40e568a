"""Checkpoints of networks over graphs: their header, descriptors, and edges as poses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, read_info, write_checkpoint
from relpose_ros.checkpoints.graph import UNTOLD, GraphPredictor
from relpose_ros.checkpoints.graph_header import GraphInfo
from relpose_ros.errors import CheckpointError
from relpose_ros.geometry.neighbour_poses import opinions
from relpose_ros.geometry.pose_vectors import CAMBRIDGE, PoseVectors
from relpose_ros.geometry.relative_vectors import InSourceFrame, VectorDifference
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.registry import build_network
from relpose_ros.retrieval.graph_images import GraphInput

ROBOT = GraphInput(width=48, height=32, focal=40.0)
CONVENTIONS = [
    InSourceFrame(),
    VectorDifference(),
    VectorDifference(CAMBRIDGE),
    VectorDifference(PoseVectors(compat=True)),
]


def checkpoint(folder: Path, name: str, graph: dict[str, Any], **parameters: Any) -> Path:
    torch.manual_seed(0)
    network = build_network(name, **parameters)
    with torch.no_grad():  # heads that begin with zeros say nothing
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    info = CheckpointInfo(name, parameters, graph=graph)
    return write_checkpoint(folder / f"{name}.safetensors", network.state_dict(), info)


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from relpose_ros.networks.registry import load_class

    small = load_class("relpose_gnn.robot").small_parameters()
    graph = GraphInfo(ROBOT.to_dict(), neighbours=4, period=2).to_dict()
    return checkpoint(tmp_path_factory.mktemp("robot"), "relpose_gnn.robot", graph, **small)


def published(folder: Path, convention: Any, **parameters: Any) -> Path:
    graph = GraphInfo(GraphInput.published().to_dict(), convention).to_dict()
    return checkpoint(folder, "relpose_gnn.r2", graph, dimension=64, **parameters)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_header_comes_back(tmp_path: Path, convention: Any) -> None:
    info = GraphInfo(ROBOT.to_dict(), convention, 5, 3, True)
    written = published(tmp_path, convention)
    assert GraphInfo.of(CheckpointInfo("x", graph=info.to_dict())) == info
    assert GraphInfo.of(read_info(written)).convention == convention


def test_references_see_the_query(robot: Path) -> None:
    """What the network says of the edges into node 0, in order, with its variances."""
    predictor = GraphPredictor(robot)
    generator = np.random.default_rng(0)
    descriptors = predictor.features(generator.normal(size=(5, 3, 32, 48)).astype(np.float32))
    references = Rigid.from_rotation_vector(generator.normal(size=(4, 3)), generator.normal(size=(4, 3)))
    edges = predictor.relative(descriptors[0], descriptors[1:], references)
    assert sorted(edges.references.tolist()) == [0, 1, 2, 3]
    network = predictor._network
    with torch.inference_mode():
        said = network.edge_poses(torch.from_numpy(descriptors)[None])
    for k, reference in enumerate(edges.references.tolist()):
        at = (said.edges[0, 0] == reference + 1) & (said.edges[0, 1] == 0)
        vector = said.relative[0][at][0].numpy()
        expected = Rigid.from_rotation_vector(vector[3:], vector[:3])
        np.testing.assert_allclose(edges.reference_from_query[k].matrix, expected.matrix, atol=1e-6)
        variance = said.log_variance[0][at][0].exp().numpy()
        np.testing.assert_allclose(np.diag(edges.covariance[k]), variance, rtol=1e-5)
    turned = predictor.relative(descriptors[0], descriptors[1:], references.inverse())
    # In the reference's frame the map does not matter.
    np.testing.assert_allclose(
        turned.reference_from_query.matrix, edges.reference_from_query.matrix, atol=1e-12
    )


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_published_conventions_give_what_evaluation_reads(tmp_path: Path, convention: Any) -> None:
    """`geometry/neighbour_poses.py` is the other way from edges to poses."""
    predictor = GraphPredictor(published(tmp_path, convention, neighbours=0))
    generator = np.random.default_rng(1)
    nodes = generator.normal(size=(5, 64)).astype(np.float32)
    references = Rigid.from_rotation_vector(
        0.3 * generator.normal(size=(4, 3)), generator.normal(size=(4, 3))
    )
    edges = predictor.relative(nodes[0], nodes[1:], references)
    said = predictor._network.edge_poses(torch.from_numpy(nodes)[None])
    everybody = Rigid.stack([Rigid.identity(), *(references[i] for i in range(4))])
    expected = opinions(said.edges[0].numpy(), said.relative[0].detach().numpy(), everybody, convention)
    found = references[edges.references] @ edges.reference_from_query
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-9)
    np.testing.assert_allclose(np.sqrt(np.diagonal(edges.covariance[0])), np.repeat(UNTOLD, 3))


def test_of_nearest_neighbours_only_some_have_edges(tmp_path: Path) -> None:
    predictor = GraphPredictor(published(tmp_path, InSourceFrame(), neighbours=2))
    nodes = np.random.default_rng(2).normal(size=(6, 64)).astype(np.float32)
    edges = predictor.relative(nodes[0], nodes[1:], Rigid.stack([Rigid.identity()] * 5))
    nearest = np.argsort(np.linalg.norm(nodes[1:] - nodes[0], axis=1))[:2]
    assert sorted(edges.references.tolist()) == sorted(nearest.tolist())


def test_descriptors_do_not_depend_on_company(robot: Path) -> None:
    predictor = GraphPredictor(robot)
    images = np.random.default_rng(3).normal(size=(20, 3, 32, 48)).astype(np.float32)
    together = predictor.features(images)
    alone = np.concatenate([predictor.features(images[i : i + 1]) for i in (0, 15, 16, 19)])
    np.testing.assert_allclose(together[[0, 15, 16, 19]], alone, atol=1e-5)
    assert predictor.features(images[:0]).shape == (0, together.shape[1])


def test_torch_keeps_its_threads(robot: Path) -> None:
    before = torch.get_num_threads()
    GraphPredictor(robot, threads=1).features(np.zeros((1, 3, 32, 48), np.float32))
    assert torch.get_num_threads() == before


def test_images_of_another_size_and_numbers_that_are_none_are_refused(robot: Path) -> None:
    predictor = GraphPredictor(robot)
    with pytest.raises(CheckpointError, match=r"robot.*expected images of 48x32"):
        predictor.features(np.zeros((1, 3, 64, 48), np.float32))
    with pytest.raises(CheckpointError, match="not finite"):
        predictor.features(np.full((1, 3, 32, 48), np.nan, np.float32))


def test_other_checkpoints_are_refused_by_name(tmp_path: Path, ratio_pruner: Path) -> None:
    with pytest.raises(CheckpointError, match=r"ratio.*relpose_gnn.*one_to_one\.ltfgc"):
        GraphPredictor(ratio_pruner)
    silent = checkpoint(tmp_path, "relpose_gnn.r2", {}, dimension=64)
    with pytest.raises(CheckpointError, match=r"r2.*says nothing of them"):
        GraphPredictor(silent)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input": None}, "input: expected how an image is fed"),
        ({"neighbours": 0}, "neighbours: expected a whole number from 1"),
        ({"neighbours": 10**9}, "neighbours: expected a whole number"),
        ({"period": 1.5}, "period: expected a whole number"),
        ({"halving": "no"}, "halving: expected true or false"),
        ({"convention": "upside_down"}, "convention: expected source_frame or vector_difference"),
        (
            {"convention": {"kind": "vector_difference", "mean": [0, 0]}},
            "convention.mean: expected a list of 3",
        ),
        ({"convention": {"kind": "vector_difference", "deviation": [1, 1, 0]}}, "numbers above 0"),
        ({"convention": {"kind": "vector_difference", "deviation": [1, 1, float("nan")]}}, "finite"),
        ({"convention": {"kind": "vector_difference", "inverse": 1}}, "inverse: expected true or false"),
        ({"convention": ["source_frame"]}, "convention: expected"),
    ],
)
def test_headers_that_cannot_be_are_refused_in_words(changes: dict[str, Any], words: str) -> None:
    values = {**GraphInfo(ROBOT.to_dict()).to_dict(), **changes}
    with pytest.raises(CheckpointError, match=rf"cannot be used: .*{words}"):
        GraphInfo.of(CheckpointInfo("relpose_gnn.robot", graph=values), "x.safetensors")


def test_imported_weights_say_how_they_were_fed() -> None:
    """By name: the files themselves do not say."""
    from relpose_ros.checkpoints.published_graphs import published_graph
    from relpose_ros.datasets.colour_statistics import CAMBRIDGE as COLOURS

    release = GraphInfo.of(CheckpointInfo("x", graph=published_graph("relpose_gnn.release")))
    assert GraphInput.from_dict(release.input) == GraphInput.published()
    assert release.convention == VectorDifference() and (release.neighbours, release.period) == (7, 5)
    cambridge = GraphInfo.of(CheckpointInfo("x", graph=published_graph("relpose_gnn.r3")))
    seen = GraphInput.from_dict(cambridge.input)
    assert seen.statistics == COLOURS and seen.height == 256 and not seen.per_scene
    assert cambridge.convention == VectorDifference(CAMBRIDGE) and cambridge.period == 3
    assert published_graph("relpose_gnn.robot") == published_graph("imp.gm") == {}
