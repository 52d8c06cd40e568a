"""Files of weights that others published: read as data, never executed."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

SAFETENSORS = {".safetensors"}
HDF5 = {".h5", ".hdf5"}
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)
"""What torch raises for files that are cut off or were never a checkpoint."""


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

    try:
        with h5py.File(path, "r") as file:
            # A soft or external link would lead out of the file.
            own = [name for name in file if isinstance(file.get(name, getlink=True), h5py.HardLink)]
            arrays = {name: file[name][()] for name in own if isinstance(file[name], h5py.Dataset)}
    except OSError as error:
        raise CheckpointError(f"{path}: expected an HDF5 file, but it cannot be read ({error})") from None
    numeric = {n: np.asarray(a) for n, a in arrays.items() if np.asarray(a).dtype.kind in "fiu"}
    if not numeric:
        raise CheckpointError(
            f"{path}: expected arrays of numbers at the top of the file, found {list(arrays)}"
        )
    return {name: torch.from_numpy(value.copy()) for name, value in numeric.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except SafetensorError as error:
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
