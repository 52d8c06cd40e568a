"""What every plot is drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.counts import nearest_references
from relpose_ros.evaluation.difficulty import quartiles
from relpose_ros.evaluation.false_poses import GrossLimits
from relpose_ros.evaluation.metrics import Scores, score
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.geometry.rigid import Rigid


@dataclass(frozen=True)
class ReportData:
    """Records, their results and what is known of the map (`map_points` (L, 3))."""

    records: Sequence[QueryRecord]
    results: Mapping[str, Any]
    reference_poses: Rigid | None = None
    map_points: NDArray[np.float64] | None = None

    @cached_property
    def scores(self) -> Scores:
        """The records as columns."""
        return score(self.records)

    @property
    def metric(self) -> bool:
        """Whether the map's unit is the metre."""
        return bool(self.results["metric"])

    @property
    def unit(self) -> str:
        """Unit of lengths as the axes say it."""
        return "m" if self.metric else "map units"

    @property
    def limits(self) -> GrossLimits:
        """Beyond these a pose is grossly wrong."""
        detail = self.results["false_poses_detail"]
        distance = detail["limit_translation_m"]
        return GrossLimits(math.inf if distance is None else distance, detail["limit_rotation_deg"])

    @cached_property
    def quartile(self) -> NDArray[np.int64]:
        """Difficulty quartile 0..3 of each record (N,), -1 where unknown."""
        extent = self.results["scene_extent"]
        extent = math.nan if extent is None else extent
        return quartiles(nearest_references(self.records, self.reference_poses, self.metric, extent)[:, 0])
