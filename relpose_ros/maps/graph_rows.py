"""What a map keeps for a network over graphs of images: descriptors of its references, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

DESCRIPTORS = "graph/descriptor"
"""The dataset; a map without one has no such group."""

_KINDS: dict[str, type] = {"name": str, "sha256": str, "network": str, "input": dict, "calibration": dict}


@dataclass(frozen=True, eq=False)
class GraphFeatures:
    """`descriptors` (R, D) float32 (half precision in the file) by the checkpoint file `name` of that
    `sha256`, a network called `network` in the registry; `input`: how its images were fed, with this scene's
    colours where it goes by them (`GraphInput.to_dict()`); `calibration`: what held-out references taught, by
    road (localization/graph_calibration.py), {} before. Of a large map that was opened, the descriptors lie
    in its file."""

    descriptors: NDArray[np.float32]
    name: str
    sha256: str
    network: str
    input: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.descriptors)

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.sha256[:12]})"

    def info(self) -> dict[str, Any]:
        """What `relpose map info` prints of it."""
        told = {"checkpoint": self.name, "sha256": self.sha256, "network": self.network}
        return {**told, "dimension": int(self.descriptors.shape[1]), "calibration": self.calibration}

    def of(self, kept: NDArray[np.integer]) -> GraphFeatures:
        """Of those references alone; the calibration stays."""
        return replace(self, descriptors=np.asarray(self.descriptors[kept]))

    def joined(self, other: GraphFeatures) -> GraphFeatures:
        """With those of other references behind, by the same checkpoint; not calibrated.

        Raises ValueError if they were made by another one, or fed otherwise.
        """
        if (self.sha256, self.input) != (other.sha256, other.input):
            raise ValueError(f"expected descriptors by {self}, fed alike, got some by {other}")
        rows = np.concatenate([np.asarray(self.descriptors), np.asarray(other.descriptors)])
        return replace(self, descriptors=rows, calibration={})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The dataset."""
        return {DESCRIPTORS: np.asarray(self.descriptors).astype(np.float16)}

    def about(self) -> dict[str, str]:
        """The text `about/graph`."""
        return {"graph": json.dumps({name: getattr(self, name) for name in _KINDS})}

    @classmethod
    def stored(cls, about: Mapping[str, Any], rows: NDArray[np.float32], references: int) -> Self:
        """What `about` and `arrays` gave to a file. Raises ValueError where they do not fit together."""
        values = json.loads(about["graph"])
        wrong = [name for name, kind in _KINDS.items() if not isinstance(values.get(name), kind)]
        if wrong or set(values) != set(_KINDS):
            raise ValueError(f"who made {DESCRIPTORS} is not told as expected ({', '.join(wrong) or 'keys'})")
        if rows.ndim != 2 or len(rows) != references or not rows.shape[1]:
            raise ValueError(f"{DESCRIPTORS} is {rows.shape}, of {references} references")
        return cls(rows, **values)
