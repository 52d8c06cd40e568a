"""Format "places": places.json with explicit lists, made by `relpose prepare places`, and its images.

{"version": 1, "name": "office", "images": "images",
 "splits": {"train": {"queries": [{"file": "a/0.jpg", "place": 0, "x": 1.0, "y": 2.0}, ...],
                      "gallery": [...], "positives": [[gallery index, ...], ...], "near": [[...], ...]},
            "val": ..., "test": ...},
 "dropped": {"test": 3}, "made": {...}}

`images`: below the folder of the file, or absolute. x, y in metres or null; several sources in one set have
frames of their own, so positions say nothing across them. `near`: all that are no negatives, positives too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.splits import (
    EMPTY,
    SPLITS,
    Indices,
    PlaceDataset,
    PlaceSplit,
    matched_dataset,
)
from relpose_ros.datasets.text_files import read_text, require_folder, safe_name
from relpose_ros.errors import DatasetError

FILE, VERSION = "places.json", 1


def read_places(folder: Path) -> PlaceDataset:
    """The set of `folder`/places.json. Raises DatasetError for anything that is not as described above."""
    path = folder / FILE
    content = _content(path)
    listed = _get(content, "splits", dict, str(path))
    unknown = [name for name in listed if name not in SPLITS]
    if unknown:
        raise DatasetError(f"{path}: expected splits of {', '.join(SPLITS)}, got {unknown[0]!r}")
    splits = {name: split_from_json(value, f"{path}: {name}") for name, value in listed.items()}
    images = folder / _get(content, "images", str, str(path))
    require_folder(images, f"the images of {path.name}")
    dataset = matched_dataset(_get(content, "name", str, str(path)), images, splits)
    dropped = dict(_get(content, "dropped", dict, str(path), {}))
    for name, count in dropped.items():
        if name not in SPLITS or type(count) is not int or count < 0:
            raise DatasetError(f"{path}: dropped: expected counts by split, got {name!r}: {count!r}")
        dropped[name] = count + dataset.dropped.get(name, 0)
    return PlaceDataset(
        dataset.name, images, dataset.train, dataset.val, dataset.test, {**dataset.dropped, **dropped}
    )


def write_places(dataset: PlaceDataset, folder: Path, made: Mapping[str, Any]) -> Path:
    """Write places.json when it is whole; `made` says of what and how (strict JSON)."""
    images = dataset.images
    content = {
        "version": VERSION,
        "name": dataset.name,
        "images": str(images.relative_to(folder) if images.is_relative_to(folder) else images.resolve()),
        "dropped": dict(dataset.dropped),
        "made": dict(made),
        "splits": {name: split_as_json(getattr(dataset, name)) for name in SPLITS},
    }
    path, part = folder / FILE, folder / f".{FILE}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def split_as_json(split: PlaceSplit) -> dict[str, Any]:
    """One split as it stands in the file."""
    return {
        "queries": [_image_as_json(image) for image in split.queries],
        "gallery": [_image_as_json(image) for image in split.gallery],
        "positives": [found.tolist() for found in split.positives],
        "near": [found.tolist() for found in split.near],
    }


def _image_as_json(image: PlaceImage) -> dict[str, Any]:
    x, y = (value if math.isfinite(value) else None for value in (image.x, image.y))
    return {"file": image.file, "place": image.place, "x": x, "y": y}


def _content(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{path}: not a whole JSON file ({error}); prepare the set again") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        came = content.get("version") if isinstance(content, dict) else type(content).__name__
        raise DatasetError(f"{path}: expected a set of places, version {VERSION}, got {came!r}")
    return content


def _get(content: Any, name: str, kind: type, origin: str, default: Any = None) -> Any:
    value = content.get(name, default) if isinstance(content, dict) else None
    if not isinstance(value, kind):
        raise DatasetError(f"{origin}: expected {name!r} to be a {kind.__name__}, got {str(value)[:60]!r}")
    return value


def split_from_json(content: Any, origin: str) -> PlaceSplit:
    """One split out of the file. Raises DatasetError, naming `origin`, for anything else."""
    queries, gallery = (
        tuple(_image(image, f"{origin}, {side}") for image in _get(content, side, list, origin))
        for side in ("queries", "gallery")
    )
    if not queries and not gallery:
        return EMPTY
    for side, images in (("queries", queries), ("gallery", gallery)):
        if len({image.file for image in images}) < len(images):
            raise DatasetError(f"{origin}: an image is listed twice in {side}; expected each once")
    positives, near = (
        tuple(
            _indices(found, len(gallery), f"{origin}, {side}") for found in _get(content, side, list, origin)
        )
        for side in ("positives", "near")
    )
    if not len(positives) == len(near) == len(queries):
        raise DatasetError(
            f"{origin}: expected positives and near for each of {len(queries)} queries, got {len(positives)} "
            f"and {len(near)}"
        )
    near = tuple(np.union1d(found, right) for found, right in zip(near, positives, strict=True))
    return PlaceSplit(queries, gallery, positives, near)


def _image(content: Any, origin: str) -> PlaceImage:
    file = safe_name(_get(content, "file", str, origin), origin)
    place = _get(content, "place", int, f"{origin}: {file}")
    x, y = (_position(content.get(axis), f"{origin}: {file}: {axis}") for axis in "xy")
    return PlaceImage(file, int(place), x, y)


def _position(value: Any, origin: str) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DatasetError(f"{origin}: expected metres or null, got {str(value)[:40]!r}")
    return float(value)


def _indices(values: Any, count: int, origin: str) -> Indices:
    if not isinstance(values, list) or not all(type(v) is int and 0 <= v < count for v in values):
        raise DatasetError(
            f"{origin}: expected numbers of gallery images, 0 to {count - 1}, got {str(values)[:60]!r}"
        )
    return np.unique(np.array(values, np.int64))
