"""What was found out about one image, and who wants to know it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.rig import of_base
from relpose_ros.types import Localization

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer to one image.

    `found` is true as it is: a pose in it is finite and has a covariance. `stamp` and `camera_frame` are
    those of the image, `map_frame` that of `~/pose`. `base_from_camera` is None where the answer says nothing
    of where the robot is: nothing was found, it is not trusted enough, or the mount is unknown.
    """

    found: Localization
    stamp: Time
    camera_frame: str
    map_frame: str
    base_from_camera: Rigid | None

    @cached_property
    def of_base(self) -> Localization:
        """`found` as an answer to the base; it says nothing of where that is without `base_from_camera`."""
        if self.base_from_camera is None:
            return replace(self.found, map_from_camera=None, covariance=None, alternatives=())
        return of_base(self.found, self.base_from_camera.inverse())

    @property
    def map_from_base(self) -> Rigid | None:
        """Pose of the base in the map at `stamp`."""
        return self.of_base.map_from_camera

    @property
    def covariance(self) -> Array | None:
        """(6, 6) of `map_from_base`, calibrated; translation, then rotation about the map's fixed axes."""
        return self.of_base.covariance


class AnswerListener(Protocol):
    """Is told of every answer. Both calls come from the worker's thread, never at the same time."""

    def on_answer(self, answer: Answer) -> None:
        """An image has been worked on, with or without success."""
        ...

    def reset(self, reason: str) -> None:
        """What was known is worth nothing from here on: time has jumped back, or there is another map."""
        ...
