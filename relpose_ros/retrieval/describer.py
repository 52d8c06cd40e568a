"""What turns an image into its global descriptor: one protocol, and who made the descriptors of a map."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.features.base import Features
from relpose_ros.retrieval.vlad import Vlad

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

KINDS = ("vlad", "checkpoint", "onnx")


@dataclass(frozen=True)
class DescriberIdentity:
    """Who made global descriptors: descriptors of two makers cannot be compared.

    `kind`: one of KINDS; `name` for people; `sha256` of the weights, of a VLAD of its arrays, which are in
    the map; `dimension` G; `settings`: what else the descriptors depend on (how a plugged-in model is fed);
    `licence` and `origin` of the weights.
    """

    kind: str
    name: str
    dimension: int
    sha256: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    origin: str = ""

    @property
    def digest(self) -> str:
        """Equal where descriptors can be compared (hex)."""
        text = json.dumps([self.kind, self.sha256, self.dimension, self.settings], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def is_learned(self) -> bool:
        """Whether it takes a file of weights."""
        return self.kind != "vlad"

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.sha256[:12]})" if self.is_learned else self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain types: `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> Self:
        """Raises ValueError if these are not the values of one."""
        kinds = {"kind": str, "name": str, "dimension": int, "sha256": str, "settings": dict,
                 "licence": str, "origin": str}  # fmt: skip
        if not isinstance(values, dict) or set(values) != set(kinds):
            raise ValueError("the maker of its global descriptors is not described as expected")
        wrong = [name for name, kind in kinds.items() if not isinstance(values[name], kind)]
        if wrong or values["kind"] not in KINDS or values["dimension"] < 1:
            raise ValueError(f"the maker of its global descriptors: wrong {', '.join(wrong) or 'values'}")
        return cls(**values)


def vlad_identity(vlad: Vlad) -> DescriberIdentity:
    """Who made the descriptors of a map without weights: its VLAD, learned from its own references."""
    return DescriberIdentity("vlad", f"vlad{vlad.dimension}", vlad.dimension, vlad.sha256)


class Describer(Protocol):
    """Describes an image as a whole: alike places, alike vectors."""

    @property
    def needs_image(self) -> bool:
        """Whether it looks at pixels; else at local features."""
        ...

    @property
    def identity(self) -> DescriberIdentity: ...

    @property
    def dimension(self) -> int: ...

    def describe(self, image: Image | None, features: Features | None) -> Floats:
        """Global descriptor (G,) float32 of norm 1; zeros where nothing is to be seen.

        `image` uint8, BGR (H, W, 3) or grey (H, W), where `needs_image`; else `features`.
        """
        ...


@dataclass(frozen=True)
class VladDescriber:
    """The weight-free default: the map's VLAD of the local features."""

    vlad: Vlad
    needs_image: bool = False

    @property
    def identity(self) -> DescriberIdentity:
        return vlad_identity(self.vlad)

    @property
    def dimension(self) -> int:
        return self.vlad.dimension

    def describe(self, image: Image | None, features: Features | None) -> Floats:
        """Of `features`; the image is not looked at."""
        if features is None:
            raise ConfigurationError("VLAD describes local features; extract them first")
        return self.vlad.encode(features.descriptors)


@dataclass(frozen=True)
class Elsewhere:
    """Stands in where descriptors or neighbours come from elsewhere: it describes nothing."""

    identity: DescriberIdentity
    needs_image: bool = False

    @property
    def dimension(self) -> int:
        return self.identity.dimension

    def describe(self, image: Image | None, features: Features | None) -> Floats:
        """Raises ConfigurationError."""
        raise ConfigurationError(
            f"this localizer was made without {self.identity}, which describes the images of its map; give "
            "it neighbours, or make it with the describer"
        )


def open_describer(path: str | Path, threads: int | None = None) -> Describer:
    """The describer in a file: a checkpoint (.safetensors), or a plugged-in model (.yaml). Ready to run.

    Raises CheckpointError if it is none, DependencyError if what runs it is not installed.
    """
    if Path(path).suffix.lower() in (".yaml", ".yml", ".onnx"):
        from relpose_ros.retrieval.plugged_in import OnnxDescriber

        return OnnxDescriber(path, threads)
    from relpose_ros.retrieval.learned import CheckpointDescriber

    return CheckpointDescriber(path, threads=threads)
