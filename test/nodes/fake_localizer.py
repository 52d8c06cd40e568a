"""A localizer that is a fake: what the node does with answers, without a map.

`fake_localizer_node.py` runs it in a node; the parameter `map` is `kind[,seconds]`.
Kinds: `good` (localized at (1, 2, 3)), `lost` (never localized), `nan` (a pose that is not finite),
`raises` (an unexpected error in every frame). It sleeps `seconds` a frame.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from relpose_ros.errors import MapError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Frame, Localization, Matches, State

POSE = Rigid.from_quaternion([0.5, -0.5, 0.5, -0.5], [1.0, 2.0, 3.0])
COVARIANCE = np.diag([1e-4, 4e-4, 9e-4, 1e-6, 1e-6, 4e-6])


class FakeMap:
    reference_names = ("a", "b")
    reference_poses = Rigid.stack([Rigid.identity(), POSE])
    landmark_points = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 2.0]])


class FakeLocalizer:
    """Answers as its kind says; a black image is never localized."""

    def __init__(self, kind: str, seconds: float) -> None:
        self.kind, self.seconds = kind, seconds

    def localize(self, frame: Frame) -> Localization:
        time.sleep(self.seconds)
        if self.kind == "raises":
            raise RuntimeError("a bug")
        if self.kind == "lost" or not frame.image.any():
            return Localization(State.UNLOCALIZED, f"only {np.random.default_rng().integers(9)} inliers")
        pose = Rigid(POSE.rotation, np.full(3, np.nan)) if self.kind == "nan" else POSE
        return Localization(
            State.LOCALIZED, "", pose, COVARIANCE, 0.9, "structure", 40, ("a",), {"total": 1.5},
            matches=Matches(np.array([[5.0, 5.0]]), np.zeros((1, 3)), np.array([True])),
        )  # fmt: skip


def load(settings: dict[str, Any]) -> Any:
    from relpose_ros.nodes.loading import Loaded

    kind, _, seconds = settings["map"].rsplit("/", 1)[-1].partition(",")
    if kind not in ("good", "lost", "nan", "raises"):
        raise MapError(f"{settings['map']}: no such map")
    return Loaded(FakeLocalizer(kind, float(seconds or 0)), FakeMap(), "fake 2026")


def make() -> Any:
    from relpose_ros.nodes.localizer import LocalizerNode

    return LocalizerNode(load=load)
