"""The YAML that says what a plugged-in model is and how it is fed, read with distrust."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.header_values import number, numbers, short, text, whole
from relpose_ros.checkpoints.retrieval import LARGEST_DIMENSION, LARGEST_SIDE, Triple
from relpose_ros.datasets.colour_statistics import colour_planes
from relpose_ros.errors import CheckpointError
from relpose_ros.resampling import resize_bilinear

LARGEST_FILE = 1 << 16
"""Bytes. A description of a model is a screenful."""

LAYOUTS = ("nchw", "nhwc")
COLOURS = ("rgb", "bgr")


@dataclass(frozen=True)
class PluggedIn:
    """A model in an ONNX file: `file`, `name`, `licence`, `source` (a URL), `sha256` ("" if not stated).

    Fed (value * scale - mean) / spread of an image resized to `height` x `width`; `mean` and `spread` are in
    the order of `colours`. `output`: its name, "" for the only one; `dimension`: 0 if not stated;
    `normalise`: divide the output by its norm.
    """

    file: Path
    name: str
    licence: str
    source: str
    height: int
    width: int
    mean: Triple
    spread: Triple
    scale: float = 1 / 255
    layout: str = "nchw"
    colours: str = "rgb"
    output: str = ""
    dimension: int = 0
    normalise: bool = True
    sha256: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """What the descriptors depend on, beside the weights."""
        names = ("height", "width", "scale", "layout", "colours", "output", "normalise")
        vectors = {"mean": list(self.mean), "spread": list(self.spread)}
        return {name: getattr(self, name) for name in names} | vectors

    def input_of(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """BGR or grey pixels of any size -> what the model is fed, one image."""
        small = resize_bilinear(image, self.height, self.width)
        if self.colours == "bgr" and small.ndim == 3:
            small = small[..., ::-1]
        planes = colour_planes(small, self.scale, self.mean, self.spread)
        return np.ascontiguousarray(planes if self.layout == "nchw" else planes.transpose(1, 2, 0))[None]


def read_plugged_in(path: Path) -> PluggedIn:
    """What the YAML at `path` says. Paths in it are relative to its folder.

    Raises CheckpointError if it is missing, no such YAML, or says what cannot be.
    """
    if path.suffix.lower() == ".onnx":
        raise CheckpointError(
            f"{path}: an ONNX file alone does not say how it is fed; describe it in a YAML beside it "
            "(docs/retrieval-models.md) and give that"
        )
    try:
        return _parsed(_mapping(path), path.parent)
    except (ValueError, TypeError, OverflowError, KeyError) as error:
        words = error.args[0] if isinstance(error, KeyError) else error
        raise CheckpointError(f"{path}: this description of a model cannot be used: {words}") from None


def _mapping(path: Path) -> dict[str, Any]:
    """The YAML's content. Raises CheckpointError if it cannot be read, ValueError if it is no mapping."""
    import yaml

    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise CheckpointError(f"{path}: expected a model's YAML, cannot read it: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise ValueError(f"expected at most {LARGEST_FILE} bytes of YAML")
    try:
        # A few lines of aliases of aliases stand for more text than there is memory.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, yaml.SafeLoader)):
            raise yaml.YAMLError("expected none with aliases")
        values = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"it is no YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict):
        raise TypeError(f"expected `key: value` lines, got {short(values)}")
    return values


_TOP = ("kind", "name", "file", "sha256", "licence", "source", "dimension", "input", "output", "normalise")
_INPUT = ("height", "width", "layout", "colours", "scale", "mean", "spread")


def _parsed(values: dict[str, Any], folder: Path) -> PluggedIn:
    _check_keys(values, _TOP, ("kind", "file", "licence", "source", "input"), "")
    if values["kind"] != "onnx":
        raise ValueError(f"kind: expected onnx, got {short(values['kind'])}")
    if not isinstance(values["input"], dict):
        raise TypeError(f"input: expected height, width, mean, spread, got {short(values['input'])}")
    given = values["input"]
    _check_keys(given, _INPUT, ("height", "width", "mean", "spread"), "input.")
    file = folder / text("file", values["file"])
    red, green, blue = numbers("input.mean", given["mean"], 3)
    spread = numbers("input.spread", given["spread"], 3)
    scale = number("input.scale", given.get("scale", 1 / 255))
    if not (0 < scale < float("inf") and min(spread) > 0):
        raise ValueError("input.scale and input.spread: expected numbers above 0")
    return PluggedIn(
        file=file,
        name=text("name", values.get("name", file.stem)),
        licence=text("licence", values["licence"]),
        source=text("source", values["source"]),
        height=whole("input.height", given["height"], 16, LARGEST_SIDE),
        width=whole("input.width", given["width"], 16, LARGEST_SIDE),
        mean=(red, green, blue),
        spread=(spread[0], spread[1], spread[2]),
        scale=scale,
        layout=_choice("input.layout", given.get("layout", "nchw"), LAYOUTS),
        colours=_choice("input.colours", given.get("colours", "rgb"), COLOURS),
        output=text("output", values["output"]) if "output" in values else "",
        dimension=whole("dimension", values.get("dimension", 0), 0, LARGEST_DIMENSION),
        normalise=_truth("normalise", values.get("normalise", True)),
        sha256=_digest(values.get("sha256", "")),
    )


def _check_keys(values: dict[str, Any], known: tuple[str, ...], needed: tuple[str, ...], where: str) -> None:
    unknown = [short(key) for key in values if key not in known]
    missing = [where + key for key in needed if key not in values]
    if unknown:
        raise ValueError(f"unknown {where}{', '.join(unknown[:5])}; expected some of {', '.join(known)}")
    if missing:
        raise KeyError(f"it does not say {', '.join(missing)}")


def _choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {short(value)}")
    return str(value)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected true or false, got {short(value)}")
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"([0-9a-fA-F]{64})?", value):
        raise ValueError(f"sha256: expected 64 hex digits in quotes, got {short(value)}")
    return value.lower()
