"""Graphs of a query and its retrieved references, made when wanted: only indices are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.colour_statistics import ColourStatistics
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.relative_vectors import InSourceFrame, RelativeVectors
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.resampling import resize_short_side
from relpose_ros.retrieval.diversity import strided_neighbours

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class GraphOptions:
    """`neighbours` references a query, every `period`-th of its ranking; `height` of images in pixels.

    `halving`: drop half of each ranking at random first, as the published graphs were made, from `seed` on.
    `shuffle`: references in random order, another one in each epoch (training).
    """

    neighbours: int = 7
    period: int = 5
    halving: bool = True
    seed: int = 7
    height: int = 256
    shuffle: bool = False


@dataclass(frozen=True)
class GraphSample:
    """One graph: node 0 is the query, the others are its references, best first unless shuffled.

    `images` (K, 3, H, W) normalised RGB; `map_from_node` (K,); `pairs` (K, K, 6): the target of every edge
    by its source and target; `names` of the images.
    """

    images: NDArray[np.float32]
    map_from_node: Rigid
    pairs: NDArray[np.float32]
    names: tuple[str, ...]


def neighbour_table(similarity: ArrayLike, options: GraphOptions, same: bool = False) -> Indices:
    """References of each query: similarities (Q, N) -> indices (Q, neighbours).

    `same`: queries and references are the same images in the same order, so that none is its own reference.
    Raises DatasetError when a ranking is too short.
    """
    state = np.random.RandomState(options.seed) if options.halving else None
    rows = []
    for query, scores in enumerate(np.asarray(similarity)):
        own = query if same else None
        found = strided_neighbours(scores, options.neighbours, options.period, own, state)
        if len(found) < options.neighbours:
            raise DatasetError(
                f"query {query}: expected {options.neighbours} references, {len(scores)} ranked with period "
                f"{options.period} leave {len(found)}; take a shorter period or more references"
            )
        rows.append(found)
    return np.stack(rows) if rows else np.zeros((0, options.neighbours), np.int64)


def pair_targets(map_from_node: Rigid, convention: RelativeVectors | None = None) -> NDArray[np.float32]:
    """Relative vectors (K, K, 6) from every source (first axis) to every target (second)."""
    convention = convention or InSourceFrame()
    count = len(map_from_node)
    source, target = np.divmod(np.arange(count * count), count)
    vectors = convention.write(map_from_node[source], map_from_node[target])
    return vectors.reshape(count, count, 6).astype(np.float32)


@dataclass(frozen=True)
class Graphs:
    """A sequence of `GraphSample`, one a query, for a data loader.

    `table` (Q, neighbours) indices into `references`. The default `convention` of targets is right; published
    weights want `VectorDifference()`.
    """

    queries: Sequence[PosedImage]
    references: Sequence[PosedImage]
    table: Indices
    statistics: ColourStatistics
    options: GraphOptions = field(default_factory=GraphOptions)
    convention: RelativeVectors = field(default_factory=InSourceFrame)

    def __post_init__(self) -> None:
        if len(self.table) != len(self.queries):
            raise DatasetError(
                f"expected one row of references for each of {len(self.queries)} queries, "
                f"got {len(self.table)}"
            )

    def __len__(self) -> int:
        return len(self.queries)

    def __getitem__(self, index: int) -> GraphSample:
        return self.sample(index)

    def sample(self, index: int, epoch: int = 0) -> GraphSample:
        """The graph of a query. Raises DatasetError for a missing pose or images of different sizes."""
        order = self.table[index]
        if self.options.shuffle:
            order = np.random.default_rng((self.options.seed, epoch, index)).permutation(order)
        nodes = [self.queries[index], *(self.references[i] for i in order)]
        poses = Rigid.stack([_pose(node) for node in nodes])
        images = [self.image(node) for node in nodes]
        if len({image.shape for image in images}) != 1:
            raise DatasetError(
                f"graph of {nodes[0].name!r}: expected images of one shape, got "
                f"{sorted({image.shape[1:] for image in images})}; crop them to one before"
            )
        names = tuple(node.name for node in nodes)
        return GraphSample(np.stack(images), poses, pair_targets(poses, self.convention), names)

    def image(self, image: PosedImage) -> NDArray[np.float32]:
        """What the network sees of one image: (3, height, W)."""
        return self.statistics.normalise(resize_short_side(image.load(), self.options.height))


def _pose(image: PosedImage) -> Rigid:
    if image.map_from_camera is None:
        raise DatasetError(f"{image.name!r}: expected a pose, there is none; leave it out of training")
    return image.map_from_camera
