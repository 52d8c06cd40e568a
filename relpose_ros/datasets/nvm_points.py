"""The points of a VisualSFM model (.nvm) that each of its images sees: Cambridge Landmarks comes with one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.text_files import Row, read_text
from relpose_ros.errors import DatasetError

Array = NDArray[np.float64]

MEANING = "X Y Z R G B number [image feature x y]..."


def nvm_points(path: Path) -> dict[str, Array]:
    """Name of each image without its ending -> the points (M, 3) in the map that it sees.

    Without the ending, as the model was made of JPEGs and the data set has PNGs of the same names. Raises
    DatasetError for a file that is no NVM_V3 model, or is cut off.
    """
    lines = [(n, text) for n, text in enumerate(read_text(path).splitlines(), 1) if text.strip()]
    if not lines or not lines[0][1].startswith("NVM_V3"):
        raise DatasetError(f"{path}:1: expected an NVM_V3 file of VisualSFM")
    cameras, rest = _counted(path, lines[1:])
    names = [text.split()[0].replace("\\", "/").rsplit(".", 1)[0] for _, text in cameras]
    rows = [Row(f"{path}:{number}", text.split()) for number, text in _counted(path, rest)[0]]
    seen: list[list[int]] = [[] for _ in names]
    points = np.zeros((len(rows), 3))
    for k, row in enumerate(rows):
        images = _images(row)
        points[k] = row.numbers(0, 3)
        for image in images:
            if not 0 <= image < len(names):
                raise DatasetError(f"{row.place}: expected one of {len(names)} images, got number {image}")
            seen[image].append(k)
    return {name: points[np.unique(np.array(ids, np.int64))] for name, ids in zip(names, seen, strict=True)}


def _counted(path: Path, lines: list[tuple[int, str]]) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The lines that a number stands before, and those behind them."""
    if not lines or not lines[0][1].strip().isdigit():
        raise DatasetError(f"{path}: expected a number of cameras or points, got {lines[:1]}")
    count = int(lines[0][1])
    if len(lines) < count + 1:
        raise DatasetError(
            f"{path}: expected {count} lines behind line {lines[0][0]}, the file ends too early"
        )
    return lines[1 : count + 1], lines[count + 1 :]


def _images(row: Row) -> list[int]:
    """The numbers of the images that see a point."""
    try:
        count = int(row.fields[6])
        images = [int(field) for field in row.fields[7::4]]
    except (IndexError, ValueError):
        raise DatasetError(f"{row.place}: expected {MEANING}") from None
    row.expect(MEANING, 7 + 4 * count)
    return images
