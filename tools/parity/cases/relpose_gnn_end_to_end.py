"""RelPoseGNN end to end on the toy scene: retrieval, graphs, relative poses, absolute poses, medians."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.colour_statistics import SEVEN_SCENES
from relpose_ros.datasets.seven_scenes import DEPTH_CAMERA
from relpose_ros.geometry.pose_vectors import PoseVectors
from relpose_ros.geometry.relative_vectors import VectorDifference
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.registry import build_network
from relpose_ros.networks.relpose_gnn.edges import full_edges
from relpose_ros.networks.relpose_gnn.model import RelPoseGNN
from relpose_ros.retrieval.graph_images import GraphInput, graph_pixels, normalised
from relpose_ros.retrieval.netvlad_input import netvlad_input
from relpose_training.data.graph_dataset import GraphScenes, GraphSplit
from relpose_training.data.graph_parts import GraphSetOptions, store_scene
from relpose_training.data.graph_roles import Roles
from relpose_training.data.graphs import GraphOptions
from relpose_training.recipes.relpose_gnn.examination import examined_graphs
from relpose_training.recipes.relpose_gnn.predictions import assembled
from relpose_training.recipes.relpose_gnn.published_predictions import (
    Predictions,
    read_predictions,
    write_predictions,
)
from tools.parity.case import Deviation, deviation, exact, golden, load, path_of
from tools.parity.cases.relpose_gnn import SYSTEM, close, lean_release, network, rule
from tools.parity.cases.relpose_gnn_toy import toy

VECTORS = PoseVectors(compat=True)
OPTIONS = GraphOptions(period=2)


def stored() -> dict[str, Any]:
    """What the original wrote about its graphs."""
    found: dict[str, Any] = json.loads(path_of(SYSTEM, "e2e_graphs.json").read_text())
    return found


def posed(split: str) -> tuple[PosedImage, ...]:
    """Queries of the test graphs, or of the train graphs: the references themselves."""
    return toy().source.queries if split == "test" else toy().source.references


@cache
def graphs(split: str) -> GraphScenes:
    """Our graphs, as `relpose prepare graphs --published` stores them, from the original's similarities."""
    similarity = load(SYSTEM, f"e2e_retrieval_{split}.npz")["sim"]
    references = np.arange(len(toy().source.references))
    queries = references if split == "train" else len(references) + np.arange(len(similarity))
    images = [*toy().source.references, *toy().source.queries]
    options = GraphSetOptions(GraphInput.published(), drawn=OPTIONS)
    pixels = np.stack([graph_pixels(image.load(), image.camera, options.input) for image in images])
    file = scratch() / f"{split}.h5"
    heads = SEVEN_SCENES["heads"]
    scene = store_scene(file, images, pixels, Roles(references, queries), similarity, options, heads)
    set_of_one = GraphSplit(
        scratch(), split, ("heads",), (scene,), options.input, {"scenes": [{"metric": True}]}
    )
    return GraphScenes(set_of_one, OPTIONS, VectorDifference(VECTORS), fixed=True)


@cache
def _kept() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="relpose_parity_")


def scratch() -> Path:
    """A folder that goes away with this process."""
    return Path(_kept().name)


def table(split: str) -> NDArray[np.int32]:
    """References (Q, 7) of each query, as they were drawn."""
    return graphs(split).split.scenes[0].neighbours


@cache
def plane(split: str, index: int) -> NDArray[np.float32]:
    """What the network sees of one image."""
    made = graphs(split)
    scene = made.split.scenes[0]
    return normalised(np.asarray(scene.pixels[scene.query[index]]), made.inputs[0])


def nodes_of(split: str, index: int) -> list[tuple[str, int]]:
    """The images of one graph: the query, then its references."""
    return [(split, index), *(("train", int(i)) for i in table(split)[index])]


@golden(SYSTEM, "graphs: neighbours, edges, camera; names of NetVLAD", "e2e_graphs.json")
def graph_description() -> Iterator[Deviation]:
    told = stored()
    for split in ("test", "train"):
        reference = np.array(told["graphs"][f"{split}_sp2"]["neighbours"])
        yield exact(f"{split} neighbours", table(split), reference)
    edges = full_edges(1, 8, torch.device("cpu"))[0]
    yield exact("edges", edges.tolist(), told["edge_index_fc8"])
    entry, ours = told["frames_bin_test_entry1"], toy().source.queries[1]
    assert ours.map_from_camera is not None
    pose = ours.map_from_camera.inverse().matrix[:3]
    yield exact("file", f"heads/{ours.name}", entry["file_name"])
    yield deviation("camera_from_map", pose, np.array(entry["extrinsic_Tcw"]), 1e-6)
    focal = [DEPTH_CAMERA.fx, DEPTH_CAMERA.fy, DEPTH_CAMERA.cx, DEPTH_CAMERA.cy]
    yield exact("intrinsics", focal, entry["camera_intrinsic"][:4])
    yield exact("size", [ours.camera.height, ours.camera.width], entry["frame_dim"])
    with torch.device("meta"):
        names = build_network("retrieval.netvlad_vgg16_relu").state_dict()
    yield exact("NetVLAD", {k: list(v.shape) for k, v in names.items()}, told["netvlad_vgg16_keys"])


def _graph_case(split: str) -> Iterator[Deviation]:
    g, ours = load(SYSTEM, f"e2e_graphs_{split}.npz"), graphs(split)
    scene = ours.split.scenes[0]
    count = len(scene.query)
    vectors = [VECTORS.write(scene.map_from_camera[ours.nodes(scene, i)]) for i in range(count)]
    # Train graphs were shuffled by a generator without a seed: their poses tell the order.
    order = [_order(a, b) for a, b in zip(vectors, g["y"], strict=True)]
    yield exact("each node once", [sorted(o) for o in order], [list(range(8))] * len(order))
    if split == "test":
        yield exact("best first", order, [list(range(8))] * len(order))
    y = np.stack([v[o] for v, o in zip(vectors, order, strict=True)])
    yield deviation("y", y, g["y"], 1e-6)
    for name, statistic in (("x_mean", np.mean), ("x_std", _deviation)):
        values = [np.array([statistic(plane(*n)) for n in nodes_of(split, i)]) for i in range(count)]
        shuffled = np.stack([v[o] for v, o in zip(values, order, strict=True)])
        yield deviation(name, shuffled, g[name], 1e-6)
    sample = ours.sample(0, 0, np.random.default_rng(0))
    images = sample["images"][order[0]]
    yield deviation("pixels", images[:2, :, ::8, ::8], g["x0_strided"], 1e-6)
    yield exact("shape", [images.shape[0], images[0].size], g["x_shape"].tolist())
    source, target = g["edge_index"]
    pairs = sample["pairs"][np.ix_(order[0], order[0])]
    yield deviation("edge_attr", -pairs[source, target], g["edge_attr0"], 1e-6)
    yield exact("edges", full_edges(1, 8, torch.device("cpu"))[0].numpy(), g["edge_index"])
    yield exact("complete", g["complete"].tolist(), [len(n) == 8 for n in vectors])


def _order(ours: NDArray[Any], theirs: NDArray[Any]) -> list[int]:
    """Which of our nodes each of theirs is, by the pose."""
    apart = np.abs(theirs[:, None] - ours[None]).max(axis=-1)
    return [int(i) for i in apart.argmin(axis=1)]


def _deviation(image: NDArray[np.float32]) -> float:
    return float(image.std(ddof=1))


@golden(SYSTEM, "test graphs: poses, images, edges", "e2e_graphs_test.npz")
def graphs_of_test() -> Iterator[Deviation]:
    yield from _graph_case("test")


@golden(SYSTEM, "train graphs: poses, images, edges", "e2e_graphs_train.npz")
def graphs_of_train() -> Iterator[Deviation]:
    yield from _graph_case("train")


@cache
def _netvlad() -> Any:
    with torch.device("meta"):
        made = build_network("retrieval.netvlad_vgg16_relu")
    return rule().fill_torch(made.to_empty(device="cpu")).eval()


@cache
def _vlad(split: str, index: int) -> NDArray[np.float32]:
    image = torch.from_numpy(netvlad_input(posed(split)[index].load()))
    with torch.no_grad():
        descriptor: NDArray[np.float32] = _netvlad()(image[None])[0][0].numpy()
    return descriptor


def _retrieval(split: str, queries: Sequence[int], references: Sequence[int]) -> Iterator[Deviation]:
    """NetVLAD takes a second an image: some descriptors and their similarities, and every choice."""
    g = load(SYSTEM, f"e2e_retrieval_{split}.npz")
    q = np.stack([_vlad(split, i) for i in queries])
    r = np.stack([_vlad("train", i) for i in references])
    yield deviation("queries", q[:, :128], g["query_first128"][list(queries)], 1e-4, relative=True)
    yield deviation("references", r[:, :32], g["db_first32"][list(references)], 1e-4, relative=True)
    yield deviation("similarity", q @ r.T, g["sim"][np.ix_(queries, references)], 1e-5)
    yield exact("neighbours", table(split).tolist(), stored()["graphs"][f"{split}_sp2"]["neighbours"])


@golden(SYSTEM, "retrieval of test queries", "e2e_retrieval_test.npz")
def retrieval_test() -> Iterator[Deviation]:
    yield from _retrieval("test", (0, 5), (3, 38))


@golden(SYSTEM, "retrieval of train queries", "e2e_retrieval_train.npz")
def retrieval_train() -> Iterator[Deviation]:
    yield from _retrieval("train", (3, 38), (3, 21))


@cache
def _pooled() -> Tensor:
    """The trunk's output (6, 8, 512) on all test graphs: all families have the same trunk."""
    net = lean_release().feature_extractor
    needed = sorted({n for i in range(6) for n in nodes_of("test", i)})
    found = {}
    with torch.no_grad():
        for node in needed:
            found[node] = net.pooled(torch.from_numpy(plane(*node))[None])[0]
    return torch.stack([torch.stack([found[n] for n in nodes_of("test", i)]) for i in range(6)])


RUNS: dict[str, Any] = {
    "release_drop0": lean_release,
    "head_R3_knn-1_rec3_drop0": lambda: network("r3", neighbours=0, schedule=[0, 0, 0]),
    "head_R3_drop0": lambda: network("r3"),
    "head_R2_drop0": lambda: network("r2"),
    "head_R1_drop0": lambda: network("r1"),
    "release_drop0.5_seed30": None,  # one random draw: only what follows from its predictions is compared
}


@golden(SYSTEM, "test set: relative poses of every family", "e2e_test.npz", slow=True)
@torch.no_grad()
def predictions() -> Iterator[Deviation]:
    g, pooled = load(SYSTEM, "e2e_test.npz"), _pooled()
    for key, make in RUNS.items():
        if make is None:
            continue
        net: RelPoseGNN = make()
        absolute, relative, edges = net.poses(net.feature_extractor.fc(pooled))
        yield exact(f"{key} edges", edges.numpy(), g[f"{key}|edge_index"])
        yield close(f"{key} relative", relative, g[f"{key}|pred_rel"])
        yield close(f"{key} absolute", absolute, g[f"{key}|pred_abs"])


@golden(SYSTEM, "test set: absolute poses, medians and file names from relative poses", "e2e_test.npz")
def absolute_poses() -> Iterator[Deviation]:
    g = load(SYSTEM, "e2e_test.npz")
    for key in RUNS:
        run = {name.split("|")[1]: values for name, values in g.items() if name.startswith(f"{key}|")}
        weights = str(run["file"]).split("_heads__")[0]
        arrays = {"edges": run["edge_index"], "relative": run["pred_rel"]}
        tested = examined_graphs(assembled(graphs("test"), arrays), graphs("test"))
        (ours,) = tested.published(weights)
        for name, poses in (("abs", ours.found), ("targ", ours.true)):
            quaternion = np.asarray(run[f"{name}_q"])[:, [1, 2, 3, 0]]
            reference = Rigid.from_quaternion(quaternion, run[f"{name}_t"])
            yield deviation(f"{key} {name}", poses.matrix, reference.matrix, 1e-5)
        yield exact(f"{key} images", list(ours.names), run["rel_path"].tolist())
        yield exact(f"{key} file", ours.file_name, str(run["file"]))
        yield from _scored(key, ours, run)


def _scored(key: str, ours: Predictions, run: dict[str, Any]) -> Iterator[Deviation]:
    """The original's file, with its pickled paths, and ours, both read again."""
    theirs = scratch() / str(run["file"])
    paths = np.array([PurePosixPath(name) for name in run["rel_path"].tolist()], object)
    np.savez(theirs, rel_path=paths, **{name: run[name] for name in ("abs_t", "abs_q", "targ_t", "targ_q")})
    written = write_predictions(scratch() / "ours", ours)
    for name, file in (("published", theirs), ("written", written)):
        read = read_predictions(file)
        yield exact(f"{key} {name} images", list(read.names), run["rel_path"].tolist())
        yield exact(f"{key} {name} file", read.file_name, str(run["file"]))
        yield exact(f"{key} {name} medians", read.medians, read.named)
