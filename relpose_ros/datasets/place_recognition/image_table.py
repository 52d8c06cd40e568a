"""Images and where they were taken, as anybody can write it down: a CSV table.

file          image, relative to the table's folder (or to its folder images/)
x, y          metres in any flat frame
lat, lon      in place of x, y: degrees, WGS 84
place         what an image shows, by any name: images of one place are the same place, however far apart
split         train, val or test
role          query, gallery or both
heading       degrees, clockwise from north, where the camera looks

`file` and one of x and y, lat and lon, place have to be there; other columns are ignored. A column that is
there has a value in every row.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.text_files import add_unique, read_text, safe_name
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.geodetic import ecef_from_geodetic, ecef_from_ned

Array = NDArray[np.float64]

ROLES = ("query", "gallery", "both")
SPLITS = ("train", "val", "test")
COLUMNS = ("file", "x", "y", "lat", "lon", "place", "split", "role", "heading")


@dataclass(frozen=True)
class ImageTable:
    """N images: `files` below `folder`; `points` (N, 3), metres, whose distances are true also across the
    globe; `ground` (N, 2), metres, east and north of their middle, to draw. NaN where only places are known.
    `places`, `splits`, `roles` (N,), `headings` (N,) radians: empty where there is no such column."""

    folder: Path
    files: tuple[str, ...]
    points: Array
    ground: Array
    places: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    headings: Array | None = None


def read_image_table(path: Path) -> ImageTable:
    """Read a table; the images have to be there. Raises DatasetError naming file and line."""
    columns = _columns(path)
    lines = columns.pop("#")
    files = columns["file"]
    names: dict[str, str] = {}
    for name, line in zip(files, lines, strict=True):
        add_unique(names, safe_name(name, f"{path}:{line}"), name, f"{path}:{line}")
    folder = _folder(path, files)
    points, ground = _positions(path, columns, lines)
    for name, allowed in (("split", SPLITS), ("role", ROLES)):
        for value, line in zip(columns.get(name, ()), lines, strict=False):
            if value not in allowed:
                raise DatasetError(f"{path}:{line}: {name}: expected {', '.join(allowed)}, got {value!r}")
    headings = _numbers(path, columns, "heading", lines, 720.0) if "heading" in columns else None
    return ImageTable(
        folder,
        tuple(files),
        points,
        ground,
        tuple(columns.get("place", ())),
        tuple(columns.get("split", ())),
        tuple(columns.get("role", ())),
        None if headings is None else np.deg2rad(headings),
    )


def _columns(path: Path) -> dict[str, list[str]]:
    """The columns that we know, and "#", the lines they are from."""
    table = csv.reader(io.StringIO(read_text(path)))
    columns: dict[str, list[str]] = {}
    try:
        header = [word.strip().lower() for word in next(table, [])]
        _check_header(path, header)
        columns = {name: [] for name in ("#", *header) if name in ("#", *COLUMNS)}
        for row in filter(None, table):
            place = f"{path}:{table.line_num}"
            if len(row) != len(header):
                raise DatasetError(f"{place}: expected {len(header)} fields as in the header, got {len(row)}")
            columns["#"].append(str(table.line_num))
            for name, value in zip(header, row, strict=True):
                if name in columns:
                    if not value.strip():
                        raise DatasetError(f"{place}: {name} is empty; fill it in or leave the row out")
                    columns[name].append(value.strip())
    except csv.Error as error:
        raise DatasetError(f"{path}:{table.line_num}: not a CSV table ({error})") from error
    if not columns["#"]:
        raise DatasetError(f"{path}: expected at least one image, got none")
    return columns


def _check_header(path: Path, header: list[str]) -> None:
    known = {"x", "y"} <= {*header}, {"lat", "lon"} <= {*header}, "place" in header
    if "file" not in header or not any(known) or known[:2] == (True, True):
        raise DatasetError(
            f"{path}: expected a header with file and either x,y or lat,lon (or place), and at will place, "
            f"split, role, heading; got {','.join(header)[:100]!r}"
        )
    twice = [name for name in header if name in COLUMNS and header.count(name) > 1]
    if twice:
        raise DatasetError(f"{path}: two columns are called {twice[0]!r}")


def _folder(path: Path, files: list[str]) -> Path:
    """Beside the table, or in images/ beside it: where the first image is."""
    folders = path.parent, path.parent / "images"
    folder = next((folder for folder in folders if (folder / files[0]).is_file()), folders[0])
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise DatasetError(
            f"{path}: {len(missing)} of {len(files)} images are not in {folder}: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}"
        )
    return folder


def _positions(path: Path, columns: dict[str, list[str]], lines: list[str]) -> tuple[Array, Array]:
    """Points (N, 3) and their ground (N, 2).

    Latitude and longitude: Earth-centred points on the ellipsoid (EPSG Guidance Note 7-2, 4.1.1), whose
    chords are distances; for the ground they are turned into east, north, up at their middle (4.1.2).
    """
    if "x" in columns and "y" in columns:
        ground = np.stack([_numbers(path, columns, axis, lines, 1e9) for axis in "xy"], axis=1)
        return np.concatenate([ground, np.zeros((len(ground), 1))], axis=1), ground
    if not {"lat", "lon"} <= columns.keys():
        unknown = np.full((len(columns["file"]), 3), np.nan)
        return unknown, unknown[:, :2]
    latitude = _numbers(path, columns, "lat", lines, 90.0)
    longitude = _numbers(path, columns, "lon", lines, 360.0)
    points = np.stack(
        [ecef_from_geodetic(*at, 0.0) for at in zip(longitude.tolist(), latitude.tolist(), strict=True)]
    )
    middle = float(np.median(longitude)), float(np.median(latitude))
    local = (points - ecef_from_geodetic(*middle, 0.0)) @ ecef_from_ned(*middle)
    return points, np.ascontiguousarray(local[:, [1, 0]])


def _numbers(path: Path, columns: dict[str, list[str]], name: str, lines: list[str], limit: float) -> Array:
    values = []
    for text, line in zip(columns[name], lines, strict=True):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not abs(value) <= limit:
            raise DatasetError(
                f"{path}:{line}: {name}: expected a number from {-limit:g} to {limit:g}, got {text!r}"
            )
        values.append(value)
    return np.array(values, np.float64)
