"""Arrays in files of other people: `torch.save` tensors and .npy, read without running what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError, DependencyError

Shape = tuple[int | None, ...]

LARGEST = 1 << 30
"""Bytes: no map of an image is larger."""


def read_array(path: Path, *shapes: Shape) -> NDArray[Any]:
    """A .npy array, or else a tensor of `torch.save`, of one of `shapes` (None: an axis of any length).

    Raises DatasetError for a file that is missing, too large, pickled, of another shape or not of numbers;
    DependencyError for a tensor without torch.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DatasetError(f"{path}: expected the labels of one image, got {path.stat().st_size} bytes")
        array = np.load(path, allow_pickle=False) if path.suffix == ".npy" else _tensor(path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot read this file ({error.strerror or error})") from error
    except (ValueError, EOFError, MemoryError) as error:
        raise DatasetError(f"{path}: expected an array of numbers: {_line(error)}") from error
    if not isinstance(array, np.ndarray) or not any(_fits(array.shape, shape) for shape in shapes):
        wanted = " or ".join("x".join("?" if n is None else str(n) for n in shape) for shape in shapes)
        came = array.shape if isinstance(array, np.ndarray) else type(array).__name__
        raise DatasetError(f"{path}: expected an array of {wanted}, got {came}")
    if array.dtype.kind not in "fiu":
        raise DatasetError(f"{path}: expected numbers, got {array.dtype}")
    return array


def _fits(came: tuple[int, ...], wanted: Shape) -> bool:
    same_axes = len(came) == len(wanted)
    return same_axes and all(m > 0 and n in (None, m) for n, m in zip(wanted, came, strict=True))


def _tensor(path: Path) -> NDArray[Any]:
    """A tensor of `torch.save`, as numpy."""
    try:
        import torch
    except ImportError as error:
        raise DependencyError(f"{path}: a tensor of torch.save, which torch reads; install torch") from error
    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"a {type(value).__name__} is in it, no tensor")
        return np.asarray(value.detach().numpy())
    except OSError:
        raise
    except Exception as error:  # torch raises what it likes for files that are none of its own
        raise DatasetError(f"{path}: expected a tensor of torch.save: {_line(error)}") from error


def _line(error: Exception) -> str:
    """The first sentence of an error."""
    return " ".join(str(error).split())[:160]
