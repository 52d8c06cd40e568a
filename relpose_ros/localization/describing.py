"""The describer that a map takes: the one that made its global descriptors, and no other."""

from __future__ import annotations

from pathlib import Path

from relpose_ros.errors import CheckpointError, MapError
from relpose_ros.maps.bundle import Map
from relpose_ros.retrieval.describer import Describer, VladDescriber, open_describer


def describer_for(map_: Map, file: str | Path | None, given: Describer | None = None) -> Describer:
    """What describes images as the references of `map_` were described: `given`, what is in `file`, or VLAD.

    Raises MapError where the map needs a file and gets none, CheckpointError where it gets another one.
    """
    name = str(map_.path or map_.name)
    if map_.vlad is not None:
        if given is None and file is None:
            return VladDescriber(map_.vlad)
        if given is None or given.identity.is_learned:
            raise CheckpointError(
                f"{given.identity if given is not None else file}: the map {name} was made without weights "
                f"({map_.described_by}): leave it out, or build the map with it, "
                f"`relpose map build SOURCE --retrieval {file or 'FILE'} --out MAP`"
            )
        return given
    maker = map_.described_by
    if given is None and file is None:
        raise MapError(
            f"{name}: the global descriptors of this map were made by {maker}; give that file "
            f"(--retrieval {maker.name}; of a node: retrieval.checkpoint:={maker.name}), or build a map that "
            "needs none: `relpose map build SOURCE --out MAP`"
        )
    found = given if given is not None else open_describer(str(file))
    if found.identity.digest != maker.digest:
        raise CheckpointError(
            f"{file or found.identity}: is {found.identity}, but the map {name} was made with {maker}"
            f"{_difference(found, map_)}; give that one, or build the map anew: "
            f"`relpose map build SOURCE --retrieval {file or 'FILE'} --out MAP`"
        )
    return found


def _difference(found: Describer, map_: Map) -> str:
    """Where the weights are the same: what is not."""
    ours, theirs = found.identity, map_.described_by
    if ours.sha256 != theirs.sha256:
        return ""
    names = sorted(ours.settings.keys() | theirs.settings.keys())
    changed = [n for n in names if ours.settings.get(n) != theirs.settings.get(n)]
    told = (f"{n} {theirs.settings.get(n)}, not {ours.settings.get(n)}" for n in changed)
    return f" fed otherwise ({'; '.join(told)})"
