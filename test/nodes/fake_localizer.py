"""A localizer that is a fake: what the node does with answers, without a map.

`fake_localizer_node.py` runs it in a node; the parameter `map` is `kind[,seconds[,megabytes]]`.
Kinds: `good` (localized at (1, 2, 3)), `there` (the same, of another map, at (4, 5, 6)), `lost` (never
localized), `nan` (a pose that is not finite), `raises` (an unexpected error in every frame), `cold` (an error
already in the frame to warm up with), `busy` (good, but it computes instead of sleeping), `vague` (good, with
a wide covariance), `driven` (good, and a tenth of the grey level is x in metres; white: at 8 or at 16, which
look alike), `hinted` (driven, but degraded, and only with a hint), `twins` (hinted, if the hint excludes a
place 8 m further on), `slow` (good, but loading takes `seconds`, not a frame). It sleeps `seconds` a frame,
but not when it warms up, and its map takes `megabytes`. Frames that are masked at (5, 5) are not localized.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from relpose_ros.errors import MapError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import (
    Alternative,
    CameraShare,
    Evidence,
    Frame,
    Hypothesis,
    Localization,
    Matches,
    RigFrame,
    State,
)

POSE = Rigid.from_quaternion([0.5, -0.5, 0.5, -0.5], [1.0, 2.0, 3.0])
COVARIANCE = np.diag([1e-4, 4e-4, 9e-4, 1e-6, 1e-6, 4e-6])
PIXEL = np.array([[5.0, 5.0]])
AWAY = np.array([8.0, 0.0, 0.0])
WHITE = 255
MATCHES = Matches(PIXEL, np.zeros((1, 3)), np.array([True]))


KINDS = "good there lost nan raises cold busy vague driven hinted twins slow".split()


class FakeMap:
    reference_names = ("a", "b")
    reference_poses = Rigid.stack([Rigid.identity(), POSE])
    landmark_points = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 2.0]])


def guess(map_from_camera: Rigid) -> Hypothesis:
    return Hypothesis(map_from_camera, COVARIANCE, Evidence(40, 40), "structure")


class FakeLocalizer:
    """Answers as its kind says; a black image is never localized."""

    def __init__(self, kind: str, seconds: float, megabytes: int = 0) -> None:
        self.kind, self.seconds = kind, 0.0 if kind == "slow" else seconds
        self.ballast = np.ones(megabytes << 20, np.uint8)

    def localize(self, frame: Frame, hint: Any = None) -> Localization:
        if frame.source == "warm-up":
            if self.kind == "cold":
                raise RuntimeError("a bug that shows at once")
            return Localization(State.UNLOCALIZED, "nowhere")
        self._take_time()
        if self.kind == "raises":
            raise RuntimeError("a bug")
        if frame.mask is not None and not frame.shows(PIXEL)[0]:
            return Localization(State.UNLOCALIZED, "masked")
        if self.kind == "lost" or not frame.image.any():
            return Localization(State.UNLOCALIZED, f"only {np.random.default_rng().integers(9)} inliers")
        pose = Rigid(POSE.rotation, np.full(3, np.nan)) if self.kind == "nan" else POSE
        if self.kind == "there":
            pose = Rigid(POSE.rotation, np.array([4.0, 5.0, 6.0]))
        if self.kind in ("hinted", "twins") and hint is None:
            return Localization(State.UNLOCALIZED, "ambiguous")
        if self.kind in ("driven", "hinted", "twins"):
            pose = Rigid(POSE.rotation, np.array([0.1 * float(frame.image.mean()), 2.0, 3.0]))
        if self.kind == "driven" and frame.image.min() == WHITE:
            places = [Rigid(POSE.rotation, np.array([0.0, 2.0, 3.0]) + n * AWAY) for n in (1, 2)]
            alternatives = tuple(Alternative(place, COVARIANCE, 0.5) for place in places)
            return Localization(State.UNLOCALIZED, "ambiguous", alternatives=alternatives)
        twin = Rigid(pose.rotation, pose.translation + AWAY)
        if self.kind == "twins" and not hint.decides(guess(pose), guess(twin)):
            return Localization(State.UNLOCALIZED, "ambiguous")
        covariance = 1e4 * COVARIANCE if self.kind == "vague" else COVARIANCE
        state = State.DEGRADED if self.kind in ("hinted", "twins") else State.LOCALIZED
        reason = "the hint alone" if state is State.DEGRADED else ""
        return Localization(
            state, reason, pose, covariance, 0.9, "structure", 40, ("a",), {"total": 1.5},
            matches=MATCHES,
        )  # fmt: skip

    def localize_rig(self, rig: RigFrame, hint: Any = None) -> Localization:
        """The base is at x = how many frames came; black images, and masked ones at PIXEL, have no part."""
        shares = tuple(
            CameraShare(f.source, 40 * bool(f.shows(PIXEL)[0]), "", MATCHES)
            if f.image.any()
            else CameraShare(f.source, 0, "only 3 features")
            for f in rig.frames
        )
        self._take_time()
        if not any(share.inliers for share in shares):
            return Localization(State.UNLOCALIZED, "nothing to be seen", cameras=shares)
        base = Rigid(np.eye(3), np.array([float(len(rig.frames)), 1.0, 0.0]))
        return Localization(
            State.LOCALIZED, "", base, COVARIANCE, 0.9, "structure", 40, ("a",), {"total": 1.5},
            stamp=rig.stamp, cameras=shares,
        )  # fmt: skip

    def _take_time(self) -> None:
        if self.kind != "busy":
            time.sleep(self.seconds)
            return
        ready = time.monotonic() + self.seconds
        while time.monotonic() < ready:
            sum(range(1000))


def load(settings: dict[str, Any]) -> Any:
    from relpose_ros.nodes.loading import Loaded

    kind, *numbers = settings["map"].rsplit("/", 1)[-1].split(",")
    seconds, megabytes = (*map(float, numbers), 0.0, 0.0)[:2]
    if kind not in KINDS:
        raise MapError(f"{settings['map']}: no such map")
    if kind == "slow":
        time.sleep(seconds)
    name = {"there": "fake 2027"}.get(kind, "fake 2026")
    return Loaded(FakeLocalizer(kind, seconds, int(megabytes)), FakeMap(), name)


def make() -> Any:
    from relpose_ros.nodes.localizer import LocalizerNode

    return LocalizerNode(load=load)
