"""What a run begins with: the middle of its scene, or the weights of the stage before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor

from relpose_ros.checkpoints.format import CheckpointInfo, load_network, load_weights
from relpose_ros.errors import CheckpointError
from relpose_ros.networks.base import Network
from relpose_training.data.label_statistics import mean_coordinate, spread_samples
from relpose_training.data.stream import Dataset
from relpose_training.recipes.scene_coordinates.config import SceneCoordinatesConfig
from relpose_training.recipes.scene_coordinates.encoders import begin_with_encoders
from relpose_training.recipes.scene_coordinates.models import NETWORKS

DIAGONAL = (3, 5, 8)
"""Rows of the last layer that say the logarithms of an anisotropic deviation."""
ERROR_SAMPLES = 32
SMALLEST_ERROR = 1e-3
LAST_SHARE = 0.1


class Movable(Protocol):
    """A network whose coordinates begin around a mean."""

    def set_mean(self, mean: Sequence[float]) -> None: ...


def begin(network: Network, config: SceneCoordinatesConfig, views: Dataset, origin: Sequence[float]) -> None:
    """Set up a new run of `network` on `views`, whose coordinates are less `origin`.

    A first stage begins around the mean of the scene, `start_from` or not. The later ones keep what was
    learned, moved if the set has another origin. A network that says more than the one before begins with
    the median error of that one. Raises CheckpointError if the weights do not fit, DatasetError if the set
    does not know what is needed.
    """
    info = None
    if begin_with_encoders(network, config, config.start_from):
        if config.stage != "init":
            raise CheckpointError(f"stage={config.stage} expects start_from with these encoders in it")
    elif config.start_from is not None:
        info = load_start(network, config.start_from, views)
    elif config.first_weights == "he" and NETWORKS[config.network].unnormalised:
        spread_weights(network)
    if config.stage == "init":
        labels = config.supervision != "rgb"
        cast(Movable, network).set_mean(mean_coordinate(views, config.mean_samples, config.seed, labels))
    elif info is not None and info.scene.get("origin"):
        shift = [float(old) - float(new) for old, new in zip(info.scene["origin"], origin, strict=True)]
        _move(network, shift)


def spread_weights(network: Network) -> None:
    """Draw the weights of all convolutions as He et al. (ICCV 2015), biases zero.

    Those of the last layer are a tenth as large: coordinates begin near their mean.
    """
    layers = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    for layer in layers:
        torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)
    with torch.no_grad():
        layers[-1].weight.mul_(LAST_SHARE)


def load_start(network: Network, path: Path, views: Dataset) -> CheckpointInfo:
    """The weights of a checkpoint, its last layer made to say what `network` says; returns its header."""
    before, info = load_network(path)
    if type(before) is not type(network):
        raise CheckpointError(
            f"{path}: expected weights of a {type(network).__name__}, got those of {info.network}"
        )
    found, expected = before.state_dict(), network.state_dict()
    rows = {name for name, value in expected.items() if found.get(name, value).shape != value.shape}
    if rows and all(_is_last(found[name], expected[name]) for name in rows):
        scale = typical_error(before, views) if min(len(found[name]) for name in rows) == 3 else 1.0
        found = {
            name: other_rows(value, len(expected[name]), math.log(scale)) if name in rows else value
            for name, value in found.items()
        }
    load_weights(network, found, what=str(path))
    return info


def other_rows(found: Tensor, wanted: int, log_scale: float) -> Tensor:
    """Weights or biases of a last layer with 3, 4 or 9 outputs -> of one with `wanted` outputs.

    Coordinates stay. A deviation is kept as far as the new one can say it; one that was not said before is
    exp(`log_scale`) everywhere.
    """
    made = torch.zeros(wanted, *found.shape[1:], dtype=found.dtype)
    made[:3] = found[:3]
    before, after = _deviations(len(found)), _deviations(wanted)
    if before and after:
        made[list(after)] = found[list(before)].mean(dim=0)
    elif after and found.dim() == 1:
        made[list(after)] = log_scale
    return made


def typical_error(network: Network, views: Dataset) -> float:
    """Median distance of the network's coordinates to the known ones, a component, metres.

    Of a few images; 1 where nothing is known.
    """
    distances = []
    for sample in spread_samples(views, ERROR_SAMPLES):
        with torch.no_grad():
            said = network(torch.from_numpy(sample["image"])[None])[0][0, :3]
        error = (said - torch.from_numpy(sample["coordinates"])).norm(dim=0)
        distances.append(error[torch.from_numpy(sample["known"])])
    every = torch.cat(distances)
    if not len(every):
        return 1.0
    return max(float(every.median()) / math.sqrt(3), SMALLEST_ERROR)


def _deviations(outputs: int) -> tuple[int, ...]:
    """Rows of a last layer that say the logarithm of a deviation."""
    return {3: (), 4: (3,), 9: DIAGONAL}[outputs]


def _is_last(found: Tensor, expected: Tensor) -> bool:
    sizes = {3, 4, 9}
    return found.shape[1:] == expected.shape[1:] and {len(found), len(expected)} <= sizes


def _move(network: Network, shift: Sequence[float]) -> None:
    """Add to all coordinates that the network says."""
    if not any(shift):
        return
    mean = network.state_dict().get("mean")
    if mean is None:
        raise CheckpointError(
            f"the set's origin is not the checkpoint's (by {list(shift)} m), and {type(network).__name__} "
            "has no mean to move: prepare the set with the same origin"
        )
    cast(Movable, network).set_mean((mean.double() + torch.tensor(shift, dtype=torch.float64)).tolist())
