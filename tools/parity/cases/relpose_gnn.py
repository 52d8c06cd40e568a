"""RelPoseGNN: backbone, layers, the four families, edges, heads, dropout."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.networks.registry import build_network
from relpose_ros.networks.relpose_gnn.families import RELEASE, without_unused_layers
from relpose_ros.networks.relpose_gnn.layers import ChannelAttention, MessageLayer, TwoEndedLayer
from relpose_ros.networks.relpose_gnn.model import RelPoseGNN
from tools.parity.case import Deviation, array, deviation, exact, golden, load, path_of
from tools.parity.weights import rule_module

SYSTEM = "relpose_gnn"
TOLERANCE = 1e-4  # of the largest magnitude, as the goldens' README says


@cache
def rule() -> Any:
    """The rule of weights and inputs."""
    return rule_module(SYSTEM, "fill_rule.py")


@cache
def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """One tensor of the rule, made once: the families share most of theirs."""
    return torch.from_numpy(np.array(rule().value(name, shape)))


def network(name: str, **parameters: Any) -> RelPoseGNN:
    """A family with weights by rule (shared: copy them before training), in eval mode."""
    with torch.device("meta"):
        made = build_network(f"relpose_gnn.{name}", **parameters)
    assert isinstance(made, RelPoseGNN)
    state = {k: weight(k, tuple(v.shape)) for k, v in made.state_dict().items()}
    made.load_state_dict(state, assign=True)
    return made.eval()


def lean_release(**parameters: Any) -> RelPoseGNN:
    """The release without its second weight set, which never runs."""
    _, lean = without_unused_layers({}, RELEASE.parameters)
    return network("release", **{**lean, **parameters})


def graph(*tags: str, height: int = 64, width: int = 85) -> Tensor:
    """Input graphs (B, 8, 3, H, W) by rule."""
    planes = [rule().array(tag, (8, 3 * height * width)) for tag in tags]
    return torch.from_numpy(np.stack(planes)).reshape(-1, 8, 3, height, width)


def within(edges: NDArray[Any], graphs: int) -> NDArray[Any]:
    """Edges (2, graphs * E) that count through the batch -> (graphs, 2, E) that count within each graph."""
    own = edges.reshape(2, graphs, -1).swapaxes(0, 1)
    return np.asarray(own - 8 * np.arange(graphs)[:, None, None])


def close(name: str, ours: Any, reference: NDArray[Any]) -> Deviation:
    """Relative to the largest magnitude of the reference."""
    return deviation(name, array(ours).reshape(reference.shape), reference, TOLERANCE, relative=True)


@golden(SYSTEM, "state-dict names and shapes of the four families", "state_dict_keys.json")
def state_dict_keys() -> Iterator[Deviation]:
    stored = json.loads(path_of(SYSTEM, "state_dict_keys.json").read_text())
    for key, name in {"release": "release", "head_R3": "r3", "head_R2": "r2", "head_R1": "r1"}.items():
        with torch.device("meta"):
            made = build_network(f"relpose_gnn.{name}")
        yield exact(key, {k: list(v.shape) for k, v in made.state_dict().items()}, stored[key])


@golden(SYSTEM, "layers, with nodes that nothing reaches", "layers.npz")
@torch.no_grad()
def layers() -> Iterator[Deviation]:
    g = load(SYSTEM, "layers.npz")

    def filled(module: torch.nn.Module, key: str) -> torch.nn.Module:
        module.load_state_dict({n: torch.from_numpy(g[f"{key}|{n}"]) for n in module.state_dict()})
        return module.eval()

    x, e, edges = (torch.from_numpy(g[f"upt|{n}"])[None] for n in ("x", "e", "edge_index"))
    layer = filled(MessageLayer(16, 24, 16), "upt")
    assert isinstance(layer, MessageLayer)
    nodes, updated = layer(x, e, edges)
    message = layer.messages(x, updated, edges)
    yield close("message", message, g["upt|message_before_att"])
    yield close("message after attention", layer.att(message), g["upt|message"])
    yield close("nodes", nodes, g["upt|out_x"])
    yield close("edges", updated, g["upt|out_e"])
    nodes, updated = filled(TwoEndedLayer(16, 24, 16), "sce")(x, e, edges)
    yield close("two-ended nodes", nodes, g["sce|out_x"])
    yield close("two-ended edges", updated, g["sce|out_e"])
    attended = filled(ChannelAttention(32), "att")(torch.from_numpy(g["att|x"]))
    yield close("attention", attended, g["att|out"])


@golden(SYSTEM, "release 64x85: backbone, rounds, heads", "model_release_forward.npz")
@torch.no_grad()
def release() -> Iterator[Deviation]:
    g = load(SYSTEM, "model_release_forward.npz")
    net, images = lean_release(), graph("rp.x")
    stem, *stages = net.feature_extractor.stages(images[0])
    yield close("stem", torch.stack([stem.mean(), stem.std()]), g["stem_mean_std"])
    for number, stage in enumerate(stages, 1):
        yield close(f"stage {number}", stage.mean(dim=(0, 2, 3)), g[f"layer{number}_chan_mean"])
    nodes = net.features(images[0])[None]
    yield close("backbone", nodes, g["backbone"])
    edges = net.choose_edges(nodes)
    yield exact("edges", array(edges[0]), g["edge_index"])
    x, e = nodes, net.first_edges(nodes, edges)
    yield close("first edges", e[0, :, :64], g["edge0_first64"])
    for number in range(3):
        x, e = net.get_submodule("gnn1")(x, e, edges)
        yield close(f"round {number} nodes", x[0, :, :128], g[f"round{number}_node_first128"])
        yield close(f"round {number} edges", e[0, :, :64], g[f"round{number}_edge_first64"])
        x, e = x.relu(), e.relu()
    absolute, relative, _ = net(images)
    yield close("absolute", absolute, g["abs"])
    yield close("relative", relative, g["rel"])


@golden(SYSTEM, "release 64x85: the original's dropout, stored masks", "model_release_forward.npz")
@torch.no_grad()
def release_dropout() -> Iterator[Deviation]:
    g = load(SYSTEM, "model_release_forward.npz")
    net = lean_release()
    x, e, _ = net.message_passing(net.features(graph("rp.x")[0])[None])
    for value, name, shape in zip((x, e), ("node", "edge"), g["drop_mask_shapes"], strict=True):
        kept = np.unpackbits(g[f"drop_mask_{name}"])[: shape.prod()].reshape(shape)
        value *= 2 * torch.from_numpy(kept)
    absolute, relative = net.heads(x, e)
    yield close("absolute", absolute, g["drop_abs"])
    yield close("relative", relative, g["drop_rel"])


@golden(SYSTEM, "release 256x341", "model_release_fullres_forward.npz")
@torch.no_grad()
def release_full_resolution() -> Iterator[Deviation]:
    g = load(SYSTEM, "model_release_fullres_forward.npz")
    net = lean_release()
    nodes = net.features(graph("rp.x.full", height=256, width=341)[0])[None]
    absolute, relative, _ = net.poses(nodes)
    yield close("backbone", nodes[0, :, :256], g["backbone_first256"])
    yield close("absolute", absolute, g["abs"])
    yield close("relative", relative, g["rel"])


def _batch_of_two(net: RelPoseGNN, key: str) -> Iterator[Deviation]:
    g = load(SYSTEM, "model_knn_variants_forward.npz")
    nodes = net.features(graph("rp.x", "rp.x2").flatten(0, 1)).reshape(2, 8, -1)
    absolute, relative, edges = net.poses(nodes)
    yield exact("edges", array(edges), within(g[f"{key}|edge_index"], 2))
    yield close("backbone", nodes[:, :, :64], g[f"{key}|backbone_first64"])
    yield close("absolute", absolute, g[f"{key}|abs"])
    yield close("relative", relative, g[f"{key}|rel"])


@golden(SYSTEM, "R3, two graphs", "model_knn_variants_forward.npz")
@torch.no_grad()
def r3() -> Iterator[Deviation]:
    yield from _batch_of_two(network("r3"), "R3")


@golden(SYSTEM, "R2, two graphs", "model_knn_variants_forward.npz")
@torch.no_grad()
def r2() -> Iterator[Deviation]:
    yield from _batch_of_two(network("r2"), "R2")


@golden(SYSTEM, "R1, two graphs", "model_knn_variants_forward.npz")
@torch.no_grad()
def r1() -> Iterator[Deviation]:
    yield from _batch_of_two(network("r1"), "R1")


@golden(SYSTEM, "release, two graphs", "model_knn_variants_forward.npz")
@torch.no_grad()
def release_batch() -> Iterator[Deviation]:
    yield from _batch_of_two(lean_release(), "release_batch2")
