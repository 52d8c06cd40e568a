"""Map files of schema version 1: one checksum over everything, no table; read whole, by HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.containers import is_own_array
from relpose_ros.maps.seal import check_version_1
from relpose_ros.maps.table import INFLATION

if TYPE_CHECKING:
    import h5py


def read_version_1(path: Path, handle: int) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """All datasets by name, and `about/*`. Raises MapError for a damaged file, KeyError for a foreign one."""
    import h5py

    check_version_1(path, handle)
    with h5py.File(path, "r") as file:
        if not isinstance(file.get("about", getlink=True), h5py.HardLink):
            raise KeyError("about")
        _refuse_bombs(path, file, [f"about/{name}" for name in file["about"]])
        about = {name: _plain(item[()]) for name, item in file["about"].items()}
        names = [name for name in _leaves(file) if not name.startswith("about/")]
        _refuse_bombs(path, file, names)
        return {name: np.asarray(file[name]) for name in names}, about


def _refuse_bombs(path: Path, file: h5py.File, names: list[str]) -> None:
    """Raise ValueError for data sets that lie in other files, or claim more than such a file holds."""
    for name in names:
        if not is_own_array(file, name):
            raise ValueError(f"{name} leads out of the file")
    claimed, size = sum(file[name].nbytes for name in names), path.stat().st_size
    if claimed > INFLATION * size:
        raise ValueError(f"{claimed} bytes claimed by a file of {size}")


def _leaves(file: h5py.File) -> list[str]:
    import h5py

    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value.item()
