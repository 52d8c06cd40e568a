"""A PCA with whitening as the last layer of a trained network: fitted once, then in the checkpoint."""

from __future__ import annotations

from dataclasses import replace

import torch
from numpy.typing import ArrayLike

from relpose_ros.checkpoints.format import CheckpointInfo
from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.registry import build_network
from relpose_ros.networks.retrieval.embed import EmbedNet, EmbedNetPca
from relpose_ros.networks.retrieval.mobile import MobileRetriever
from relpose_ros.retrieval.pca import Pca

OUTPUT = "descriptor"


def with_whitening(network: Network, info: CheckpointInfo, pca: Pca) -> tuple[Network, CheckpointInfo]:
    """The network that ends with `pca`, on the CPU in eval mode, and the header of its checkpoint.

    `info` is that of `network`. Raises ConfigurationError for a network that has a PCA already or that cannot
    have one, and for a PCA of descriptors of another size.
    """
    weight, bias = (torch.from_numpy(values) for values in pca.layer())
    if isinstance(network, EmbedNet):
        made: Network = EmbedNetPca.from_trained(network, weight, bias)
        parameters = {
            "dimension": pca.dimension,
            "channels": list(network.base_model.channels),
            "clusters": len(network.net_vlad.centroids),
        }
        name = "retrieval.netvlad_vgg16_pca"
    elif isinstance(network, MobileRetriever):
        _check_fits(network, pca)
        parameters, name = {**info.parameters, "whitened": pca.dimension}, info.network
        made = _extended(network, name, parameters, {"weight": weight[:, :, 0, 0], "bias": bias})
    else:
        raise ConfigurationError(
            f"{info.network}: expected a network on VGG16 (retrieval.netvlad_vgg16) or retrieval.mobile to "
            f"end with a PCA, got a {type(network).__name__}, which has no place for one"
        )
    return made.cpu().eval(), _header(info, name, parameters, pca.dimension)


def fit_whitening(
    network: Network, info: CheckpointInfo, descriptors: ArrayLike, dimension: int
) -> tuple[Network, CheckpointInfo]:
    """The same with a PCA to `dimension` values, fitted to descriptors (N, D) of this network.

    Which images they are of is `evaluation.pca_images`, the same ones for a seed. Raises ConfigurationError
    as `with_whitening`, and if there are no more descriptors than `dimension`: so many images tell no so many
    axes.
    """
    return with_whitening(network, info, Pca.fit(descriptors, dimension))


def _check_fits(network: MobileRetriever, pca: Pca) -> None:
    if network.pca_layer is not None:
        raise ConfigurationError(
            f"expected a network without a PCA, got one that ends with one of {network.descriptor_size} "
            "values; take the checkpoint that training wrote"
        )
    if len(pca.mean) != network.descriptor_size:
        raise ConfigurationError(
            f"expected a PCA of descriptors of {network.descriptor_size} values, got one of {len(pca.mean)}; "
            "fit it to descriptors of this network"
        )


def _extended(
    network: Network, name: str, parameters: dict[str, object], layer: dict[str, torch.Tensor]
) -> Network:
    with torch.device("meta"):  # every tensor is taken over: none needs a first value
        made = build_network(name, **parameters)
    state = {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}
    made.load_state_dict({**state, **{f"pca_layer.{key}": v for key, v in layer.items()}}, assign=True)
    return made


def _header(info: CheckpointInfo, name: str, parameters: dict[str, object], dimension: int) -> CheckpointInfo:
    retrieval = info.retrieval
    if retrieval:
        retrieval = replace(RetrievalInfo.of(info), output=OUTPUT, dimension=dimension).to_dict()
    return replace(info, network=name, parameters=parameters, retrieval=retrieval)
