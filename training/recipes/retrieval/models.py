"""The networks that the recipe trains, as a configuration has them, and how they are fed."""

from __future__ import annotations

from typing import Any

from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.registry import build_network
from relpose_ros.networks.retrieval.retriever import Retriever
from relpose_training.recipes.retrieval.config import RetrievalConfig

VGG16 = "netvlad_vgg16"


def name_of(config: RetrievalConfig) -> str:
    """In the registry; of a checkpoint, also where SFRS trains it: the tensors are the same."""
    return f"retrieval.{config.network}"


def parameters_of(config: RetrievalConfig) -> dict[str, Any]:
    """Constructor arguments beyond those registered."""
    if config.network == VGG16:
        own: dict[str, Any] = {"clusters": config.clusters}
        return own if config.channels is None else {**own, "channels": list(config.channels)}
    told: dict[str, Any] = {"width": config.trunk_width, "stride": config.stride}
    if config.dimension is not None:
        told["dimension"] = config.dimension
    return {**told, "clusters": config.clusters} if config.network == "mobile_netvlad" else told


def make_network(config: RetrievalConfig) -> Retriever:
    """The network, its first stages frozen. Raises ConfigurationError where there is no such stage."""
    regions = config.loss == "sfrs" and config.network == VGG16
    network = build_network(f"{name_of(config)}{'_regions' if regions else ''}", **parameters_of(config))
    if not isinstance(network, Retriever):
        raise ConfigurationError(f"expected a network of global descriptors, got {config.network}")
    trunk: Any = network.base_model
    learned = config.start_from is not None
    usual = ("conv5" if config.network == VGG16 else "blocks.0") if learned else "full"
    trunk.train_from(config.train_from or usual)
    if config.network != VGG16:
        trunk.freeze_statistics(config.freeze_statistics)
    return network


def info_of(config: RetrievalConfig, network: Retriever) -> RetrievalInfo:
    """What a checkpoint says of the images that it is fed, and of what it gives."""
    make = RetrievalInfo.vgg16 if network.colours == "caffe" else RetrievalInfo.imagenet
    return make(
        dimension=network.descriptor_size,
        height=config.height,
        width=config.width,
        output=network.descriptor_output,
    )
