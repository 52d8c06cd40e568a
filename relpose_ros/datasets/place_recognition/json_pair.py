"""A place table as OpenIBL keeps it: meta.json (images and positions) and splits.json (who belongs where).

This is also how a dataset of one's own is given: see docs/networks/retrieval.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relpose_ros.datasets.place_recognition.places import SUBSETS, Place, PlaceTable
from relpose_ros.datasets.text_files import read_text, safe_name
from relpose_ros.errors import DatasetError


def as_json(table: PlaceTable) -> tuple[dict[str, Any], dict[str, Any]]:
    """The contents of meta.json and splits.json."""
    meta = {
        "name": table.name,
        "identities": [list(place.images) for place in table.places],
        "utm": [[place.x, place.y] for place in table.places],
    }
    return meta, {subset: sorted(table.subsets[subset]) for subset in SUBSETS}


def from_json(meta: Any, splits: Any, origin: str) -> PlaceTable:
    """The table of such contents. Raises DatasetError, naming `origin`, for anything else."""
    identities, utm = (_list_of(meta, name, origin) for name in ("identities", "utm"))
    if len(identities) != len(utm):
        raise DatasetError(
            f"{origin}: expected one position for each place, got {len(identities)} places and {len(utm)} "
            "positions"
        )
    places = tuple(
        _place(images, position, f"{origin}: place {number}")
        for number, (images, position) in enumerate(zip(identities, utm, strict=True))
    )
    name = meta.get("name", "")
    subsets = {subset: _numbers(splits, subset, len(places), origin) for subset in SUBSETS}
    return PlaceTable(name if isinstance(name, str) else "", places, subsets)


def read_json_pair(meta: Path, splits: Path) -> PlaceTable:
    """Read both files. Raises DatasetError."""
    return from_json(_read(meta), _read(splits), f"{meta}, {splits.name}")


def write_json_pair(table: PlaceTable, meta: Path, splits: Path) -> None:
    """Write both files, each when it is whole."""
    for path, content in zip((meta, splits), as_json(table), strict=True):
        partial = path.with_name(f".{path.name}.part")
        try:
            partial.write_text(json.dumps(content), encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _read(path: Path) -> Any:
    try:
        return json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{path}: not a whole JSON file ({error})") from error


def _list_of(content: Any, name: str, origin: str) -> list[Any]:
    value = content.get(name) if isinstance(content, Mapping) else None
    if not isinstance(value, list):
        raise DatasetError(f"{origin}: expected a list {name!r}, there is none")
    return value


def _place(images: Any, position: Any, origin: str) -> Place:
    if not isinstance(images, list) or not images or not all(isinstance(file, str) for file in images):
        raise DatasetError(f"{origin}: expected a list of image files, got {str(images)[:80]}")
    numbers = isinstance(position, list) and len(position) == 2 and all(_is_number(v) for v in position)
    if not numbers:
        raise DatasetError(f"{origin}: expected a position [x, y] in metres, got {str(position)[:80]}")
    return Place(tuple(safe_name(file, origin) for file in images), float(position[0]), float(position[1]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _numbers(splits: Any, subset: str, count: int, origin: str) -> tuple[int, ...]:
    listed = _list_of(splits, subset, origin)
    for number in listed:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < count:
            raise DatasetError(
                f"{origin}: expected numbers of places in {subset!r}, from 0 to {count - 1}, got {number!r}"
            )
    if len(set(listed)) < len(listed):
        twice = next(number for number in listed if listed.count(number) > 1)
        raise DatasetError(f"{origin}: place {twice} is listed twice in {subset!r}; expected each once")
    return tuple(listed)
