"""DSAC*, TransPose, CrossLoc and KFNet: state-dict names, sizes and outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from relpose_ros.networks.base import Network
from relpose_ros.networks.scene_coordinates.crossloc import TransPoseNet
from relpose_ros.networks.scene_coordinates.dsacstar import DsacStar
from relpose_ros.networks.scene_coordinates.kalman import fuse, normalised_innovation
from relpose_ros.networks.scene_coordinates.kfnet import KfNet
from relpose_ros.networks.scene_coordinates.normals import (
    angles_of_logits,
    angles_of_vectors,
    vectors_of_angles,
)
from relpose_ros.networks.scene_coordinates.projection_head import ProjectionHead
from tools.parity.case import Deviation, deviation, exact, golden, load, path_of
from tools.parity.weights import scene_coordinate_weight

TOLERANCE = 1e-5

TRANSPOSE: dict[str, dict[str, Any]] = {
    "coord_nounc_tiny": {"tiny": True, "uncertainty": "none"},
    "coord_unc_full": {},
    "coord_unc_tiny": {"tiny": True},
    "coord_unc_tiny_gray": {"tiny": True, "grayscale": True},
    "coord_unc_tiny_fullsize": {"tiny": True, "head": "transposed"},
    "coord_unc_tiny_mlr2": {"tiny": True, "mlr_encoders": 2, "fusion": "transpose"},
    "depth_unc_tiny": {"tiny": True, "task": "depth"},
    "normal_unc_tiny": {"tiny": True, "task": "normal"},
}
CROSSLOC: dict[str, dict[str, Any]] = {
    "coord_MLE_full": {},
    "coord_MLE_tiny": {"tiny": True},
    "coord_MLE_tiny_mlr3": {"tiny": True, "mlr_encoders": 3},
    "coord_MLE_tiny_mlr4_unfrozen1": {"tiny": True, "mlr_encoders": 4, "unfrozen_encoders": 1},
    "normal_MLE_tiny": {"tiny": True, "task": "normal"},
    "semantics_tiny": {"tiny": True, "task": "semantics", "uncertainty": "none", "head": "dense"},
}


def filled(network: nn.Module) -> nn.Module:
    """Weights by the rule; buffers as they are; eval mode."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.from_numpy(scene_coordinate_weight(name, tuple(parameter.shape))))
    return network.eval()


def same_names(system: str, key: str, network: nn.Module) -> Deviation:
    """Names, shapes, types and order of the state dict against keys.json."""
    reference = json.loads(path_of(system, "keys.json").read_text())[key]
    ours = [[n, [list(v.shape), str(v.dtype)]] for n, v in network.state_dict().items()]
    theirs = [[n, [shape, f"torch.{kind.removeprefix('torch.')}"]] for n, (shape, kind) in reference.items()]
    return exact(f"state dict {key}", ours, theirs)


def same_sizes(stored: dict[str, Any], network: nn.Module) -> Iterator[Deviation]:
    """How many parameters there are, and how many of them train."""
    parameters = list(network.parameters())
    yield exact("parameters", sum(p.numel() for p in parameters), int(stored["n_params"]))
    if "n_trainable" in stored:
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        yield exact("trained parameters", trained, int(stored["n_trainable"]))


def from_nhwc(array: Any) -> Tensor:
    """TensorFlow's (B, h, w, C) as (B, C, h, w)."""
    return torch.from_numpy(array).permute(0, 3, 1, 2)


def one_map(system: str, file: str, network: Network) -> Iterator[Deviation]:
    """The output of a network with one image."""
    stored = load(system, file)
    with torch.no_grad():
        (ours,) = filled(network)(torch.from_numpy(stored["x"]))
    yield deviation(f"{file} map", ours, stored["y"], TOLERANCE, relative=True)
    yield from same_sizes(stored, network)


@golden("dsacstar", "network full", "network_full_48x64.npz", "network_full_50x75.npz")
def dsacstar_full() -> Iterator[Deviation]:
    for size in ("48x64", "50x75"):
        mean = load("dsacstar", f"network_full_{size}.npz")["mean"].tolist()
        yield from one_map("dsacstar", f"network_full_{size}.npz", DsacStar(mean=mean))


@golden("dsacstar", "network tiny", "network_tiny_48x64.npz", "network_tiny_50x75.npz")
def dsacstar_tiny() -> Iterator[Deviation]:
    for size in ("48x64", "50x75"):
        mean = load("dsacstar", f"network_tiny_{size}.npz")["mean"].tolist()
        yield from one_map("dsacstar", f"network_tiny_{size}.npz", DsacStar(tiny=True, mean=mean))


@golden("dsacstar", "state-dict names", "keys.json")
def dsacstar_names() -> Iterator[Deviation]:
    yield same_names("dsacstar", "Network_full", DsacStar())
    yield same_names("dsacstar", "Network_tiny", DsacStar(tiny=True))


def transpose_net(system: str, variant: str, parameters: dict[str, Any]) -> Iterator[Deviation]:
    """One TransPoseNet with one image; TransPose's goldens also hold what its encoder says."""
    stored = load(system, f"net_{variant}.npz")
    network = TransPoseNet(**parameters, mean=stored["mean"].tolist())
    yield from one_map(system, f"net_{variant}.npz", network)
    if "enc_first4" in stored:
        with torch.no_grad():
            features = network.encoder(torch.from_numpy(stored["x"]))
        yield deviation("features", features[:, :4], stored["enc_first4"], TOLERANCE, relative=True)
        yield deviation("mean feature", features.mean(), stored["enc_mean"], TOLERANCE, relative=True)


def _register(system: str, variant: str, parameters: dict[str, Any]) -> None:
    @golden(system, f"net {variant}", f"net_{variant}.npz")
    def case() -> Iterator[Deviation]:
        return transpose_net(system, variant, parameters)


for _variant, _parameters in TRANSPOSE.items():
    _register("transpose", _variant, _parameters)
for _variant, _parameters in CROSSLOC.items():
    _register("crossloc", _variant, _parameters)


@golden("transpose", "state-dict names", "keys.json")
def transpose_names() -> Iterator[Deviation]:
    for variant, parameters in TRANSPOSE.items():
        yield same_names("transpose", f"TransPoseNet_{variant}", TransPoseNet(**parameters))
    yield same_names("transpose", "ProjHead_128_256_tiny", ProjectionHead(dimension=256, tiny=True))


@golden("crossloc", "state-dict names", "keys.json")
def crossloc_names() -> Iterator[Deviation]:
    for variant, parameters in CROSSLOC.items():
        yield same_names("crossloc", f"TransPoseNet_{variant}", TransPoseNet(**parameters))


@golden("transpose", "projection head", "projhead.npz")
def projection_head() -> Iterator[Deviation]:
    stored = load("transpose", "projhead.npz")
    with torch.no_grad():
        (ours,) = filled(ProjectionHead(dimension=256, tiny=True))(torch.from_numpy(stored["x"]))
    yield deviation("embedding", ours, stored["y"], TOLERANCE, relative=True)


@golden("transpose", "angles of normals", "gadgets.npz")
def normals() -> Iterator[Deviation]:
    stored = {name: torch.from_numpy(a) for name, a in load("transpose", "gadgets.npz").items()}
    yield deviation("angles of vectors", angles_of_vectors(stored["xyz"]), stored["ae"], TOLERANCE)
    yield deviation("angles of logits", angles_of_logits(stored["act"]), stored["radian"], TOLERANCE)
    yield deviation("vectors of angles", vectors_of_angles(stored["radian"]), stored["xyz_back"], TOLERANCE)


@golden("kfnet", "network, a video of four frames", "network_48x64.npz")
def kfnet() -> Iterator[Deviation]:
    stored = load("kfnet", "network_48x64.npz")
    images = from_nhwc(stored["images"])
    network = KfNet(compat=True)
    filled(network)
    with torch.no_grad():
        first = network.first(images[:1])
        frames = [(*first, *first[1:], *first[1:])]
        for image in images[1:]:
            frames.append(network(image[None], *frames[-1][:3]))
    names = ("flow_feat", "kf_coord", "kf_unc", "measure_coord", "measure_unc", "temp_coord", "temp_unc")
    for name, ours in zip(names, map(torch.cat, zip(*frames, strict=True)), strict=True):
        yield deviation(name, ours, from_nhwc(stored[name]), TOLERANCE, relative=True)


@golden("kfnet", "state-dict names", "keys.json")
def kfnet_names() -> Iterator[Deviation]:
    yield same_names("kfnet", "KFNet_SCoordNet_OFlowNet", KfNet())


@golden("kfnet", "Kalman update", "kalman_update.npz")
def kalman() -> Iterator[Deviation]:
    stored = {name: from_nhwc(a) for name, a in load("kfnet", "kalman_update.npz").items()}
    state = [stored[n] for n in ("last_coord", "last_unc", "meas_coord", "meas_unc")]
    coordinates, scale = fuse(*state)
    yield deviation("coordinates", coordinates, stored["kf_coord"], TOLERANCE, relative=True)
    yield deviation("deviation", scale, stored["kf_unc"], TOLERANCE, relative=True)
    yield deviation("NIS", normalised_innovation(*state), stored["nis"], TOLERANCE, relative=True)
