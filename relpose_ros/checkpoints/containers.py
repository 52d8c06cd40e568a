"""Files of weights that others published: read as data, never executed."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS = {".safetensors"}
HDF5 = {".h5", ".hdf5"}
UNREADABLE = (
    OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError,
    AssertionError, MemoryError, struct.error, zipfile.BadZipFile,
)  # fmt: skip
"""What readers raise for files that are cut off, damaged, or were never what their name says."""
INFLATION = 50
"""An HDF5 array may be so many times as large as its file: weights hardly compress, bombs do."""


def read_container(path: str | Path) -> Any:
    """What a file of weights holds: tensors in nested dicts, as its publisher arranged them.

    `.safetensors` and HDF5 are known by their ending, everything else is taken for a torch file. Raises
    CheckpointError for a file that is missing, broken, truncated, or that could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a file of weights, found none")
    if path.suffix in SAFETENSORS:
        return _read_safetensors(path)
    if path.suffix in HDF5:
        return read_hdf5(path)
    return read_torch(path)


def read_torch(path: str | Path) -> Any:
    """A file of `torch.save`, of any version of torch, on the CPU.

    Tensors, containers, numbers, strings and NumPy arrays are allowed (upstream checkpoints hold NumPy
    scalars); a pickle that names anything else is refused before any of it is built. Raises CheckpointError.
    """
    import torch

    path = Path(path)
    try:
        _refuse_zip_bomb(path)
        with torch.serialization.safe_globals(_numpy_globals()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(_explain_refusal(path, str(error))) from None
    except UNREADABLE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0]
        raise CheckpointError(
            f"{path}: expected a torch checkpoint, cannot read it ({reason}); is it whole? Fetch it again"
        ) from None


def read_hdf5(path: str | Path) -> dict[str, Tensor]:
    """The arrays at the top of an HDF5 file (cluster centres, PCA) as tensors. Raises CheckpointError."""
    import h5py
    import numpy as np
    import torch

    path = Path(path)
    try:
        with h5py.File(path, "r") as file:
            own = [name for name in file if is_own_array(file, name)]
            if any(file[name].nbytes > INFLATION * path.stat().st_size for name in own):
                raise CheckpointError(
                    f"{path}: refused: an array in it is more than {INFLATION} times as large as the file"
                )
            arrays = {name: file[name][()] for name in own}
    except UNREADABLE as error:
        raise CheckpointError(f"{path}: expected an HDF5 file, but it cannot be read ({error})") from None
    native = {n: np.asarray(a).astype(np.asarray(a).dtype.newbyteorder("=")) for n, a in arrays.items()}
    numeric = {n: a for n, a in native.items() if a.dtype.kind in "fiu" and a.dtype.itemsize <= 8}
    if not numeric:
        raise CheckpointError(
            f"{path}: expected arrays of numbers at the top of the file, found {list(arrays)}"
        )
    return {name: torch.from_numpy(value) for name, value in numeric.items()}


def is_own_array(file: Any, name: str) -> bool:
    """Whether `name` is an array whose numbers lie in the file itself: links, virtual and external data sets
    lead out of it, to whatever the user may read."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return False
    found = file[name]
    return isinstance(found, h5py.Dataset) and not found.external and not found.is_virtual


def _refuse_zip_bomb(path: Path) -> None:
    """Raises CheckpointError for an archive that holds more than its size: torch stores, and never packs."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = sum(entry.file_size for entry in archive.infolist())
        if inside > path.stat().st_size:
            raise CheckpointError(
                f"{path}: refused: {inside} bytes packed into {path.stat().st_size}, which torch does not do"
            )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, *UNREADABLE) as error:
        raise CheckpointError(
            f"{path}: expected a safetensors file, but it cannot be read ({error})"
        ) from None
    return tensors


def _numpy_globals() -> list[Any]:
    """What NumPy scalars and arrays of numbers are made of, under the names of old and new NumPy."""
    import codecs
    import importlib

    import numpy as np

    multiarray = importlib.import_module("numpy._core.multiarray")
    made_of = [multiarray.scalar, multiarray._reconstruct]
    names = [(f, f"numpy.{core}.multiarray.{f.__name__}") for f in made_of for core in ("core", "_core")]
    kinds = [type(np.dtype(kind)) for kind in "?bBhHiIlLqQefd"]
    return [*names, np.ndarray, np.dtype, *kinds, (codecs.encode, "_codecs.encode")]


def _explain_refusal(path: Path, error: str) -> str:
    """torch's refusal in the words of somebody who has to decide what to do."""
    culprit = re.search(r"(?:GLOBAL|Unsupported class) ([A-Za-z_][\w.]*)", error)
    if culprit:
        return (
            f"{path}: refused: the file wants to call {culprit[1]!r}, no weight, and could run code. "
            "Nothing in it was executed. Get the weights as a plain state dict or as .safetensors"
        )
    return (
        f"{path}: refused: expected a torch checkpoint of tensors, found something else"
        f"{_reason(error)}. Nothing in it was executed. Is it a file of weights, and whole?"
    )


def _reason(error: str) -> str:
    """What the unpickler itself stumbled over, where torch says so."""
    _, mark, rest = error.partition("WeightsUnpickler error:")
    return f" ({rest.strip().splitlines()[0][:120]})" if mark and rest.strip() else ""
