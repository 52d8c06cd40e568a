"""The recipe `relpose_gnn`: a query and its references in, relative poses along their edges out."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.format import load_network, load_weights
from relpose_ros.checkpoints.graph_header import GraphInfo
from relpose_ros.errors import CheckpointError
from relpose_ros.networks.registry import build_network
from relpose_ros.networks.relpose_gnn.families import without_unused_layers
from relpose_ros.networks.relpose_gnn.graph_network import GraphNetwork
from relpose_ros.networks.relpose_gnn.model import RelPoseGNN
from relpose_training.data.graph_dataset import GraphScenes
from relpose_training.engine.device import Device, Place
from relpose_training.engine.recipe import Recipe, Scores, TrainingModule
from relpose_training.engine.validation import score_all
from relpose_training.recipes.atloc.backbone import load_backbone
from relpose_training.recipes.relpose_gnn.config import RelposeGnnConfig
from relpose_training.recipes.relpose_gnn.graphs import chosen_split, training_graphs, validation_graphs
from relpose_training.recipes.relpose_gnn.module import RelposeGnnModule
from relpose_training.recipes.relpose_gnn.predictions import assembled
from relpose_training.recipes.relpose_gnn.scores import constant_nll, edge_scores, pose_errors


class RelposeGnnRecipe(Recipe[RelposeGnnConfig]):
    """RelPoseGNN, as published or for a robot."""

    name = "relpose_gnn"
    config_class = RelposeGnnConfig
    best: ClassVar[tuple[str, str]] = ("median_translation_m", "min")

    def module(self) -> RelposeGnnModule:
        network = build_network(self._architecture, **self._parameters())
        assert isinstance(network, GraphNetwork)
        return RelposeGnnModule(network, self.config)

    def start(self, module: Any) -> None:
        """Take the weights of `backbone` or of `start_from`. Raises CheckpointError for others'."""
        if self.config.backbone is not None:
            load_backbone(module.network.feature_extractor, self.config.backbone)
        path = self.config.start_from
        if path is None:
            return
        network, info = load_network(path)
        if type(network) is not type(module.network):
            raise CheckpointError(
                f"{path}: expected weights of {self._architecture}, got those of {info.network}"
            )
        load_weights(module.network, _used(network), what=str(path))

    def training_data(self, place: Place) -> GraphScenes:
        return training_graphs(self.config, place.rank, place.world)

    def validation_data(self, place: Place) -> GraphScenes:
        return validation_graphs(self.config, "val", place.rank, place.world)

    def validate(self, module: TrainingModule, device: Device) -> dict[str, float]:
        data = self.validation_data(device.place)
        size = self.config.batch_size * device.batch_factor
        graphs = assembled(data, score_all(self.config, module, data, size, device))
        scores = pose_errors(graphs, self.config.relative_vectors, first=self.config.compat)
        if self.config.loss != "l1":
            scores |= edge_scores(graphs, self.config.loss)
        everyone = device.gather({name: values.tolist() for name, values in scores.items()})
        return self.summarise(
            {name: np.asarray([v for part in everyone for v in part[name]]) for name in scores}
        )

    def summarise(self, scores: Scores) -> dict[str, float]:
        """Medians of the poses that a robot takes, and of standing where the best reference stands. With an
        uncertainty also `nll` of edges."""
        found = {
            "median_translation_m": _median(scores["translation"]),
            "median_rotation_deg": _median(scores["rotation"]),
            "nearest_translation_m": _median(scores["nearest_translation"]),
            "nearest_rotation_deg": _median(scores["nearest_rotation"]),
        }
        if self.config.loss != "l1" and len(scores["nll"]):
            found |= self._likelihoods(scores)
        return found

    def _likelihoods(self, scores: Scores) -> dict[str, float]:
        """`nll` of all edges into queries, and `nll_first` of those from the best references, where there
        are any (edges from nearest nodes), each beside that of the best constant."""
        assert self.config.loss != "l1"
        nll, truth = scores["nll"], np.asarray(scores["truth"], float)
        first = np.asarray(scores["first"], bool)
        found = {}
        for name, chosen in (("nll", np.ones(len(nll), bool)), ("nll_first", first)):
            if chosen.any():
                found[name] = float(nll[chosen].mean())
                found[f"{name}_constant"] = constant_nll(truth[chosen], self.config.loss)
        return found

    def checkpoint(self) -> dict[str, Any]:
        config, split = self.config, chosen_split(self.config, "train")
        graph = GraphInfo(
            split.input.to_dict(), config.relative_vectors, config.neighbours, config.period, config.halving
        )
        unit = "" if split.metric else " (its unit is not the metre: not for a robot)"
        return {
            "network": self._architecture,
            "parameters": self._parameters(),
            "licence": config.licence,
            "data": _told(split.names) + unit,
            "graph": graph.to_dict(),
        }

    @property
    def _architecture(self) -> str:
        return f"relpose_gnn.{self.config.network}"

    def _parameters(self) -> dict[str, Any]:
        height, width = chosen_split(self.config, "train").scenes[0].height_and_width
        return self.config.network_parameters(height, width)


def _used(network: Any) -> dict[str, Any]:
    """Its weights without the set that the published release stores and never runs."""
    state: dict[str, Any] = network.state_dict()
    if not isinstance(network, RelPoseGNN):
        return state
    sets = sum(name.startswith("gnn") and name.endswith(".mlp.0.weight") for name in state)
    return without_unused_layers(state, {"schedule": network.schedule, "weight_sets": sets})[0]


def _median(values: NDArray[Any]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _told(names: tuple[str, ...], limit: int = 10) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
