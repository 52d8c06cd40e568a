"""The weights of an ImageNet ResNet-34 in a file, put into a network's backbone."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import check_kinds, describe_difference
from relpose_ros.checkpoints.state_dicts import extract_state_dict, shapes_of
from relpose_ros.errors import CheckpointError
from relpose_ros.networks.relpose_gnn.resnet34 import ResNet34

CLASSIFIER = "fc."


def load_backbone(backbone: ResNet34, path: Path) -> None:
    """Load all but the classifier of torchvision's ResNet-34 (resnet34-b627a593.pth, or a copy of it).

    Raises CheckpointError for a file that cannot be read, or is of another network.
    """
    found = _without_classifier(extract_state_dict(read_container(path), str(path)))
    expected = _without_classifier(backbone.state_dict())
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    found = {**counters, **found}  # files from before PyTorch 0.4.1 lack them
    if difference := describe_difference(shapes_of(expected), shapes_of(found)):
        raise CheckpointError(f"{path}: expected the weights of torchvision's ResNet-34: {difference}")
    check_kinds(expected, found, str(path))
    backbone.load_state_dict(found, strict=False)


def _without_classifier(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith(CLASSIFIER)}
