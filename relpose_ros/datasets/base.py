"""What every posed-image source looks like from the outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Frame

Split = Literal["map", "query"]
Domain = Literal["real", "simulated"]


@dataclass(frozen=True)
class PosedImage:
    """One image of a source. `load` reads the pixels (uint8, grey or BGR) when they are wanted.

    `map_from_camera` is None where the source knows no pose (a query without ground truth).
    `load_depth` gives metres (H, W) float32 with 0 where unknown, or is None. `load_coordinates` gives map
    coordinates (h, w, 3) float64 of the same field of view in any size, NaN where unknown; where less than
    half is known they are single landmarks, each somewhere in its cell. `load_semantics` gives classes (H, W)
    uint8. `domain` says whether a camera or a renderer made the image. `condition` is what
    it was like (night, winter), where the source says so.
    """

    name: str
    camera: Camera
    map_from_camera: Rigid | None
    split: Split
    load: Callable[[], NDArray[np.uint8]]
    stamp: float = 0.0
    load_depth: Callable[[], NDArray[np.float32]] | None = None
    load_coordinates: Callable[[], NDArray[np.float64]] | None = None
    load_semantics: Callable[[], NDArray[np.uint8]] | None = None
    domain: Domain = "real"
    condition: str = ""

    def frame(self) -> Frame:
        """The image as a query."""
        return Frame(self.load(), self.camera, self.stamp, self.name)


@dataclass(frozen=True)
class Source:
    """A posed-image source: its images in order, where it lies, and whether its unit is the metre."""

    name: str
    path: Path
    images: tuple[PosedImage, ...]
    metric: bool = True
    licence: str = ""

    @property
    def references(self) -> tuple[PosedImage, ...]:
        """Images to build a map from: those of the map split that have a pose."""
        return tuple(i for i in self.images if i.split == "map" and i.map_from_camera is not None)

    @property
    def queries(self) -> tuple[PosedImage, ...]:
        """Images to localize."""
        return tuple(i for i in self.images if i.split == "query")
