"""What a checkpoint says of the graphs of a folder, and how far off it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.checkpoints.format import CheckpointInfo, load_network
from relpose_ros.checkpoints.graph_header import GraphInfo
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.geometry.relative_vectors import RelativeVectors, VectorDifference
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.relpose_gnn.graph_network import GraphNetwork
from relpose_ros.progress import Progress, silent
from relpose_ros.retrieval.graph_images import GraphInput
from relpose_training.data.graph_dataset import GraphScenes, GraphSplit
from relpose_training.data.graphs import GraphOptions
from relpose_training.recipes.relpose_gnn.aggregation import FIRST, answers, finite_edges
from relpose_training.recipes.relpose_gnn.coverage import Coverage
from relpose_training.recipes.relpose_gnn.predictions import PredictedGraph, predict_graphs
from relpose_training.recipes.relpose_gnn.published_predictions import Predictions

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """A checkpoint under test; `name` tells it from others in tables."""

    name: str
    network: GraphNetwork
    info: CheckpointInfo
    graph: GraphInfo

    @property
    def distribution(self) -> Any:
        """Of the errors of edges, as it was trained: `gaussian`, else `laplace`."""
        loss = self.info.recipe.get("config", {}).get("loss")
        return "gaussian" if loss == "gaussian" else "laplace"


@dataclass(frozen=True)
class Examined:
    """The answers of one checkpoint on one split, query by query.

    `scene` (N,) is the number in `scenes` of each query's, `names` (N,) its image, `true` (N,) its
    map_from_query, `poses` way -> (N,) answers. `coverage` of the predicted covariances, None without them.
    """

    subject: str
    data: str
    scenes: tuple[str, ...]
    scene: NDArray[np.int64]
    names: tuple[str, ...]
    true: Rigid
    poses: dict[str, Rigid]
    convention: RelativeVectors
    metric: bool
    coverage: Coverage | None = None
    about: dict[str, Any] = field(default_factory=dict, repr=False)

    def errors(self, way: str) -> tuple[Array, Array]:
        """Distance of the camera centres in the map's unit and angle in degrees (N,), infinite for none."""
        return Predictions("", self.names, self.poses[way], self.true).errors()

    def published(self, weights: str) -> list[Predictions]:
        """Of each scene with queries: what the authors' program would have written."""
        inverse = isinstance(self.convention, VectorDifference) and self.convention.vectors.inverse
        out = []
        for number, scene in enumerate(self.scenes):
            rows = np.flatnonzero(self.scene == number)
            both = self.poses[FIRST][rows], self.true[rows]
            found, true = (pose.inverse() for pose in both) if inverse else both
            names = tuple(f"{scene}/{self.names[row]}" for row in rows)
            if names:
                out.append(Predictions(f"{weights}_{scene}", names, found, true, inverse))
        return out


def load_subject(path: Path, name: str, device: torch.device) -> Subject:
    """A checkpoint, on a device. Raises CheckpointError for one of something else."""
    network, info = load_network(path)
    if not isinstance(network, GraphNetwork):
        raise CheckpointError(
            f"{path}: expected a network over graphs of images (relpose_gnn.*), got {info.network}"
        )
    return Subject(name, network.to(device), info, GraphInfo.of(info, path))


def open_graphs(
    subject: Subject,
    split: GraphSplit,
    neighbours: int | None = None,
    period: int | None = None,
    fixed: bool = False,
    every: int = 1,
) -> GraphScenes:
    """The graphs that a checkpoint is asked about: references chosen as it says, unless told otherwise.

    `fixed`: those drawn when published graphs were made; `every`-th query of each scene. Raises
    ConfigurationError for images that are not what it was trained on, DatasetError for too few references.
    """
    wanted, got = GraphInput.from_dict(subject.graph.input), split.input
    if _shape(wanted) != _shape(got):
        raise ConfigurationError(
            f"{split.folder}: {subject.name} was trained on images as {_shape(wanted).to_dict()}, these were "
            f"made as {_shape(got).to_dict()}; prepare them with the same --size, --field or --published"
        )
    options = GraphOptions(
        neighbours or subject.graph.neighbours, period or subject.graph.period, subject.graph.halving
    )
    return GraphScenes(split, options, subject.graph.convention, fixed=fixed, world=every)


def _shape(graph_input: GraphInput) -> GraphInput:
    """What must agree: where each scene has its own colours, the common ones are not read."""
    if not graph_input.per_scene:
        return graph_input
    plain = GraphInput.published()
    return replace(graph_input, mean=plain.mean, deviation=plain.deviation)


def examine(
    subject: Subject, data: GraphScenes, batch_size: int = 8, workers: int = 0, progress: Progress = silent
) -> Examined:
    """Ask a checkpoint about all graphs of a dataset. Raises ConfigurationError if there is none."""
    graphs = list(predict_graphs(subject.network, data, batch_size, workers, progress))
    if not graphs:
        raise ConfigurationError(f"{data.where}: none of its scenes has a query")
    found = examined_graphs(graphs, data, subject.name, subject.distribution)
    options = data.options
    about = {
        "network": subject.info.network,
        "trained_on": subject.info.data,
        "neighbours": options.neighbours,
        "period": options.period,
        "fixed": data.fixed,
        "every": data.world,
    }
    return replace(found, about=about)


def examined_graphs(
    graphs: Sequence[PredictedGraph], data: GraphScenes, name: str = "", distribution: Any = "laplace"
) -> Examined:
    """Answers out of predicted graphs of a dataset (`predict_graphs`), one at least."""
    graphs = [finite_edges(graph) for graph in graphs]
    found = answers(graphs, data.convention)
    split = data.split
    return Examined(
        name,
        f"{split.folder.name or split.folder} ({split.split})",
        split.names,
        np.array([graph.scene for graph in graphs]),
        tuple(_names(graphs, split)),
        Rigid.stack([graph.truth for graph in graphs]),
        {way: Rigid.stack([one.poses[way] for one in found]) for way in found[0].poses},
        data.convention,
        split.metric,
        Coverage.of(graphs, [one.fused for one in found], distribution),
    )


def _names(graphs: Sequence[PredictedGraph], split: GraphSplit) -> Iterator[str]:
    for graph in graphs:
        yield split.scenes[graph.scene].names[int(graph.nodes[0])]
