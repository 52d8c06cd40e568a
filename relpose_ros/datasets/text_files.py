"""Tables in text files: rows with their line numbers, so that every complaint can name the place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid

T = TypeVar("T")

_LONGEST_NAME = 255
"""Of a file; the system raises for a longer one, instead of saying that there is none."""

QUATERNION_TOLERANCE = 0.05
"""How far from 1 the norm of a written quaternion may be; published files round to 3 or 4 digits."""


@dataclass(frozen=True)
class Row:
    """One line of a text table: `place` is `file:line`."""

    place: str
    fields: list[str]

    def expect(self, meaning: str, *counts: int) -> None:
        """Raises DatasetError unless the row has one of `counts` fields."""
        if len(self.fields) not in counts:
            wanted = " or ".join(str(c) for c in counts)
            raise DatasetError(
                f"{self.place}: expected {wanted} fields ({meaning}), got {len(self.fields)}: "
                f"{' '.join(self.fields)[:80]!r}"
            )

    def numbers(self, start: int = 0, end: int | None = None) -> list[float]:
        """Fields `start:end` as finite numbers; raises DatasetError otherwise."""
        texts = self.fields[start:end]
        try:
            values = [float(t) for t in texts]
        except ValueError:
            raise DatasetError(f"{self.place}: expected numbers, got {' '.join(texts)[:80]!r}") from None
        if not np.all(np.isfinite(values)):
            raise DatasetError(
                f"{self.place}: expected finite numbers, got {' '.join(texts)[:80]!r}; "
                "remove the line if the value is unknown"
            )
        return values

    def pose(self, translation: list[float], rotation_xyzw: list[float]) -> Rigid:
        """A transform from its numbers; raises DatasetError for a quaternion that is not one."""
        norm = float(np.linalg.norm(rotation_xyzw))
        if abs(norm - 1.0) > QUATERNION_TOLERANCE:
            raise DatasetError(
                f"{self.place}: expected a quaternion of norm 1, got {rotation_xyzw} of norm {norm:.3g}"
            )
        return Rigid.from_quaternion(rotation_xyzw, translation)


def read_text(path: Path) -> str:
    """A text file as a whole; raises DatasetError when it is missing or not text."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: expected a text file, got bytes that are not UTF-8") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot read this file ({error.strerror})") from error


def rows(path: Path, separator: str | None = None) -> Iterator[Row]:
    """The rows of a text table; blank lines and lines starting with # are left out."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield Row(f"{path}:{number}", [field.strip() for field in text.split(separator)])


def safe_name(name: str, place: str) -> str:
    """`name`, if it is a relative path that stays inside its folder; DatasetError otherwise."""
    path = PurePosixPath(name.replace("\\", "/"))
    escapes = path.is_absolute() or ".." in path.parts or "\0" in name
    if escapes or not path.parts or ":" in path.parts[0] or max(map(len, path.parts)) > _LONGEST_NAME:
        raise DatasetError(f"{place}: expected a name inside the dataset's folder, got {name!r}")
    return name


def add_unique(table: dict[str, T], name: str, value: T, place: str) -> None:
    """Put `value` under `name`; DatasetError if the name was there already."""
    if name in table:
        raise DatasetError(f"{place}: {name!r} is listed twice; remove one of the lines")
    table[name] = value


def require_folder(path: Path, meaning: str) -> Path:
    """`path`, if it is a folder; DatasetError saying that it should be `meaning` otherwise."""
    if not path.is_dir():
        state = "it is a file" if path.is_file() else "there is nothing"
        raise DatasetError(f"{path}: expected {meaning}, but {state}")
    return path
