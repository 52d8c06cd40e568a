"""OpenIBL publishes weights in parts: a trunk, cluster centres, a trained model, a PCA. Put together here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from relpose_ros.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

LAST_STAGE = "blocks.4."
TRUNK_KEY = re.compile(r"\d+\.(weight|bias)")

KINDS = {
    "model": "a model's state dict",
    "trunk": "VGG16 convolutions (as converted from MatConvNet, or torchvision's)",
    "mobile trunk": "MobileNetV4 as timm has it",
    "clusters": "VLAD cluster centres (centroids, descriptors)",
    "pca": "a PCA (U, lams, mu, Utmu)",
}

State = Mapping[str, "Tensor"]


def part_kind(part: State) -> str:
    """Which of KINDS the tensors of one file are, by their names."""
    if {"U", "lams", "mu"} <= part.keys():
        return "pca"
    if {"centroids", "descriptors"} <= part.keys():
        return "clusters"
    if "conv_stem.weight" in part:
        return "mobile trunk"
    return "trunk" if all(TRUNK_KEY.fullmatch(name) for name in part) else "model"


def assemble(parts: Sequence[State]) -> dict[str, Tensor]:
    """One model's state dict of what came in one or two files, in any order.

    A model alone stays as it is, a trunk alone becomes the max-pooling network (timm's: one with GeM); a
    trunk and cluster centres become an initial NetVLAD, a model and its PCA the one-step model with the
    whitening layer. Raises CheckpointError for any other combination and for parts that do not fit.
    """
    kinds = {part_kind(part): part for part in parts}
    found = sorted(map(part_kind, parts))
    if found == ["model"]:
        return dict(kinds["model"])
    if found == ["trunk"]:
        return _as_trunk(kinds["trunk"])
    if found == ["mobile trunk"]:
        return {**_as_mobile(kinds["mobile trunk"]), "gem.p": _initial_power()}
    if found == ["clusters", "mobile trunk"]:
        return {**_as_mobile(kinds["mobile trunk"], cut=True), **_netvlad(kinds["clusters"])}
    if found == ["clusters", "trunk"]:
        return {**_as_trunk(kinds["trunk"]), **_netvlad(kinds["clusters"])}
    if found == ["model", "pca"]:
        return {**kinds["model"], **_whitening(kinds["pca"])}
    raise CheckpointError(
        f"cannot make a network of {' and '.join(KINDS[kind] for kind in found)}; give a model, a trunk, "
        "a trunk with cluster centres, or a model with its PCA"
    )


def _as_trunk(trunk: State) -> dict[str, Tensor]:
    return {f"base_model.base.{name}": value for name, value in trunk.items()}


def _as_mobile(trunk: State, cut: bool = False) -> dict[str, Tensor]:
    """`cut`: without the last stage, which NetVLAD does without."""
    kept = {name: value for name, value in trunk.items() if not (cut and name.startswith(LAST_STAGE))}
    return {f"base_model.{name}": value for name, value in kept.items()}


def _initial_power() -> Tensor:
    from relpose_ros.networks.retrieval.gem import Gem

    return Gem().p.detach()


def _netvlad(clusters: State) -> dict[str, Tensor]:
    from relpose_ros.networks.retrieval.netvlad import NetVlad

    centres, descriptors = clusters["centroids"], clusters["descriptors"]
    try:
        layer = NetVlad(centres.shape[1], centres.shape[0])
        layer.init_from_clusters(centres, descriptors)
    except (ConfigurationError, IndexError) as error:
        raise CheckpointError(f"the cluster centres cannot be used: {error}") from None
    return {f"net_vlad.{name}": value for name, value in layer.state_dict().items()}


def _whitening(pca: State) -> dict[str, Tensor]:
    from relpose_ros.networks.retrieval.whitening import whitening_layer

    basis, variances, mean = pca["U"], pca["lams"], pca["mu"]
    if basis.ndim != 2 or variances.numel() != basis.shape[1] or mean.numel() != basis.shape[0]:
        raise CheckpointError(
            "expected a PCA with U (D, k), lams (k) and mu (D), got "
            f"{tuple(basis.shape)}, {tuple(variances.shape)} and {tuple(mean.shape)}"
        )
    if not (variances > 0).all():
        raise CheckpointError("expected a PCA whose variances (lams) are positive, found others")
    weight, bias = whitening_layer(basis, variances, mean)
    return {"pca_layer.weight": weight, "pca_layer.bias": bias}
