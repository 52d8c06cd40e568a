"""How retrieval networks are tested: descriptors, PCA, distances, re-ranking, recall."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.datasets.image_files import read_image
from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.splits import PlaceDataset, PlaceSplit
from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.retrieval_recall import AT, recalls, squared_distances
from relpose_ros.networks.base import Network
from relpose_ros.resampling import short_side_size
from relpose_ros.retrieval.pca import Pca
from relpose_ros.retrieval.rerank import RerankOptions
from relpose_ros.retrieval.vgg16_input import HEIGHT, WIDTH
from relpose_training.data.ahead import loaded_ahead
from relpose_training.data.reranked_distances import reranked_distances

Floats = NDArray[np.float32]

PCA_IMAGES = 10_000
"""Images that a PCA is fitted to, at most."""


@dataclass(frozen=True)
class RetrievalTest:
    """`pca` reduces descriptors (`whiten`: with whitening); `rerank` the distances.

    `one_answer_a_place` is how Tokyo 24/7 is scored. `compat`: re-rank as OpenIBL does.
    """

    pca: Pca | None = None
    whiten: bool = True
    rerank: RerankOptions | None = None
    one_answer_a_place: bool = False
    at: tuple[int, ...] = AT
    compat: bool = False


@dataclass(frozen=True)
class RetrievalScores:
    """`recall` for each N; the descriptors (Q, D) and (G, D) compared, and their `distances` (Q, G)."""

    recall: dict[int, float]
    queries: Floats
    gallery: Floats
    distances: Floats


def evaluation_inputs(
    dataset: PlaceDataset,
    images: Iterable[PlaceImage],
    height: int = HEIGHT,
    width: int = WIDTH,
    whole: bool = False,
) -> Iterator[Floats]:
    """What VGG16 sees of each image (3, height, width); `whole` as of `image_inputs`."""
    info = RetrievalInfo.vgg16(1, height=height, width=width)
    return image_inputs((dataset.path(image) for image in images), info, whole)


def image_inputs(paths: Iterable[Path], info: RetrievalInfo, whole: bool = False) -> Iterator[Floats]:
    """What a network sees of each image file (3, height, width).

    `whole`: the shorter side gets the larger of the two lengths, and the aspect stays (queries of Tokyo 24/7,
    which are portraits and landscapes). Raises ImageError for an image that cannot be read.
    """
    for path in paths:
        pixels = read_image(path)
        fed = info
        if whole:
            length = max(info.height, info.width)
            height, width = short_side_size(pixels.shape[0], pixels.shape[1], length)
            fed = replace(info, height=height, width=width)
        yield network_input(pixels, fed)[0]


def describe_images(
    network: Network, inputs: Iterable[Floats], output: str = "vlad", batch: int = 32
) -> Floats:
    """Descriptors (N, D) of norm 1 of all inputs together, as `descriptor_batches` makes them."""
    found = list(descriptor_batches(network, inputs, output, batch))
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32)


def descriptor_batches(
    network: Network, inputs: Iterable[Floats], output: str = "vlad", batch: int = 32
) -> Iterator[Floats]:
    """Descriptors (B, D) of norm 1: the network's `output`, on the device where the network is.

    Images of one shape that follow each other go through it together, `batch` at most; the next ones are
    read meanwhile. The network is in eval mode until the last. Raises ConfigurationError if there is no such
    output.
    """
    if output not in network.output_names:
        raise ConfigurationError(f"expected an output of {', '.join(network.output_names)}, got {output!r}")
    place = network.output_names.index(output)
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        for images in loaded_ahead(_batches(inputs, batch)):
            with torch.inference_mode():
                described = network(torch.from_numpy(images).to(device))[place]
                found = torch.nn.functional.normalize(described.float(), dim=1).cpu().numpy()
            yield found
    finally:
        network.train(was_training)


def _batches(inputs: Iterable[Floats], size: int) -> Iterator[Floats]:
    waiting: list[Floats] = []
    for image in inputs:
        if waiting and (len(waiting) == size or waiting[0].shape != image.shape):
            yield np.stack(waiting)
            waiting = []
        waiting.append(image)
    if waiting:
        yield np.stack(waiting)


def pca_images(split: PlaceSplit, limit: int = PCA_IMAGES, seed: int = 43) -> list[PlaceImage]:
    """The images of queries and gallery to fit a PCA to, each once; if there are more than `limit`, some
    at random, always the same ones for a seed."""
    images = sorted(set(split.queries) | set(split.gallery))
    if len(images) <= limit:
        return images
    chosen = np.random.default_rng(seed).choice(len(images), limit, replace=False)
    return [images[i] for i in sorted(chosen)]


def score_retrieval(
    queries: ArrayLike, gallery: ArrayLike, split: PlaceSplit, options: RetrievalTest | None = None
) -> RetrievalScores:
    """Recall of a split from the descriptors of its queries (Q, D) and gallery (G, D).

    Raises ConfigurationError when the numbers do not fit the split or the PCA.
    """
    options = options or RetrievalTest()
    q, g = np.asarray(queries, np.float32), np.asarray(gallery, np.float32)
    if (len(q), len(g)) != (len(split.queries), len(split.gallery)):
        raise ConfigurationError(
            f"expected descriptors of {len(split.queries)} queries and {len(split.gallery)} gallery images, "
            f"got {len(q)} and {len(g)}"
        )
    if options.pca is not None:
        q, g = (options.pca.apply(x, options.whiten) for x in (q, g))
    if options.rerank is None:
        distances = squared_distances(q, g)
    else:
        distances = reranked_distances(q, g, options.rerank, options.compat)
    places = split.gallery_places if options.one_answer_a_place else None
    found = recalls(distances, split.positives, options.at, places)
    return RetrievalScores(dict(zip(options.at, found.tolist(), strict=True)), q, g, distances)
