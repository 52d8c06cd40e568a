"""A coordinate network that sees through encoders of other tasks: depth, normals, classes (CrossLoc).

TransPose meant to do so, but loaded the encoders under other names and without complaint: they stayed as
they were drawn. Here every tensor of every encoder is copied, or the run does not begin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass
from torch import Tensor

from relpose_ros.checkpoints.format import CheckpointInfo, describe_difference, load_network
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.networks.base import Network
from relpose_ros.networks.scene_coordinates.crossloc import TransPoseNet
from relpose_training.engine.configuration import STRICT, Count, EngineConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EncodersConfig(EngineConfig):
    """Settings of a network with mid-level encoders."""

    encoders: tuple[Path, ...] = ()
    """Checkpoints of TransPose networks (`relpose train mid_level`, or coordinates) whose encoders are used;
    the decoder comes from start_from."""
    unfrozen_encoders: Count = 0
    """The first so many of them are trained on."""
    fusion: Literal["crossloc", "transpose"] = "crossloc"
    """crossloc: these encoders alone; transpose: beside an encoder of its own, that of start_from."""

    def check_encoders(self, network: str) -> None:
        """Raises ConfigurationError for settings that do not go together; call it in `__post_init__`."""
        if self.unfrozen_encoders > len(self.encoders):
            raise ConfigurationError(
                f"unfrozen_encoders={self.unfrozen_encoders} of {len(self.encoders)} encoders: expected fewer"
            )
        if self.encoders and not network.startswith("coord"):
            raise ConfigurationError(f"encoders expect network=coord or coord_tiny, got {network}")

    @property
    def encoder_parameters(self) -> dict[str, Any]:
        """Arguments of the network's constructor."""
        if not self.encoders:
            return {}
        return {
            "mlr_encoders": len(self.encoders),
            "unfrozen_encoders": self.unfrozen_encoders,
            "fusion": self.fusion,
        }


def begin_with_encoders(network: Network, config: EncodersConfig, start_from: Path | None) -> bool:
    """Give a new network the encoders of its configuration, and of `start_from` what it has in common.

    False, and nothing is done, if there are no encoders, or `start_from` has them already (a stage before).
    Raises CheckpointError if a tensor is missing or does not fit.
    """
    if not config.encoders or not isinstance(network, TransPoseNet):
        return False
    if start_from is not None:
        before, info = load_transpose(start_from)
        if before.mlr_encoders:
            return False
        parts = ("encoder.", "decoder.") if config.fusion == "transpose" else ("decoder.",)
        for part in parts:
            copy_part(network, before.state_dict(), part, part, f"{start_from} ({info.network})")
    load_encoders(network, config.encoders)
    return True


def load_encoders(network: TransPoseNet, paths: Sequence[Path]) -> None:
    """Copy `encoder.*` of each checkpoint into `mlr_encoder_1.*`, `mlr_encoder_2.*` and so on.

    Raises CheckpointError if one has no such encoder, or one of another size.
    """
    for number, path in enumerate(paths, 1):
        given, info = load_transpose(path)
        what = f"{path} ({info.network})"
        copy_part(network, given.state_dict(), "encoder.", f"mlr_encoder_{number}.", what)


def load_transpose(path: Path) -> tuple[TransPoseNet, CheckpointInfo]:
    """The network of a checkpoint. Raises CheckpointError if it is of another family."""
    network, info = load_network(path)
    if not isinstance(network, TransPoseNet):
        raise CheckpointError(f"{path}: expected a network of depth, normals, classes or coordinates with an "
                              f"encoder of TransPose, got {info.network}")  # fmt: skip
    return network, info


def copy_part(network: Network, weights: Mapping[str, Tensor], source: str, target: str, what: str) -> None:
    """Copy the tensors whose names begin with `source` to those that begin with `target`: all of both.

    Raises CheckpointError naming what is missing, left over or of another shape; nothing is copied then.
    """
    given = {name.removeprefix(source): value for name, value in weights.items() if name.startswith(source)}
    own = {
        name.removeprefix(target): value
        for name, value in network.state_dict().items()
        if name.startswith(target)
    }
    problems = describe_difference(
        {name: tuple(value.shape) for name, value in own.items()},
        {name: tuple(value.shape) for name, value in given.items()},
    )
    if problems or not own:
        raise CheckpointError(
            f"{what}: its {source}* does not fit {target}* of this network: {problems or 'there is none'}; "
            "expected one of the same size and channels (coord_tiny takes encoders with size=tiny)"
        )
    for name, value in own.items():
        value.copy_(given[name])
