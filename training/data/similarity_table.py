"""The similarity of the views of a scene on disk: one HDF5 file, whole or not there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError

FORMAT = "relpose.similarity/1"
MATRICES = ("overlap", "distance", "metres", "degrees")


@dataclass(frozen=True)
class SimilarityTable:
    """Matrices (V, V) of V views, row by row in the order of `names`.

    `overlap`: share of what the row's view sees that the column's sees too, not symmetric. `distance`:
    symmetric, the smaller the more alike, whatever metric the `options` say. `metres` and `degrees` between
    the cameras. `simulated` (V,): its domain.
    """

    names: tuple[str, ...]
    simulated: NDArray[np.bool_]
    overlap: NDArray[np.float32]
    distance: NDArray[np.float32]
    metres: NDArray[np.float32]
    degrees: NDArray[np.float32]
    options: Mapping[str, Any]

    def check_names(self, names: Sequence[str], where: str) -> None:
        """Raises DatasetError if the table is not of these views, in this order."""
        if tuple(names) != self.names:
            raise DatasetError(
                f"the similarity table is of {len(self.names)} views ({self.names[0]}, ...), {where} has "
                f"{len(names)} ({', '.join(names[:1])}, ...): expected the same; make it again with "
                f"`relpose prepare similarity {where}`"
            )


def write_table(path: Path, table: SimilarityTable) -> Path:
    """Write a table to `path` (.h5), which appears when it is whole. Raises DatasetError for other names."""
    import h5py

    if path.suffix not in (".h5", ".hdf5"):
        raise DatasetError(f"{path}: expected a name that ends in .h5 for a similarity table")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        part = Path(folder) / path.name
        with h5py.File(part, "w") as file:
            file.attrs["format"] = FORMAT
            file.attrs["options"] = json.dumps(dict(table.options))
            file.create_dataset("names", data=list(table.names), dtype=h5py.string_dtype())
            file["simulated"] = table.simulated.astype(np.uint8)
            for name in MATRICES:
                file.create_dataset(name, data=getattr(table, name), compression="gzip", shuffle=True)
        os.replace(part, path)
    return path


def read_table(path: str | Path) -> SimilarityTable:
    """The table of a file. Raises DatasetError if it is missing, broken or something else."""
    import h5py

    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; `relpose prepare similarity` makes similarity tables")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise DatasetError(f"{path}: expected a similarity table ({FORMAT}), found something else")
            names = tuple(name.decode() for name in file["names"][()])
            simulated = file["simulated"][()].astype(bool)
            matrices = {name: np.asarray(file[name][()], np.float32) for name in MATRICES}
            options = json.loads(file.attrs["options"])
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: expected a similarity table, cannot read it: {error}") from None
    if any(m.shape != (len(names),) * 2 for m in matrices.values()) or len(simulated) != len(names):
        raise DatasetError(f"{path}: the matrices do not fit the {len(names)} names; make the table again")
    return SimilarityTable(names, simulated, options=options, **matrices)
