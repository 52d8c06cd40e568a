"""Global descriptors of references: by the map's VLAD, or by what looked at their images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from relpose_ros.errors import MapError
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.landmarks import Reference
from relpose_ros.retrieval.describer import DescriberIdentity, Floats
from relpose_ros.retrieval.vlad import Vlad


def learned_rows(references: Sequence[Reference], describer: DescriberIdentity) -> Floats:
    """The descriptors (R, G) that the references bring along. Raises MapError where one brings none."""
    rows = [r.descriptor for r in references if r.descriptor is not None]
    if len(rows) != len(references) or any(row.shape != (describer.dimension,) for row in rows):
        raise MapError(
            f"expected a descriptor of {describer.dimension} values by {describer} of every reference"
        )
    return np.stack(rows)


def vlad_rows(
    references: Sequence[Reference], kept: Vlad | None, clusters: int, dimension: int, seed: int
) -> tuple[Vlad, Floats]:
    """A VLAD and the references' descriptors (R, G): `kept` with what it said of them, or a new one."""
    if kept is None:
        vlad = Vlad.train([r.features.descriptors for r in references], clusters, dimension, seed)
        return vlad, np.stack([vlad.encode(r.features.descriptors) for r in references])
    known = [
        r.descriptor if r.descriptor is not None else kept.encode(r.features.descriptors) for r in references
    ]
    return kept, np.stack(known)


def common_describer(maps: Sequence[Map]) -> DescriberIdentity | None:
    """Who described the references of all these maps; None where all have VLADs of their own.

    Raises MapError where two of them cannot be compared.
    """
    first, *others = maps
    for other in others:
        ours, theirs = first.described_by, other.described_by
        if ours.kind == theirs.kind == "vlad" or ours.digest == theirs.digest:
            continue
        learned, by = (first, ours) if ours.is_learned else (other, theirs)
        raise MapError(
            f"the global descriptors of {first.path} were made by {ours}, those of {other.path} by {theirs}: "
            f"they cannot be compared; build the other map anew as {learned.path} was, "
            f"`relpose map build SOURCE --retrieval {by.name} --out MAP`"
        )
    return first.describer
