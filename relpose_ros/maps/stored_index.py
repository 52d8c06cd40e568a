"""The retrieval index in a map file: binary signatures, and which descriptors they are of."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.maps.blocks import BlockFile
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.rows import StoredRows
from relpose_ros.maps.table import blocks_checksum
from relpose_ros.retrieval.index import EXACT_LIMIT, DescriptorIndex
from relpose_ros.retrieval.signatures import Signatures

DESCRIPTORS = "references/global_descriptor"
"""The dataset that the signatures are of; stored plainly, so that a row can be read alone."""

KIND = "signs of projections"


def index_arrays(signatures: Signatures | None) -> dict[str, NDArray[Any]]:
    """Datasets that keep an index; none for an exact one."""
    if signatures is None:
        return {}
    return {
        "index/mean": signatures.mean,
        "index/planes": signatures.planes,
        "index/signature": np.ascontiguousarray(signatures.words.T),
    }


def index_about(signatures: Signatures | None, descriptors: NDArray[np.float16]) -> dict[str, str]:
    """Texts that go with `index_arrays`; `descriptors` (N, D) as they are stored."""
    if signatures is None:
        return {}
    of = _identity(descriptors.shape, blocks_checksum(descriptors))
    return {"index": json.dumps({"kind": KIND, "of": of})}


def stored_index(file: BlockFile, about: dict[str, Any], descriptors: Any) -> DescriptorIndex:
    """The index of a map file whose descriptors are `descriptors`, in the file or in memory.

    Signatures that are missing where there should be some, of other descriptors, of a kind that this software
    does not know, or that do not fit together are not used: new ones are made, and a warning says so. Damaged
    ones are a MapError.
    """
    stored = isinstance(descriptors, StoredRows)
    if len(descriptors) <= EXACT_LIMIT:
        return DescriptorIndex(descriptors, stored=stored)
    try:
        signatures = stored_signatures(file, about)
    except (KeyError, ValueError, TypeError) as error:
        logging.getLogger(__name__).warning(
            "%s: its retrieval index cannot be used (%s); making a new one of %d descriptors. "
            "Save the map again to keep it",
            file.path,
            error,
            len(descriptors),
        )
        signatures = None
    return DescriptorIndex(descriptors, stored=stored, signatures=signatures)


def stored_signatures(file: BlockFile, about: Mapping[str, Any]) -> Signatures:
    """The signatures in a file. Raises KeyError or ValueError where they are not those of its descriptors."""
    known = json.loads(about["index"])
    rows = file[DESCRIPTORS]
    if known["kind"] != KIND:
        raise ValueError(f"it is {known['kind']!r}, this software knows {KIND!r}")
    if known["of"] != _identity(rows.shape, file.table.checksums(DESCRIPTORS)):
        raise ValueError("it belongs to other descriptors")
    words = np.ascontiguousarray(file.read("index/signature").T)
    signatures = Signatures(file.read("index/mean"), file.read("index/planes"), words)
    signatures.check(rows.shape[0], rows.shape[1])
    return signatures


def _identity(shape: Sequence[int], checksums: Sequence[int]) -> str:
    """SHA-256 of the shape and the checksums of all blocks: known without reading the descriptors."""
    values = np.array([*shape, *checksums], "<i8")
    return hashlib.sha256(values.tobytes()).hexdigest()


def inherit_index(map_: Map, old: Map) -> None:
    """Give a map that was made of `old` and more references old's signatures with the new ones appended.

    Does nothing where there are none; where the old descriptors are not the first of the new map's,
    everything is built anew.
    """
    if len(map_) > EXACT_LIMIT and not old.retrieval_index.is_exact:
        vars(map_)["retrieval_index"] = old.retrieval_index.grown(map_.global_descriptors)
