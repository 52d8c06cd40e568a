"""Reads the pickled arrays of published training dumps without unpickling them.

A pickle is a program for a machine that can call anything it can import. `pickle.Unpickler` with a
restricted `find_class` would stop that, but would still run NumPy's `_reconstruct` and `__setstate__`
on whatever state the file brings, which are not hardened against lies about types and sizes. So this is
another machine: `pickletools.genops` takes the program apart (it executes nothing), and the two dozen
opcodes that plain data and arrays need are carried out here. The few names that pickled arrays and paths
mention (`pickled_numpy.NAMES`) are recognised, never imported. Anything else ends in DatasetError.

Read: dict (keys str or int), list, tuple, str, bytes, int, float, bool, None, NumPy arrays and scalars of
numbers, paths of pathlib (as text with /), and arrays of objects of these; protocols 2 to 4, written by
Python 3. Not read: sets, classes, arrays of text, structures or dates, and a list or dict that is referred
to twice (or contains itself).
"""

from __future__ import annotations

import io
import pickletools
import tokenize
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from relpose_ros.errors import DatasetError
from relpose_training.data.pickled_numpy import (
    CALLS,
    NAMES,
    Name,
    RefusedError,
    Shell,
    Type,
    is_data,
    make_tuple,
)

MAX_BYTES = 1 << 30
"""Largest file that is read: the largest of a dump (4096 descriptors of 256) has 4 MiB."""


_BROKEN_NPY = (
    *(ValueError, TypeError, EOFError, SyntaxError, RecursionError, MemoryError),
    tokenize.TokenError,  # NumPy's parser of old headers
)


def read_pickled_npy(path: Path) -> Any:
    """The content of an .npy file of any kind; an array of one object (shape ()) as that object.

    Raises DatasetError when it is missing, too large, truncated, or holds anything but plain data; nothing
    of the file is ever executed.
    """
    try:
        with path.open("rb") as file:
            return parse_npy(file, str(path))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error}); expected an .npy file of the dump") from error


def parse_npy(file: IO[bytes], name: str) -> Any:
    """As `read_pickled_npy`, from an open file, such as a member of an .npz archive; `name` is for errors."""
    data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise DatasetError(f"{name}: larger than {MAX_BYTES >> 20} MiB; no file of a dump is")
    stream = io.BytesIO(data)
    try:
        shape, objects = _npy_header(stream)
        if not objects:
            stream.seek(0)
            return npy.read_array(stream, allow_pickle=False)
    except _BROKEN_NPY as error:
        raise DatasetError(f"{name}: not a whole .npy file ({error}); copy or download it again") from error
    value = parse_pickle(data[stream.tell() :], name)
    if not isinstance(value, np.ndarray) or value.shape != shape:
        raise DatasetError(f"{name}: expected an array of shape {shape} as its header says; it is damaged")
    return value.item() if shape == () else value


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool]:
    """Shape, and whether objects follow (as a pickle) rather than numbers."""
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format version {version} is unknown")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype.hasobject


def parse_pickle(data: bytes, name: str) -> Any:
    """The plain data or array in a pickle. Raises DatasetError for anything else; executes nothing."""
    machine = _Machine()
    position = 0
    try:
        for opcode, argument, place in pickletools.genops(data):
            position = place or 0
            if opcode.name == "STOP":
                return machine.result(data[position + 1 :])
            machine.carry_out(opcode.name, argument)
    except RefusedError as refusal:
        raise DatasetError(
            f"{name}: refused at byte {position}: {refusal}; expected plain arrays, numbers and text. "
            "Nothing of it was executed; do not open it with other software unless you trust its origin"
        ) from None
    except (ValueError, TypeError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise DatasetError(
            f"{name}: damaged at byte {position} ({error}); copy or download it again"
        ) from error
    raise DatasetError(f"{name}: ends without an end mark; copy or download it again")


@dataclass
class _Machine:
    """The stack (a mark starts a new one), and the memo of what later opcodes may refer to."""

    stack: list[Any] = field(default_factory=list)
    below: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def carry_out(self, name: str, argument: Any) -> None:
        """Do one opcode."""
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            self.stack.append(argument)
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise RefusedError(f"opcode {name}")

    def result(self, rest: bytes) -> Any:
        """What the whole program made."""
        if rest or self.below or len(self.stack) != 1:
            raise RefusedError("something is left over at the end")
        return self.pop_data()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        """The top, finished."""
        return _finished(self.stack.pop())

    def pop_data(self) -> Any:
        """The top, finished, if the caller may get it."""
        value = self.pop()
        if not is_data(value):
            raise RefusedError(f"a {type(value).__name__.lower()} as data")
        return value

    def pop_to_mark(self) -> list[Any]:
        """Everything since the last mark, finished."""
        if not self.below:
            raise RefusedError("an end without a beginning")
        items, self.stack = self.stack, self.below.pop()
        return [_finished(item) for item in items]

    def remember(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def recall(self, index: int) -> None:
        value = self.memo[index]
        # Whatever can still change could be put into itself.
        if isinstance(value, list | dict) or (isinstance(value, Shell) and value.array is None):
            raise RefusedError(f"a second reference to one {type(value).__name__.lower()}")
        self.stack.append(value)

    def mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list) or not all(map(is_data, items)):
            raise RefusedError("a list of what is no data")
        target.extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2 or not all(map(is_data, items)):
            raise RefusedError("a dictionary of what is no data")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | np.integer):
                raise RefusedError(f"a key of type {type(key).__name__}")
            target[key] = value

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or (module, name) not in NAMES:
            raise RefusedError(f"it asks for {module!r:.60}, {name!r:.60}")
        self.stack.append(Name(NAMES[module, name]))

    def stack_name(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        self.name(module, name)

    def call(self, _: Any) -> None:
        arguments, callee = self.pop(), self.pop()
        if not isinstance(callee, Name) or callee.name not in CALLS or not isinstance(arguments, tuple):
            raise RefusedError("a call of what is no known name")
        self.stack.append(CALLS[callee.name](arguments))

    def build(self, _: Any) -> None:
        state, target = self.pop(), self.stack[-1]
        if not isinstance(target, Type | Shell):
            raise RefusedError(f"a state for a {type(target).__name__}")
        target.build(state)


def _finished(value: Any) -> Any:
    if not isinstance(value, Shell):
        return value
    if value.array is None:
        raise RefusedError("an array without a state")
    return value.array


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = set(
    "BININT BININT1 BININT2 LONG1 LONG4 BINFLOAT SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "SHORT_BINBYTES BINBYTES BINBYTES8".split()
)
_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "TUPLE": lambda m, _: m.push(make_tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.push(make_tuple([m.pop()])),
    "TUPLE2": lambda m, _: m.push(make_tuple([m.pop() for _ in range(2)][::-1])),
    "TUPLE3": lambda m, _: m.push(make_tuple([m.pop() for _ in range(3)][::-1])),
    "APPEND": lambda m, _: m.extend([m.pop()]),
    "APPENDS": lambda m, _: m.extend(m.pop_to_mark()),
    "SETITEM": lambda m, _: m.update([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.update(m.pop_to_mark()),
    "MEMOIZE": lambda m, _: m.remember(None),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "GLOBAL": lambda m, argument: m.name(*argument.split(" ", 1)),
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.call,
    "BUILD": _Machine.build,
}
