"""A checkpoint that is to be tested, and how its network wants to be asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from relpose_ros.checkpoints.format import CheckpointInfo, load_network
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.one_to_one.blocks import CorrespondenceNetwork
from relpose_ros.networks.one_to_one.candidates import CandidateNetwork
from relpose_training.data.context_order import Order
from relpose_training.data.shards import ShardSet
from relpose_training.engine.device import find_device
from relpose_training.losses.correspondence_classification import POSITIVE_BELOW
from relpose_training.recipes.one_to_one.dataset import CorrespondencePairs, Layout
from relpose_training.recipes.one_to_one.judgement import Judgement, judge
from relpose_training.recipes.one_to_one.models import MODELS

PUBLISHED_SIZE = 2048


@dataclass(frozen=True)
class Subject:
    """A network with the layout, the number and the order of correspondences that it was trained with."""

    network: Network
    info: CheckpointInfo
    width: int
    size: int
    layout: Layout
    order: Order
    device: torch.device
    candidates: int | None = None
    label_threshold: float = POSITIVE_BELOW

    def pairs(self, shards: ShardSet) -> CorrespondencePairs:
        """The pairs of a split, as this network takes them."""
        return CorrespondencePairs(shards, self.size, self.layout, order=self.order, width=self.width)

    @torch.inference_mode()
    def judge(self, correspondences: torch.Tensor) -> Judgement:
        """Its judgement, on the host, of correspondences (B, N, width)."""
        given = correspondences.to(self.device)
        judged = judge(self.network, given, self.candidates, self.label_threshold)
        return Judgement(judged.logits.cpu(), judged.essential.cpu())


def load_subject(path: str | Path, device: str = "auto") -> Subject:
    """The network of a checkpoint on `device`: auto, cpu or cuda.

    Of weights that this recipe did not make (imported ones) the size is 2048, or what the network takes,
    and the order that of the layout. Raises CheckpointError if the file cannot be used, ConfigurationError
    if it is no correspondence classifier or there is no such device.
    """
    network, info = load_network(path)
    if not isinstance(network, CorrespondenceNetwork | CandidateNetwork):
        raise ConfigurationError(f"{path}: {info.network} is no network of the recipe one_to_one")
    trained = info.recipe["config"] if info.recipe.get("name") == "one_to_one" else {}
    layout: Layout = "one_to_one" if isinstance(network, CandidateNetwork) else "n_to_n"
    size = network.context_size if isinstance(network, CandidateNetwork) else PUBLISHED_SIZE
    order: Order = "given" if layout == "one_to_one" else "permuted"
    where = find_device(device)
    return Subject(
        network.to(where),
        info,
        network.width,
        int(trained.get("correspondences", size)),
        layout,
        MODELS[trained["model"]].order if trained else order,
        where,
        trained.get("candidates"),
        float(trained.get("label_threshold", POSITIVE_BELOW)),
    )
