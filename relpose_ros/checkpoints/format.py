"""Our checkpoint: one safetensors file whose header says what the weights are and where they come from."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import CheckpointError, ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

    from relpose_ros.networks.base import Network

HEADER = "relpose"
VERSION = 1


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says about itself. Everything in it is data that JSON can hold."""

    network: str
    """Name in the registry of networks."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Arguments of its constructor beyond those registered."""
    licence: str = "not stated"
    origin: str = "not stated"
    """Where the weights come from: the published file and its sha256, or the training run."""
    data: str = "not stated"
    """What they were trained on."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """Name, hash and configuration of the training recipe; empty for imported weights."""
    metrics: dict[str, Any] = field(default_factory=dict)
    scene: dict[str, Any] = field(default_factory=dict)
    """Of networks that know one scene: frame, origin, bounds, how an image is fed (checkpoints/scene.py)."""
    retrieval: dict[str, Any] = field(default_factory=dict)
    """Of networks of global descriptors: how an image is fed, which output (checkpoints/retrieval.py)."""
    graph: dict[str, Any] = field(default_factory=dict)
    """Of networks over graphs of images: how images are fed, what edges say (checkpoints/graph_header.py)."""
    created: str = ""
    """ISO 8601, UTC."""
    version: int = VERSION


EXAMPLE = CheckpointInfo("")
"""One of its kind: what types the fields of a header must have."""


def write_checkpoint(path: str | Path, weights: Mapping[str, Tensor], info: CheckpointInfo) -> Path:
    """Write weights and what they are to `path`, which appears only when it is whole.

    Raises CheckpointError if the ending is not .safetensors or `info` holds what JSON cannot.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path}: a checkpoint's name ends in .safetensors")
    try:
        header = {HEADER: json.dumps(asdict(info), sort_keys=True, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: what a checkpoint says of itself must be JSON: {error}") from None
    # Copies: buffers that share memory (a mean kept twice) are refused by safetensors.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".checkpoint.", dir=path.parent) as folder:
        part = Path(folder) / path.name
        save_file(tensors, part, metadata=header)
        plain = Path(folder) / "plain"
        plain.touch()
        part.chmod(plain.stat().st_mode)  # save_file lets the owner alone read
        os.replace(part, path)
    return path


def read_info(path: str | Path) -> CheckpointInfo:
    """What a checkpoint says of itself; reads the header alone and needs no torch.

    Raises CheckpointError if it is missing, broken, or not one of ours.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a checkpoint, found no file")
    try:
        with safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get(HEADER)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: expected a checkpoint (.safetensors), cannot read it: {error}"
        ) from None
    if header is None:
        raise CheckpointError(
            f"{path}: a safetensors file, but not a checkpoint of ours; "
            "`relpose checkpoint import SYSTEM FILE` makes one of it"
        )
    return _parse_info(path, header)


def tensor_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor, from the header alone. Raises CheckpointError as `read_info` does."""
    from safetensors import safe_open

    read_info(path)
    with safe_open(path, framework="numpy") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def load_network(path: str | Path) -> tuple[Network, CheckpointInfo]:
    """The network of a checkpoint in eval mode on the CPU, and what the checkpoint says of itself.

    Raises CheckpointError if the weights do not fit the network that the header names.
    """
    from relpose_ros.checkpoints.containers import read_container
    from relpose_ros.networks.registry import build_network

    info = read_info(path)
    try:
        network = build_network(info.network, **info.parameters)
    except ConfigurationError as error:
        raise CheckpointError(f"{path}: {error}; is it from a newer version?") from error
    load_weights(network, read_container(path), what=f"{path} ({info.network})")
    return network.eval(), info


def load_weights(network: Network, weights: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict with nothing missing, nothing left over and every shape right.

    `what` names the weights in the CheckpointError that is raised otherwise; the network is then untouched.
    """
    expected = network.state_dict()
    problems = describe_difference(
        {name: tuple(value.shape) for name, value in expected.items()},
        {name: tuple(value.shape) for name, value in weights.items()},
    )
    if problems:
        raise CheckpointError(f"{what}: the weights do not fit the network: {problems}")
    check_kinds(expected, weights, what)
    network.load_state_dict(dict(weights), strict=True)


def check_kinds(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], what: str) -> None:
    """Raises CheckpointError where integers, truth values or complex numbers stand for reals, or the reverse.

    Of reals any precision is taken, and converted to the network's.
    """
    wrong = [
        f"{name} is {found[name].dtype}, expected {value.dtype}"
        for name, value in expected.items()
        if found[name].is_floating_point() != value.is_floating_point() or found[name].is_complex()
    ]
    if wrong:
        raise CheckpointError(f"{what}: {len(wrong)} tensors of another kind: {_some(wrong)}")


def describe_difference(expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    """What is missing, unexpected or of another shape, in words; "" if nothing is."""
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    reshaped = [
        f"{name} is {list(found[name])}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    parts = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
    return "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in parts if names)


def _some(names: list[str], limit: int = 6) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _parse_info(path: Path, header: str) -> CheckpointInfo:
    try:
        stored = json.loads(header)
        version = int(stored["version"])
        kinds = {f.name: type(getattr(EXAMPLE, f.name)) for f in fields(CheckpointInfo)}
        known = {name: value for name, value in stored.items() if name in kinds}
        wrong = [name for name, value in known.items() if not isinstance(value, kinds[name])]
        if wrong or "network" not in known:
            raise ValueError(f"wrong or missing: {', '.join(wrong) or 'network'}")
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"{path}: the header of this checkpoint is broken ({error!r})") from None
    if version > VERSION:
        raise CheckpointError(
            f"{path}: checkpoint version {version}, this software reads up to {VERSION}: update relpose_ros"
        )
    return CheckpointInfo(**known)
