"""The points of a COLMAP model that each of its images sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.colmap import ColmapBytes, find_model
from relpose_ros.datasets.text_files import read_text, rows
from relpose_ros.errors import DatasetError

Array = NDArray[np.float64]
Ids = NDArray[np.int64]

_LARGEST = np.iinfo(np.int64).max

SIGHTING = np.dtype([("x", "<f8"), ("y", "<f8"), ("point", "<i8")])


def colmap_points(path: Path) -> dict[str, Array]:
    """Name of each registered image -> the points (M, 3) in the map that it sees.

    `path` is a model, or a project folder that has one. Raises DatasetError for a broken model.
    """
    model = find_model(path)
    if model is None:
        raise DatasetError(f"{path}: expected a COLMAP model (cameras, images, points3D as .bin or .txt)")
    binary = (model / "images.bin").is_file()
    points = _binary_points(model / "points3D.bin") if binary else _text_points(model / "points3D.txt")
    seen = _binary_sightings(model / "images.bin") if binary else _text_sightings(model / "images.txt")
    return {name: _chosen(points, ids, f"{model}: image {name!r}") for name, ids in seen.items()}


def _chosen(points: tuple[Ids, Array], ids: Ids, place: str) -> Array:
    wanted = np.unique(ids[ids >= 0])
    if not np.isin(wanted, points[0]).all():
        raise DatasetError(f"{place} sees a point that points3D has not; copy the model again")
    return points[1][np.searchsorted(points[0], wanted)]


def _sorted(path: Path, ids: list[int], points: list[tuple[float, ...]]) -> tuple[Ids, Array]:
    placed = np.array(points, float).reshape(-1, 3)
    if not np.isfinite(placed).all() or not all(0 <= identity <= _LARGEST for identity in ids):
        raise DatasetError(f"{path}: expected finite points with numbers from 0 on; copy the model again")
    order = np.argsort(np.array(ids, np.int64))
    return np.array(ids, np.int64)[order], placed[order]


def _binary_points(path: Path) -> tuple[Ids, Array]:
    file = ColmapBytes(path)
    ids, points = [], []
    for _ in range(file.count(43)):
        identity, *point = file.take("Q3d")
        file.take("3Bd")
        file.skip(8 * file.count(8))
        ids.append(int(identity))
        points.append(tuple(point))
    return _sorted(path, ids, points)


def _binary_sightings(path: Path) -> dict[str, Ids]:
    file = ColmapBytes(path)
    seen = {}
    for _ in range(file.count(73)):
        file.take("I7dI")
        name, count = file.text(), file.count(24)
        start = file.at
        file.skip(24 * count)
        seen[name] = np.frombuffer(file.data, SIGHTING, count, start)["point"].astype(np.int64)
    return seen


def _text_points(path: Path) -> tuple[Ids, Array]:
    ids, points = [], []
    for row in rows(path):
        if len(row.fields) < 8:
            raise DatasetError(f"{row.place}: expected POINT3D_ID X Y Z R G B ERROR TRACK[]")
        ids.append(int(row.numbers(0, 1)[0]))
        points.append(tuple(row.numbers(1, 4)))
    return _sorted(path, ids, points)


def _text_sightings(path: Path) -> dict[str, Ids]:
    """Every second line: X Y POINT3D_ID of each keypoint of the image in the line before."""
    lines = [text for text in read_text(path).splitlines() if not text.startswith("#")]
    seen = {}
    for head, tail in zip(lines[::2], [*lines[1::2], ""], strict=False):
        if not head.strip():
            continue
        try:
            seen[" ".join(head.split()[9:])] = np.array(tail.split()[2::3], np.float64).astype(np.int64)
        except ValueError:
            raise DatasetError(f"{path}: expected X Y POINT3D_ID of keypoints, got {tail[:60]!r}") from None
    return seen
