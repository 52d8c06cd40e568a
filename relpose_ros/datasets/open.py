"""`open_source`: whatever a path holds, as one `Source`."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from relpose_ros.datasets.base import Source
from relpose_ros.errors import ConfigurationError, DatasetError


@dataclass(frozen=True)
class Format:
    """One layout on disk: the module that reads it has `recognises(path)` and the function `opener`."""

    module: str
    opener: str
    layout: str

    def recognises(self, path: Path) -> bool:
        """Whether `path` looks like this format (cheap: names of files only)."""
        return bool(self._module().recognises(path))

    def open_function(self) -> Callable[..., Source]:
        """The function that opens it: `(path, **options) -> Source`."""
        function: Callable[..., Source] = getattr(self._module(), self.opener)
        return function

    def _module(self) -> Any:
        return importlib.import_module(f"relpose_ros.datasets.{self.module}")


FORMATS: dict[str, Format] = {
    "rosbag": Format("rosbag", "open_rosbag", "a rosbag2 directory (metadata.yaml), a .mcap or a .db3 file"),
    "folder": Format("posed_folder", "open_posed_folder", "images/ and poses.txt (docs/datasets.md)"),
    "colmap": Format(
        "colmap", "open_colmap", "cameras and images (.bin or .txt) here or in sparse/0, images beside"
    ),
    "7scenes": Format("seven_scenes", "open_seven_scenes", "seq-XX/ with TrainSplit.txt and TestSplit.txt"),
    "12scenes": Format("twelve_scenes", "open_twelve_scenes", "info.txt, split.txt and data/"),
    "cambridge": Format(
        "cambridge", "open_cambridge", "dataset_train.txt, dataset_test.txt, reconstruction.nvm"
    ),
    "tum": Format("tum", "open_tum", "rgb.txt and groundtruth.txt"),
    "dsacstar": Format(
        "dsacstar",
        "open_dsacstar",
        "train/ and test/ with rgb/, poses/, calibration/ (DSAC*'s set-up scripts)",
    ),
    "crossloc": Format(
        "crossloc", "open_crossloc", "train_sim/, val_drone_real/, ... with rgb/, poses/, calibration/"
    ),
    "lhs_sim": Format("lhs_sim", "open_lhs_sim", "*_img.png, *_pc.npy and *_poses.npy (EPFL, comballaz)"),
}
"""Format name -> how to open it, in the order in which they are tried."""

KINDS: dict[str, tuple[type, str]] = {
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "bool": (bool, "true or false"),
}
"""Annotations of options -> what they take, in code and in words."""


def open_source(path: str | Path, *, format: str | None = None, **options: Any) -> Source:  # noqa: A002
    """Open a posed-image source; the format is recognised by its files unless `format` names it.

    `options` are those of the format's opener (None values count as not given). Raises
    ConfigurationError for an unknown format or option, DatasetError or CameraError for a source
    that is incomplete or not laid out as its format says.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetError(f"{path}: there is no such file or folder")
    name = format or detect_format(path)
    if name not in FORMATS:
        raise ConfigurationError(f"unknown dataset format {name!r}; expected one of {', '.join(FORMATS)}")
    opener = FORMATS[name].open_function()
    given = {key: value for key, value in options.items() if value is not None}
    _refuse_unknown(given, opener, name)
    _refuse_other_kinds(given, opener)
    return opener(path, **given)


def detect_format(path: Path) -> str:
    """The first format that recognises `path`; DatasetError listing the layouts if none does."""
    for name, layout in FORMATS.items():
        if layout.recognises(path):
            return name
    if path.suffix == ".relmap":
        raise DatasetError(f"{path}: a map, where posed images were expected; `--map` takes the map")
    outer = path.resolve().parent
    if any(layout.recognises(outer) for layout in FORMATS.values()):
        raise DatasetError(f"{path}: a part of a posed-image source; give the whole of it, {outer}")
    layouts = "\n".join(f"  {name}: {layout.layout}" for name, layout in FORMATS.items())
    raise DatasetError(f"{path}: not a posed-image source that I recognise; expected one of\n{layouts}")


def _refuse_unknown(options: dict[str, Any], opener: Callable[..., Source], name: str) -> None:
    allowed = list(inspect.signature(opener).parameters)[1:]
    unknown = [key for key in options if key not in allowed]
    if unknown:
        takes = ", ".join(allowed) or "none"
        raise ConfigurationError(f"format {name!r} has no option {unknown[0]!r}; its options: {takes}")


def _refuse_other_kinds(options: dict[str, Any], opener: Callable[..., Source]) -> None:
    """A word where the opener says int, float or bool (a command line has words alone)."""
    parameters = inspect.signature(opener).parameters
    for key, value in options.items():
        kind, words = KINDS.get(str(parameters[key].annotation).removesuffix(" | None"), (object, ""))
        if not isinstance(value, kind):
            raise ConfigurationError(f"{key}: expected {words}, got {value!r}")
