"""Published weights, read once, become a checkpoint of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.checkpoints.format import CheckpointInfo, check_kinds, describe_difference, write_checkpoint
from relpose_ros.checkpoints.published_graphs import published_graph
from relpose_ros.checkpoints.publishers import Publisher, find_publisher
from relpose_ros.checkpoints.retrieval_network import retrieval_header
from relpose_ros.checkpoints.state_dicts import (
    MISFIT,
    empty_state,
    extract_state_dict,
    outline,
    recognise,
    shapes_of,
)
from relpose_ros.datasets.download import sha256_of
from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.networks.registry import find_architecture

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ImportOptions:
    """What the importer cannot see in the files."""

    network: str | None = None
    """Registered name; None: recognised by the tensors."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the network's constructor, as `{"compat": True}`."""
    licence: str | None = None
    origin: str | None = None
    data: str = "not stated"


def import_checkpoint(
    system: str, files: Sequence[str | Path], out: str | Path, options: ImportOptions | None = None
) -> CheckpointInfo:
    """Make a checkpoint `out` of published `files`; returns what it says of itself.

    Nothing in the files is executed. Raises ConfigurationError for an unknown system or network, and
    CheckpointError for files that are broken or unsafe, or whose tensors do not fit the network: it then
    says what is missing, unexpected, or of another shape or kind, and writes nothing.
    """
    options = options or ImportOptions()
    publisher, paths = find_publisher(system), [Path(file) for file in files]
    what = " + ".join(map(str, paths))
    state = _read_state(publisher, paths)
    network, parameters = _identify(publisher, paths[0].name, state, options, what)
    digests = ", ".join(f"{path.name} sha256:{sha256_of(path)}" for path in paths)
    info = CheckpointInfo(
        network=network,
        parameters=parameters,
        licence=options.licence or publisher.licence,
        origin=f"{options.origin or publisher.page}: {digests}",
        data=options.data,
        retrieval=retrieval_header(network, parameters),
        graph=published_graph(network),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_checkpoint(out, state, info)
    return info


def _read_state(publisher: Publisher, paths: Sequence[Path]) -> dict[str, Tensor]:
    """The state dict in the publisher's files under our names."""
    from relpose_ros.checkpoints.retrieval_parts import assemble

    if publisher.system != "retrieval" and len(paths) != 1:
        raise CheckpointError(f"weights of {publisher.name} are one file, got {len(paths)}")
    parts = [extract_state_dict(read_container(path), str(path), publisher.unused) for path in paths]
    try:
        parts = [publisher.translate(part) for part in parts]
        return assemble(parts) if publisher.system == "retrieval" else parts[0]
    except MISFIT as error:
        what = " + ".join(map(str, paths))
        raise CheckpointError(f"{what}: these are no weights of {publisher.name} ({error!r})") from None


def _identify(
    publisher: Publisher, file_name: str, state: Mapping[str, Tensor], options: ImportOptions, what: str
) -> tuple[str, dict[str, Any]]:
    """Which network the weights are of, and all its parameters."""
    shapes = shapes_of(state)
    name = options.network
    if name is not None and find_architecture(name).system != publisher.system:
        raise ConfigurationError(f"{name} is no network of {publisher.name}, whose are {publisher.system}.*")
    try:
        if name is None:
            name, told = recognise(shapes, publisher.system, publisher.hint(file_name))
        else:
            told, _ = outline(name, shapes, options.parameters)
    except MISFIT as error:
        raise CheckpointError(f"{what}: these are no weights of {name} ({error!r})") from None
    except CheckpointError as error:
        raise CheckpointError(f"{what}: {error}") from None
    parameters = {**told, **options.parameters}
    expected = empty_state(name, parameters)
    if problems := describe_difference(shapes_of(expected), shapes):
        raise CheckpointError(f"{what}: these are no weights of {name}: {problems}")
    check_kinds(expected, state, what)
    return name, parameters
