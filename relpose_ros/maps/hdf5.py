"""Writing the HDF5 part of a map file, in a layout that `maps/table.py` can list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.maps.seal import SEAL_BYTES
from relpose_ros.maps.table import rows_per_block

PLAIN = ("references/global_descriptor", "graph/descriptor", "index/signature")
"""Datasets that are not deflated: single rows are read from the first two, the third is as good as random."""


def write_hdf5(path: Path, arrays: Mapping[str, NDArray[Any]], about: Mapping[str, Any]) -> None:
    """Datasets `arrays`, and texts and numbers `about/*`, behind room for the seal."""
    import h5py

    with h5py.File(path, "w", userblock_size=SEAL_BYTES) as file:
        for name, array in arrays.items():
            packing: dict[str, Any] = {}
            if array.nbytes > 512 and name not in PLAIN:
                rows = min(len(array), rows_per_block(array[:1].nbytes))
                packing = {"compression": "gzip", "shuffle": True, "chunks": (rows, *array.shape[1:])}
            file.create_dataset(name, data=array, **packing)
        # Long texts go into datasets: HDF5 attributes end at 64 kB. Of fixed length, to lie in one place.
        for name, value in about.items():
            file.create_dataset(f"about/{name}", data=fixed_text(value) if isinstance(value, str) else value)


def fixed_text(text: str) -> NDArray[np.bytes_]:
    """A text as HDF5 stores it at a place of its own."""
    import h5py

    content = text.encode()
    return np.array(content, h5py.string_dtype("utf-8", max(1, len(content))))


def plain_value(value: NDArray[Any]) -> Any:
    """What `about/*` holds: a text, or a number."""
    return value.item().decode() if value.dtype.kind == "S" else value.item()
