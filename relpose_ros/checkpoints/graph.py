"""A checkpoint of a network over graphs of images, as a robot asks it: descriptors once, edges every time."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.format import load_network, read_info
from relpose_ros.checkpoints.graph_header import GraphInfo
from relpose_ros.checkpoints.inference import inference
from relpose_ros.datasets.download import sha256_of
from relpose_ros.errors import CheckpointError, ConfigurationError, DependencyError
from relpose_ros.geometry.rigid import Rigid

if TYPE_CHECKING:
    from relpose_ros.geometry.relative_vectors import RelativeVectors
    from relpose_ros.networks.relpose_gnn.graph_network import GraphNetwork

Floats = NDArray[np.float32]
Array = NDArray[np.float64]

FAMILY = "relpose_gnn."
"""What the registry names of these networks begin with."""

UNTOLD = (0.15, 0.08)
"""Standard deviations (m, rad) of an edge of which the network does not say how sure it is: a guess."""

_AT_ONCE = 16
"""Images that go through the trunk together: a whole map would not fit into memory."""


class Edges(NamedTuple):
    """What a network says of a query: one row for each edge that ends at it.

    `references` (E,) which of the given ones it comes from; `reference_from_query` (E,), metres; `covariance`
    (E, 6, 6) of it, in the axes of that reference, ROS order, raw.
    """

    references: NDArray[np.int64]
    reference_from_query: Rigid
    covariance: NDArray[np.float64]


class GraphPredictor:
    """Descriptors of images, and relative poses from references to a query, by the network of a checkpoint.

    `threads` of torch, while it works: on a busy robot more of them wait for each other. Raises
    CheckpointError for a checkpoint of another kind, or one that does not say how its graphs are made, and
    DependencyError without torch.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path, self.threads = Path(path), threads
        info = read_info(self.path)
        if not info.network.startswith(FAMILY):
            raise CheckpointError(
                f"{self.path}: expected a checkpoint of a network that regresses relative poses "
                f"({FAMILY}*), got one of {info.network}; `relpose train relpose_gnn` makes one"
            )
        self.name, self.licence = info.network, info.licence
        self.graph = GraphInfo.of(info, self.path)
        self._network = _load(self.path)

    @cached_property
    def identity(self) -> str:
        """sha256 of the checkpoint: a map records by whom the descriptors of its references were made."""
        return sha256_of(self.path)

    def features(self, images: Floats) -> Floats:
        """Descriptors (N, D) of images (N, 3, H, W) as `GraphInfo.input` says.

        Raises CheckpointError where the network cannot take them, or what it says is not finite.
        """
        import torch

        found = []
        with inference(self.threads):
            for start in range(0, len(images), _AT_ONCE):
                part = np.ascontiguousarray(images[start : start + _AT_ONCE], np.float32)
                try:
                    found.append(self._network.features(torch.from_numpy(part)).numpy())
                except (ConfigurationError, RuntimeError) as error:
                    raise CheckpointError(f"{self.path} ({self.name}): {error}") from error
        descriptors = np.concatenate(found) if found else np.zeros((0, self._network.descriptor_size))
        if not np.isfinite(descriptors).all():
            raise CheckpointError(f"{self.path} ({self.name}): its descriptor of an image is not finite")
        return np.asarray(descriptors, np.float32)

    def relative(self, query: Floats, references: Floats, map_from_reference: Rigid) -> Edges:
        """Edges into a query from descriptors: query (D,), references (K, D), best first.

        `map_from_reference` (K,) is read by the published convention alone, whose numbers are in the map's
        axes. Edges whose numbers are not finite are left out (`edges_into_query`).
        """
        import torch

        nodes = np.concatenate([query[None], references]).astype(np.float32)[None]
        with inference(self.threads):
            relative, edges, log_variance = self._network.edge_poses(torch.from_numpy(nodes))
        told = relative[0].double().numpy()
        sure = None if log_variance is None else log_variance[0].double().numpy()
        return edges_into_query(self.graph.convention, edges[0].numpy(), told, sure, map_from_reference)


def edges_into_query(
    convention: RelativeVectors,
    edges: NDArray[np.integer],
    relative: Array,
    log_variance: Array | None,
    map_from_reference: Rigid,
) -> Edges:
    """Those of a graph's edges (2, E) that end at its query, node 0, and are finite.

    `relative` (E, 6) as `convention` says, `log_variance` (E, 6), or None for a network that does not say how
    sure it is; `map_from_reference` (K,) of nodes 1 to K.
    """
    numbers = relative if log_variance is None else np.concatenate([relative, log_variance], axis=1)
    chosen = np.flatnonzero((edges[1] == 0) & np.isfinite(numbers).all(axis=1))
    variance = np.repeat(np.square(UNTOLD), 3)[None].repeat(len(chosen), axis=0)
    if log_variance is not None:
        variance = np.exp(np.clip(log_variance[chosen], -30.0, 30.0))
    index = edges[0, chosen].astype(np.int64) - 1
    references = map_from_reference[index]
    told = references.inverse() @ convention.read_target(references, relative[chosen])
    return Edges(index, told, variance[:, :, None] * np.eye(6))


def _load(path: Path) -> GraphNetwork:
    """Raises CheckpointError if the weights are of no such network, DependencyError without torch."""
    try:
        from relpose_ros.networks.relpose_gnn.graph_network import GraphNetwork
    except ModuleNotFoundError as error:
        raise DependencyError(
            f"{path}: regression of relative poses needs {error.name}: pip install 'relpose_ros[learned]'"
        ) from None
    network, info = load_network(path)
    if not isinstance(network, GraphNetwork):
        raise CheckpointError(f"{path}: {info.network} is no network over graphs of images")
    return network
