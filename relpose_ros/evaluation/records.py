"""One query together with its answer and, where known, the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Localization


@dataclass(frozen=True)
class QueryRecord:
    """One query, its ground truth and what the localizer said.

    `ground_truth` is map_from_camera, or None where nobody knows it (one that is not finite
    becomes None). `image` reads the pixels
    (uint8, grey or BGR) when the report wants to show them. `outside_map` declares that the map
    does not contain what this query sees, so that any pose published for it is false.
    `camera` lets the report draw where landmarks project. `condition` is what the query was like.
    """

    name: str
    stamp: float
    ground_truth: Rigid | None
    localization: Localization
    image: Callable[[], NDArray[Any]] | None = None
    camera: Camera | None = None
    outside_map: bool = False
    condition: str = ""

    def __post_init__(self) -> None:
        if self.ground_truth is not None and not is_finite(self.ground_truth):
            object.__setattr__(self, "ground_truth", None)


def is_finite(pose: Rigid) -> bool:
    """Whether every number of the pose is finite."""
    return bool(np.isfinite(pose.rotation).all() and np.isfinite(pose.translation).all())
