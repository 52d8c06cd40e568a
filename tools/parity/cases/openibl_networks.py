"""OpenIBL: networks and cluster initialisation; RelPose-GNN's NetVLAD."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.networks.retrieval.embed import EmbedNet, EmbedNetPca
from relpose_ros.networks.retrieval.netvlad import NetVlad, normalised
from relpose_ros.networks.retrieval.netvlad_relu import NetVladRelu
from relpose_ros.networks.retrieval.region import EmbedRegionNet
from tools.parity.case import Deviation, deviation, exact, golden, load, path_of
from tools.parity.weights import rule_module

FORWARD = 1e-4
"""Tolerance of goldens/openibl/README.md, relative to the largest value."""


@cache
def rule() -> Any:
    """The folder's own filling rule."""
    return rule_module("openibl", "fill_rule.py")


def picture(tag: str, *shape: int) -> Tensor:
    """Input that is not stored, on the scale 0-255 less a mean."""
    return torch.from_numpy(rule().array(tag, shape, 50.0))


def filled(cls: type[Any], prefix: str = "", **parameters: Any) -> Any:
    """A network whose every weight follows the rule; no time is spent on initial ones."""
    with torch.device("meta"):
        network = cls(**parameters)
    return rule().fill_torch(network.to_empty(device="cpu"), prefix).eval()


def seen_from_side(regions: Tensor) -> NDArray[np.float64]:
    """Region descriptors (..., 32768) projected to 32 dimensions by the matrix that the goldens used."""
    projection = rule().array("openibl.proj", (32768, 32)).astype(np.float64) / np.sqrt(32768)
    return np.asarray(regions.detach().double().numpy() @ projection)


@golden("openibl", "state-dict names and shapes, --layers", "state_dict_keys.json")
def names() -> Iterator[Deviation]:
    stored = json.loads(path_of("openibl", "state_dict_keys.json").read_text())
    with torch.device("meta"):
        networks: dict[str, Any] = {
            "embednet": EmbedNet(),
            "embednetpca_dim256": EmbedNetPca(256),
            "embednetpca_dim4096": EmbedNetPca(4096),
            "embedregionnet": EmbedRegionNet(),
        }
    yield exact("networks", sorted(networks), sorted(stored["state_dict_keys"]))
    for name, network in networks.items():
        ours = {k: [list(t.shape), str(t.dtype)[6:]] for k, t in network.state_dict().items()}
        yield exact(name, list(ours.items()), list(stored["state_dict_keys"][name].items()))
    trunk = networks["embednet"].base_model
    for layers, trained in stored["trainable_base_params_by_layers_option"].items():
        trunk.train_from(layers)
        yield exact(layers, [n for n, p in trunk.named_parameters() if p.requires_grad], trained)


@golden("openibl", "EmbedNet forward", "embednet_forward.npz")
def embednet() -> Iterator[Deviation]:
    ref, network = load("openibl", "embednet_forward.npz"), filled(EmbedNet)
    images = picture("openibl.x", 2, 3, 96, 128)
    with torch.no_grad():
        features = network.base_model(images)
        assignment = network.net_vlad.assign(features)[1].flatten(2)
        ours = {
            "conv5_3": features,
            "soft_assign": assignment,
            "vlad_raw": network.net_vlad(features),
            **dict(zip(("pool_x", "vlad_x"), network(images), strict=True)),
        }
    yield exact("fields", sorted(ours), sorted(ref))
    for name, value in ours.items():
        yield deviation(name, value, ref[name], FORWARD, relative=True)


def _whitened(dimension: int) -> Iterator[Deviation]:
    network = filled(EmbedNetPca, dimension=dimension)
    with torch.no_grad():
        ours = network(picture("openibl.x", 2, 3, 96, 128))[0]
    ref = load("openibl", f"embednetpca_dim{dimension}_forward.npz")
    yield deviation("desc", ours, ref["desc"], FORWARD, relative=True)


@golden("openibl", "EmbedNetPca 256 forward", "embednetpca_dim256_forward.npz")
def whitened_256() -> Iterator[Deviation]:
    yield from _whitened(256)


@golden("openibl", "EmbedNetPca 4096 forward", "embednetpca_dim4096_forward.npz")
def whitened_4096() -> Iterator[Deviation]:
    yield from _whitened(4096)


def _regions(file: str, images: Tensor, tuples: int) -> Iterator[Deviation]:
    ref, network = load("openibl", file), filled(EmbedRegionNet)
    with torch.no_grad():
        scores, anchors, others = network.train().compare_regions(images, tuples)
        pool, vlad = network.eval()(images)
    ours = {
        "score": scores,
        "vlad_A_proj": seen_from_side(anchors),
        "vlad_B_proj": seen_from_side(others),
        "vlad_A_global_first256": anchors[:, 0, 0, :256],
        "vlad_B_first64": others[..., :64],
        "eval_pool": pool,
        "eval_vlad_proj": seen_from_side(vlad),
    }
    yield exact("fields", sorted(ours), sorted(ref))
    for name, value in ours.items():
        yield deviation(name, value, ref[name], FORWARD, relative=True)


@golden("openibl", "EmbedRegionNet, one tuple", "region_t1.npz")
def regions_of_one() -> Iterator[Deviation]:
    yield from _regions("region_t1.npz", picture("openibl.region_t1", 5, 3, 64, 96), 1)


@golden("openibl", "EmbedRegionNet, two tuples", "region_t2.npz")
def regions_of_two() -> Iterator[Deviation]:
    yield from _regions("region_t2.npz", picture("openibl.region_t2", 8, 3, 64, 64), 2)


@golden("openibl", "NetVLAD from cluster centres", "netvlad_init.npz")
def cluster_initialisation() -> Iterator[Deviation]:
    ref = load("openibl", "netvlad_init.npz")
    layer = NetVlad(16, 8)
    alpha = layer.init_from_clusters(torch.from_numpy(ref["clsts"]), torch.from_numpy(ref["traindescs"]))
    x = torch.from_numpy(ref["x"])
    yield deviation("alpha", alpha, ref["alpha"], FORWARD, relative=True)
    yield deviation("conv_weight", layer.conv.weight, ref["conv_weight"], FORWARD, relative=True)
    yield deviation("centroids", layer.centroids, ref["centroids"], 0.0)
    yield deviation("vlad", layer(x), ref["vlad"], FORWARD, relative=True)
    layer.normalise_input = False
    yield deviation("vlad_no_input_norm", layer(x), ref["vlad_no_input_norm"], FORWARD, relative=True)


@golden("relpose_gnn", "NetVLAD with the last ReLU, forward", "netvlad_vgg16_relu_forward.npz")
def netvlad_relu() -> Iterator[Deviation]:
    ref, network = load("relpose_gnn", "netvlad_vgg16_relu_forward.npz"), filled(NetVladRelu)
    images = torch.from_numpy(rule().array("rp.netvlad.x", (2, 3, 96, 128)))
    with torch.no_grad():
        features = network.encoder(images)
        yield deviation("feat", features, ref["feat"], FORWARD, relative=True)
        yield deviation("vlad", normalised(network.pool(features)), ref["vlad"], FORWARD, relative=True)
        yield deviation("forward", network(images)[0], ref["vlad"], FORWARD, relative=True)
