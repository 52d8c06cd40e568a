"""What was found out about one image, and who wants to know it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import transform_pose_covariance
from relpose_ros.geometry.rigid import Rigid
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
    def map_from_base(self) -> Rigid | None:
        """Pose of the base in the map at `stamp`."""
        if self.base_from_camera is None or self.found.map_from_camera is None:
            return None
        return self.found.map_from_camera @ self.base_from_camera.inverse()

    @cached_property
    def covariance(self) -> Array | None:
        """(6, 6) of `map_from_base`, calibrated; translation, then rotation about the map's fixed axes."""
        found = self.found
        if self.base_from_camera is None or found.map_from_camera is None or found.covariance is None:
            return None
        return transform_pose_covariance(
            found.covariance, found.map_from_camera, self.base_from_camera.inverse()
        )

    @cached_property
    def places(self) -> list[tuple[Rigid, Array]]:
        """`map_from_base` and covariance (6, 6) of each place, where several look alike."""
        if self.base_from_camera is None:
            return []
        base = self.base_from_camera.inverse()
        return [
            (a.map_from_camera @ base, transform_pose_covariance(a.covariance, a.map_from_camera, base))
            for a in self.found.alternatives
        ]


class AnswerListener(Protocol):
    """Is told of every answer. Both calls come from the worker's thread, never at the same time."""

    def on_answer(self, answer: Answer) -> None:
        """An image has been worked on, with or without success."""
        ...

    def reset(self, reason: str) -> None:
        """What was known is worth nothing from here on: time has jumped back, or there is another map."""
        ...
