"""Predictions as RelPoseGNN's authors publish them, one file a scene, and their protocol of scoring.

`<weights>_<scene>__<median metres>_<median degrees>.npz` holds `rel_path` (N,), `abs_t` (N, 3) and `abs_q`
(N, 4; w first) of what was predicted, `targ_t` and `targ_q` of what is true. In theirs, `rel_path`
is an array of pickled paths; it is read without unpickling.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.evaluation.files import write_bytes
from relpose_ros.evaluation.metrics import median
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.pickled_arrays import parse_npy

Array = NDArray[np.float64]

ENDING = ".npz"
_COLUMNS = {"abs_t": 3, "abs_q": 4, "targ_t": 3, "targ_q": 4}
_MEDIANS = re.compile(r"__(\d+\.\d+_\d+\.\d+)$")
_BROKEN = (OSError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Predictions:
    """`found` and `true` poses (N,) of the images `names`; not finite where there is none.

    They are map_from_camera, or with `extrinsic` camera_from_map, as the authors have them on Cambridge
    Landmarks. `named`: the medians that the file's name says, "" where it says none.
    """

    label: str
    names: tuple[str, ...]
    found: Rigid
    true: Rigid
    extrinsic: bool = False
    named: str = ""

    def errors(self) -> tuple[Array, Array]:
        """Metres and degrees (N,) as published: distance of the stored translations, on Cambridge too."""
        return _errors(self.found, self.true)

    def centre_errors(self) -> tuple[Array, Array]:
        """Metres and degrees (N,) of the camera: where it is, and how it is turned."""
        if not self.extrinsic:
            return self.errors()
        return _errors(self.found.inverse(), self.true.inverse())

    @property
    def medians(self) -> str:
        """Of `errors`, as a file's name has them: 0.44_26.6."""
        far, turned = self.errors()
        return f"{median(far):.2f}_{median(turned):.1f}"

    @property
    def file_name(self) -> str:
        """What the authors' program would call the file."""
        return f"{re.sub(r'[^A-Za-z0-9._+-]', '-', self.label)}__{self.medians}{ENDING}"


def _errors(found: Rigid, true: Rigid) -> tuple[Array, Array]:
    far, turned = found.distance_to(true)
    known = np.isfinite(far) & np.isfinite(turned)
    return np.where(known, far, np.inf), np.where(known, np.degrees(turned), np.inf)


def write_predictions(folder: Path, predictions: Predictions) -> Path:
    """Write the file, named as theirs; its `rel_path` is plain text, so that no reader has to unpickle."""
    arrays: dict[str, Any] = {"rel_path": np.array(predictions.names, str)}
    for name, poses in (("abs", predictions.found), ("targ", predictions.true)):
        arrays |= {f"{name}_t": poses.translation, f"{name}_q": poses.rotation_xyzw[:, [3, 0, 1, 2]]}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return write_bytes(folder / predictions.file_name, buffer.getvalue())


def read_predictions(path: str | Path, extrinsic: bool = False) -> Predictions:
    """The predictions in a file, its label that of the file's name.

    Raises DatasetError for a file that is none, is damaged, or holds anything but numbers and names; nothing
    of it is ever executed.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            stored = {name: _member(archive, name, path) for name in ("rel_path", *_COLUMNS)}
    except _BROKEN as error:
        raise DatasetError(
            f"{path}: expected predictions as RelPoseGNN's authors publish them (.npz with rel_path, "
            f"{', '.join(_COLUMNS)}), cannot read it: {error}"
        ) from None
    names = _names(path, stored.pop("rel_path"))
    columns = {name: _numbers(path, name, values, len(names)) for name, values in stored.items()}
    named = _MEDIANS.search(path.stem)
    return Predictions(
        path.stem[: named.start()] if named else path.stem,
        names,
        _poses(path, columns["abs_t"], columns["abs_q"]),
        _poses(path, columns["targ_t"], columns["targ_q"]),
        extrinsic,
        named.group(1) if named else "",
    )


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> Any:
    with archive.open(f"{name}.npy") as member:
        return parse_npy(member, f"{path}:{name}")


def _names(path: Path, values: Any) -> tuple[str, ...]:
    names = values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else None
    if not names or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"{path}: rel_path: expected the names (N,) of images, one at least")
    return tuple(names)


def _numbers(path: Path, name: str, values: Any, count: int) -> Array:
    shape = (count, _COLUMNS[name])
    if not isinstance(values, np.ndarray) or values.shape != shape or values.dtype.kind != "f":
        got = f"{values.shape} {values.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise DatasetError(f"{path}: {name}: expected numbers {shape}, got {got}")
    return values.astype(float)


def _poses(path: Path, translation: Array, quaternion_wxyz: Array) -> Rigid:
    try:
        return Rigid.from_quaternion(quaternion_wxyz[:, [1, 2, 3, 0]], translation)
    except ValueError as error:
        raise DatasetError(f"{path}: rotations: {error}") from None
