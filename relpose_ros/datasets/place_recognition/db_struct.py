"""The .mat files in which NetVLAD's authors publish image lists and positions (NetVLAD v1.00, dbStruct).

Arandjelovic et al., NetVLAD: CNN architecture for weakly supervised place recognition, CVPR 2016.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.text_files import safe_name
from relpose_ros.errors import DatasetError

FIELDS = ("dbImageFns", "utmDb", "qImageFns", "utmQ")
POSITIONS = {False: (1, 2, 3, 4), True: (1, 2, 4, 5)}
"""Where FIELDS stand if they are not named: files with time stamps (True) have one more after utmDb."""

TIME_STAMP_FIELDS = 12
"""Files with time stamps have at least so many fields, those without have 10."""

_PARSER_ERRORS = (ValueError, TypeError, LookupError, OSError, MemoryError, ArithmeticError, zlib.error)
"""What scipy raises when it stumbles over a damaged file."""

SOURCE = "ask NetVLAD's authors for it (https://www.di.ens.fr/willow/research/netvlad/)"


@dataclass(frozen=True)
class ImageList:
    """Files and UTM positions (N, 2), metres, of gallery and queries."""

    gallery: tuple[str, ...]
    gallery_utm: NDArray[np.float64]
    queries: tuple[str, ...]
    query_utm: NDArray[np.float64]


def read_db_struct(path: Path) -> ImageList:
    """Read one file; nothing in it is executed. Raises DatasetError if it is missing or not as published."""
    fields = _fields(path)
    gallery, gallery_utm, queries, query_utm = (fields[name] for name in FIELDS)
    files = _names(gallery, f"{path}: dbImageFns"), _names(queries, f"{path}: qImageFns")
    return ImageList(
        files[0],
        _positions(gallery_utm, len(files[0]), f"{path}: utmDb"),
        files[1],
        _positions(query_utm, len(files[1]), f"{path}: utmQ"),
    )


def _fields(path: Path) -> dict[str, NDArray[Any]]:
    struct = _load(path)
    names = struct.dtype.names
    if names is None or struct.size != 1:
        raise DatasetError(f"{path}: expected dbStruct to be one struct, got {struct.dtype} {struct.shape}")
    record = struct.reshape(-1)[0]
    values = [np.asarray(value) for value in record.item()]
    if set(FIELDS) <= set(names):
        return {name: values[names.index(name)] for name in FIELDS}
    places = POSITIONS[len(values) >= TIME_STAMP_FIELDS]
    if len(values) <= places[-1]:
        raise DatasetError(f"{path}: expected dbStruct with {', '.join(FIELDS)}, got {', '.join(names)}")
    return {name: values[place] for name, place in zip(FIELDS, places, strict=True)}


def _load(path: Path) -> NDArray[Any]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file; {SOURCE}")
    try:
        content = loadmat(str(path), variable_names=["dbStruct"])
    except NotImplementedError as error:
        raise DatasetError(f"{path}: expected a .mat file before version 7.3; save it again as v7") from error
    except (MatReadError, *_PARSER_ERRORS) as error:
        raise DatasetError(f"{path}: not a whole .mat file ({error}); copy it again") from error
    if "dbStruct" not in content:
        raise DatasetError(
            f"{path}: expected a variable dbStruct, there is none; is this the published file?"
        )
    return np.asarray(content["dbStruct"])


def _names(cells: NDArray[Any], place: str) -> tuple[str, ...]:
    out = []
    for cell in cells.ravel():
        text = np.asarray(cell)
        if text.size != 1 or text.dtype.kind != "U":
            raise DatasetError(f"{place}: expected one file name in each cell, got {cell!r}")
        out.append(safe_name(str(text.item()), place))
    return tuple(out)


def _positions(values: NDArray[Any], count: int, place: str) -> NDArray[np.float64]:
    if values.shape != (2, count) or values.dtype.kind not in "iuf":
        raise DatasetError(f"{place}: expected positions (2, {count}), got {values.dtype} {values.shape}")
    positions = np.ascontiguousarray(values.T, np.float64)
    if not np.all(np.isfinite(positions)):
        raise DatasetError(f"{place}: expected finite positions")
    return positions
