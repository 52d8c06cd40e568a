"""From an image to a pose by a network of scene coordinates alone: neither features nor a map are needed.

`Localizer` goes the same road (scene_road.py) beside the others.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

from relpose_ros.localization.arbiter import Arbiter
from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.options import LocalizerOptions, options_for
from relpose_ros.localization.scene_road import Predicts, SceneRoad, nothing_found, open_predictor, unmasked
from relpose_ros.types import Frame, Localization

if TYPE_CHECKING:
    from relpose_ros.checkpoints.scene import CoordinateMap


class SceneLocalizer:
    """Localizes frames by the network of a scene alone, without a map. One call at a time.

    `scene` is a checkpoint's path, or a predictor; `options` a profile's name or LocalizerOptions. Raises
    CheckpointError for a checkpoint that knows no scene.
    """

    def __init__(self, scene: str | Path | Predicts, options: LocalizerOptions | str = "default") -> None:
        self.options = options_for(options) if isinstance(options, str) else options
        self.predictor = open_predictor(scene)
        self.scene = self.predictor.scene
        self.calibration = Calibration.from_dict(self.scene.calibration)
        self._road = SceneRoad(self.predictor, self.options.scene_road, self.options.seed)
        self._arbiter = Arbiter(self.calibration, self.options.arbiter)
        self._threads = ThreadpoolController()

    def localize(self, frame: Frame) -> Localization:
        """The camera's pose in the map's frame, or UNLOCALIZED with a reason. Same input, same answer."""
        start = time.perf_counter()
        cells = self.coordinates(frame)
        predicted = 1e3 * (time.perf_counter() - start)
        answer = self.localize_map(frame, cells)
        total = 1e3 * (time.perf_counter() - start)
        return replace(answer, latency_ms={"coordinates": predicted, **answer.latency_ms, "total": total})

    def coordinates(self, frame: Frame) -> CoordinateMap:
        """What the network says of a frame's cells, but for those that its mask ignores."""
        return unmasked(self.predictor.predict(frame.image, frame.camera), frame)

    def localize_map(self, frame: Frame, cells: CoordinateMap) -> Localization:
        """Like `localize`, from coordinates that were predicted before."""
        start = time.perf_counter()
        with self._threads.limit(limits=1, user_api="blas"):
            found = self._road.hypotheses_of(cells, frame.camera)
        answer = self._arbiter.decide(found, nothing_found(self._road.reason))
        spent = 1e3 * (time.perf_counter() - start)
        timings = {"scene": spent, "total": spent}
        return replace(answer, latency_ms=timings, source=frame.source, stamp=frame.stamp)
