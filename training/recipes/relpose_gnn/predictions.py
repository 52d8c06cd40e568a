"""What a network says of the graphs of a folder, and where it follows that the queries are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.geometry.neighbour_poses import incoming_edges
from relpose_ros.geometry.relative_vectors import InSourceFrame
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.relpose_gnn.graph_network import GraphNetwork
from relpose_ros.progress import Progress, silent
from relpose_training.data.graph_dataset import GraphScenes
from relpose_training.data.stream import batches
from relpose_training.recipes.relpose_gnn.module import said

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PredictedGraph:
    """One graph: `scene` and `nodes` (K,) are numbers of a scene and of its images, the query's first.

    `map_from_node` (K,); `edges` (2, E), `relative` (E, 6) as the checkpoint's convention says,
    `log_variance` (E, 6) as `EdgePoses` has it, or None.
    """

    scene: int
    nodes: NDArray[np.int64]
    map_from_node: Rigid
    edges: NDArray[np.int64]
    relative: Array
    log_variance: Array | None

    @property
    def truth(self) -> Rigid:
        """map_from_query."""
        return self.map_from_node[0]

    def true_relative(self) -> Array:
        """What the edges should say (E, 6) where they speak in the source's frame."""
        source, target = self.edges
        return InSourceFrame().write(self.map_from_node[source], self.map_from_node[target])

    def into_query(self) -> NDArray[np.int64]:
        """Which of the edges end at the query."""
        return incoming_edges(self.edges)


def predict_graphs(
    network: GraphNetwork,
    data: GraphScenes,
    batch_size: int = 8,
    workers: int = 0,
    progress: Progress = silent,
) -> Iterator[PredictedGraph]:
    """What a network in eval mode says of every graph of a dataset that is not for training, in its order."""
    device = next(network.parameters()).device
    total, done = sum(data.group_sizes()), 0
    where = _places(data)
    for batch in batches(data, batch_size, seed=0, workers=workers, shuffle=False):
        with torch.inference_mode():
            found = said(network, batch["images"].to(device))
        arrays = {name: value.cpu().numpy() for name, value in found.items()}
        for row in range(len(batch["images"])):
            yield _graph(data, *next(where), {name: value[row] for name, value in arrays.items()})
        done += len(batch["images"])
        progress(done, total, "graphs")


def assembled(data: GraphScenes, arrays: Mapping[str, NDArray[Any]]) -> list[PredictedGraph]:
    """Graphs from what `said` gave for all samples of a dataset, in their order: name -> (N, ...)."""
    return [
        _graph(data, *place, {name: value[row] for name, value in arrays.items()})
        for row, place in enumerate(_places(data))
    ]


def _places(data: GraphScenes) -> Iterator[tuple[int, int]]:
    for group, size in enumerate(data.group_sizes()):
        yield from ((group, item) for item in range(size))


def _graph(data: GraphScenes, group: int, item: int, values: Mapping[str, NDArray[Any]]) -> PredictedGraph:
    scene = data.split.scenes[group]
    nodes = data.nodes(scene, data.node(group, item).query)
    sure = values.get("log_variance")
    return PredictedGraph(
        group,
        nodes,
        scene.map_from_camera[nodes],
        values["edges"].astype(np.int64),
        values["relative"].astype(float),
        None if sure is None else sure.astype(float),
    )
