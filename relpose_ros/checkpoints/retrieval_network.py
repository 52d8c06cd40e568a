"""How a retrieval network is fed and what it gives: the header of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.datasets.colour_statistics import CAFFE, IMAGENET

if TYPE_CHECKING:
    from relpose_ros.networks.retrieval.retriever import Retriever

COLOURS = {"caffe": CAFFE, "imagenet": IMAGENET}


def retrieval_info(network: Retriever, height: int | None = None, width: int | None = None) -> RetrievalInfo:
    """Of a network that is fed images of this size, px; by default the one it was published for."""
    return RetrievalInfo.of_colours(
        COLOURS[network.colours],
        dimension=network.descriptor_size,
        output=network.descriptor_output,
        height=height or network.image_size[0],
        width=width or network.image_size[1],
    )


def retrieval_header(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same for the registered network `name`, as a header keeps it; empty if it is no retriever."""
    import torch

    from relpose_ros.networks.registry import build_network
    from relpose_ros.networks.retrieval.retriever import Retriever

    with torch.device("meta"):
        network = build_network(name, **parameters)
    return retrieval_info(network).to_dict() if isinstance(network, Retriever) else {}
