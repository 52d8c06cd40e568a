"""The parts of a pickled NumPy array, put together from checked types, shapes and bytes (no NumPy hooks)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
NAMES = {
    **{(module, name): name for module in _MULTIARRAY for name in ("_reconstruct", "scalar")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
    **{(module, name): "path" for module in ("pathlib", "pathlib._local") for name in _PATHS},
}
"""(module, name) in a pickle -> what we do instead of importing it."""

_NUMBERS = re.compile(r"b1|[iu][1248]|f[248]")
_OBJECTS = ("O", "O4", "O8")


class RefusedError(Exception):
    """Something in the file that plain arrays do not need."""


@dataclass(frozen=True)
class Name:
    """One of the names that are known: a value of `NAMES`."""

    name: str


@dataclass
class Type:
    """A NumPy type under way: `<f8` is made of the code `f8` and, later, the byte order."""

    code: str
    order: str = "="

    @property
    def objects(self) -> bool:
        """Whether its arrays hold Python objects."""
        return self.code in _OBJECTS

    def build(self, state: Any) -> None:
        """(version, byte order, None, None, None, size, alignment, flags): no sub-types, no fields."""
        if not isinstance(state, tuple) or len(state) != 8 or state[1] not in ("<", ">", "|", "="):
            raise RefusedError("an unknown state of a type")
        if state[0] != 3 or state[2:5] != (None, None, None):
            raise RefusedError("a type with fields")
        self.order = state[1]


@dataclass
class Shell:
    """An array before (None) and after its state is known."""

    array: NDArray[Any] | None = None

    def build(self, state: Any) -> None:
        """(version, shape, type, column-major, bytes; or a list, for objects)."""
        if self.array is not None or not isinstance(state, tuple) or len(state) != 5:
            raise RefusedError("an unknown state of an array")
        version, shape, kind, columns_first, content = state
        known = version == 1 and isinstance(kind, Type) and isinstance(columns_first, bool)
        if not known or not isinstance(shape, tuple) or len(shape) > 8:
            raise RefusedError("an array of an unknown kind")
        if not all(type(n) is int and n >= 0 for n in shape):
            raise RefusedError("an array of an unknown shape")
        fill = _objects if kind.objects else _numbers
        self.array = fill(content, shape, kind, "F" if columns_first else "C")


class Arguments(tuple[Any, ...]):
    """A tuple that holds names or types: fit for a call or a state, not for data."""


def make_tuple(items: list[Any]) -> tuple[Any, ...]:
    """A tuple of data, or of `Arguments` as soon as anything in it is no data."""
    return tuple(items) if all(is_data(item) for item in items) else Arguments(items)


def is_data(value: Any) -> bool:
    """Whether a finished value may be in what the caller gets."""
    return not isinstance(value, Name | Type | Arguments)


def _numbers(data: Any, shape: tuple[int, ...], kind: Type, order: Any) -> NDArray[Any]:
    dtype = np.dtype(kind.order + kind.code)
    if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
        raise RefusedError(f"bytes that do not fill {shape} of {dtype}")
    if not data:
        return np.empty(shape, dtype)
    return np.array(np.frombuffer(data, dtype).reshape(shape, order=order), order=order)


def _objects(items: Any, shape: tuple[int, ...], _: Type, order: Any) -> NDArray[Any]:
    if not isinstance(items, list) or len(items) != math.prod(shape):
        raise RefusedError(f"objects that do not fill {shape}")
    array = np.empty(len(items), object)
    for i, item in enumerate(items):
        array[i] = item
    return array.reshape(shape, order=order)


def _make_shell(arguments: tuple[Any, ...]) -> Shell:
    """NumPy's _reconstruct(ndarray, (0,), b"b"): an array whose state follows."""
    if arguments != (Name("ndarray"), (0,), b"b"):
        raise RefusedError("an array of an unknown kind")
    return Shell()


def _make_type(arguments: tuple[Any, ...]) -> Type:
    """dtype(code, align, copy)."""
    code = arguments[0] if len(arguments) == 3 else None
    if not isinstance(code, str) or not (code in _OBJECTS or _NUMBERS.fullmatch(code)):
        raise RefusedError(f"values of type {code!r:.40}")
    return Type(code)


def _make_scalar(arguments: tuple[Any, ...]) -> Any:
    """scalar(dtype, bytes)."""
    kind, data = arguments
    if not isinstance(kind, Type) or kind.objects:
        raise RefusedError("a number of an unknown kind")
    return _numbers(data, (), kind, "C")[()]


def _make_bytes(arguments: tuple[Any, ...]) -> bytes:
    """encode(text, "latin1"): how protocol 2 writes bytes."""
    text, coding = arguments
    if not isinstance(text, str) or coding not in ("latin1", "latin-1"):
        raise RefusedError("bytes in an unknown coding")
    return text.encode("latin-1")


def _make_no_bytes(arguments: tuple[Any, ...]) -> bytes:
    """bytes(): how protocol 2 writes none."""
    if arguments:
        raise RefusedError("bytes of an unknown kind")
    return b""


def _make_path(arguments: tuple[Any, ...]) -> str:
    """PosixPath("a", "b"): as text, a/b."""
    if not all(isinstance(part, str) for part in arguments):
        raise RefusedError("a path of what is no text")
    return str(PurePosixPath(*arguments))


CALLS: dict[str, Callable[[tuple[Any, ...]], Any]] = {
    "_reconstruct": _make_shell,
    "dtype": _make_type,
    "scalar": _make_scalar,
    "encode": _make_bytes,
    "bytes": _make_no_bytes,
    "path": _make_path,
}
"""What we do for a call of a name (a value of `NAMES`) with its arguments."""
