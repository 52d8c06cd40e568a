"""What one comparison with a golden is, and the table of all of them."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

GOLDENS = Path(os.environ.get("RELPOSE_GOLDENS", Path(__file__).parents[3] / "shared" / "goldens"))


@dataclass(frozen=True)
class Deviation:
    """How far one quantity is from the original's: it passes when `largest <= tolerance`; NaN never does."""

    name: str
    largest: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return bool(self.largest <= self.tolerance)


@dataclass(frozen=True)
class Case:
    """One row of the table: the golden files it reads and the comparison it makes."""

    system: str
    what: str
    files: tuple[str, ...]
    check: Callable[[], Iterable[Deviation]]
    slow: bool = False
    """Whether `make test` leaves it to `make test-slow`; `make parity` runs it all the same."""


CASES: list[Case] = []


def golden(
    system: str, what: str, *files: str, slow: bool = False
) -> Callable[[Callable[[], Iterable[Deviation]]], Callable[[], Iterable[Deviation]]]:
    """Register a comparison with `files` of the folder goldens/`system`, described by `what`."""

    def register(check: Callable[[], Iterable[Deviation]]) -> Callable[[], Iterable[Deviation]]:
        CASES.append(Case(system, what, files, check, slow))
        return check

    return register


def path_of(system: str, file: str) -> Path:
    """Where a golden file is."""
    return GOLDENS / system / file


def load(system: str, file: str) -> dict[str, NDArray[Any]]:
    """All arrays of one golden .npz file. Nothing in it is executed."""
    with np.load(path_of(system, file), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def array(value: Any) -> NDArray[Any]:
    """A tensor or array-like as a NumPy array."""
    return np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def deviation(
    name: str, ours: ArrayLike | Any, reference: ArrayLike, tolerance: float, relative: bool = False
) -> Deviation:
    """The largest absolute difference; if `relative`, divided by the largest magnitude of the reference.

    Different shapes, or NaN in one of the two alone, deviate infinitely.
    """
    a, b = array(ours).astype(np.float64), array(reference).astype(np.float64)
    if a.shape != b.shape or not np.array_equal(np.isnan(a), np.isnan(b)):
        return Deviation(name, np.inf, tolerance)
    finite = ~np.isnan(b)
    equal = a[finite] == b[finite]  # infinities of the same sign
    with np.errstate(invalid="ignore"):
        difference = np.where(equal, 0.0, np.abs(a[finite] - b[finite]))
    largest = float(np.max(difference, initial=0.0))
    scale = float(np.max(np.abs(b[finite]), initial=0.0)) if relative else 1.0
    return Deviation(name, largest / max(scale, 1e-300), tolerance)


def norm_deviation(name: str, ours: ArrayLike | Any, reference: ArrayLike, tolerance: float) -> Deviation:
    """|ours - reference| / |reference|, Euclidean: for gradients."""
    a, b = array(ours).astype(np.float64), array(reference).astype(np.float64)
    if a.shape != b.shape:
        return Deviation(name, np.inf, tolerance)
    size = float(np.linalg.norm(b))
    return Deviation(name, float(np.linalg.norm(a - b)) / max(size, 1e-300), tolerance)


def exact(name: str, ours: Any, reference: Any) -> Deviation:
    """0 if both are equal as arrays or as Python objects, else infinite."""
    if isinstance(reference, np.ndarray):
        same = bool(np.array_equal(array(ours), reference))
    else:
        same = bool(ours == reference)
    return Deviation(name, 0.0 if same else np.inf, 0.0)


def all_cases() -> list[Case]:
    """Every registered case, by system."""
    from tools.parity import cases

    for module in sorted(m.name for m in pkgutil.iter_modules(cases.__path__)):
        importlib.import_module(f"tools.parity.cases.{module}")
    return sorted(CASES, key=lambda case: case.system)
