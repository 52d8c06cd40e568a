"""Several cameras of one robot as one query: when their images go together, and where they are mounted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.intake import ImageMessage
from relpose_ros.nodes.moments import Moment, Moments
from relpose_ros.nodes.mount import Mounted
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.types import MOUNT_SIGMA, CameraShare, Frame, Localization, RigFrame

if TYPE_CHECKING:
    from relpose_ros.nodes.pose_node import PoseNode

RIG_PARAMETERS = (
    Parameter("cameras", [], "names of rigidly mounted cameras that are one query: each has its topics "
              "`<name>/image` and `<name>/camera_info`; empty: one camera, `image` and `camera_info`",
              words=True),
    Parameter("camera_tolerance", 0.01, "seconds that the stamps of their images may differ: the robot is "
              "taken to stand still between them", range=(0.0, 0.5)),
    Parameter("camera_patience", 0.05, "seconds that the first image of a moment waits for the others; "
              "a camera that is later is left out", range=(0.0, 2.0)),
    Parameter("mount_position_sigma", MOUNT_SIGMA[0], "metres: standard deviation, on each axis, of where "
              "each of `cameras` is mounted relative to the first; goes into the covariance of the base",
              range=(0.0, 1.0)),
    Parameter("mount_rotation_sigma", MOUNT_SIGMA[1], "radians: the same, about each axis, of how it is "
              "turned: 0.0035 (0.2 deg) where a target was used, 0.02 where it is from a drawing",
              range=(0.0, 0.5)),
)  # fmt: skip
"""Parameters of nodes that take several cameras."""


class RigCollector:
    """Sorts the images of a node's cameras into moments for its worker, and says who had no part."""

    def __init__(self, node: PoseNode) -> None:
        self._node, settings = node, node.settings
        self._patience, self._superseded = settings["camera_patience"], 0
        self._moments: Moments[ImageMessage] = Moments(
            node.camera_names, settings["camera_tolerance"], self._patience
        )

    def listen(self) -> None:
        """While the node is active: moments that lack a camera leave when their time is up."""
        self._moments.forget()
        self._node.while_active.callback(self._moments.forget)  # images are large
        self._node.while_active.callback(self._node.health.note, "cameras", None)
        self._node.open_timer(max(0.5 * self._patience, 0.005), self._tick)

    def forget(self) -> None:
        """Time has jumped back."""
        self._moments.forget()

    def add(self, name: str, stamp_ns: int, message: ImageMessage) -> None:
        """Take an image."""
        late = self._moments.late[name]
        self._give(self._moments.add(name, stamp_ns, message, time.monotonic()))
        if self._moments.late[name] > late:
            self._node.health.count(f"late images of {name}")

    def _tick(self) -> None:
        self._give(self._moments.ready(time.monotonic()))

    def _give(self, moments: Sequence[Moment[ImageMessage]]) -> None:
        for _ in range(self._moments.superseded - self._superseded):
            self._node.health.count("dropped")
        self._superseded = self._moments.superseded
        for moment in moments:
            self._node.offer({n: moment.items[n] for n in self._node.camera_names if n in moment.items})

    def view(self, frames: Mapping[str, Frame], mounts: Mapping[str, Mounted]) -> RigView | None:
        """Of the cameras whose mount is known; None where there is none. Raises ImageError, CameraError.

        The node's first camera says where the base is, whether it is among them or not.
        """
        settings, first = self._node.settings, self._node.camera_names[0]
        known = {n: mount for n in frames if (mount := mounts[n].base_from_camera) is not None}
        if not known:
            return None
        uncertain = settings["mount_position_sigma"], settings["mount_rotation_sigma"]
        sigma = np.array([(0.0, 0.0) if n == first else uncertain for n in known])
        mounted = Rigid.stack(list(known.values()))
        rig = RigFrame(tuple(frames[n] for n in known), mounted, settings["camera_tolerance"], sigma)
        return RigView(rig, tuple(known))

    def left_out(
        self,
        messages: Mapping[str, ImageMessage],
        frames: Mapping[str, Frame],
        mounts: Mapping[str, Mounted],
    ) -> dict[str, str]:
        """Why cameras have no part in a query, by name."""
        found = {}
        for name in self._node.camera_names:
            if name not in messages:
                found[name] = self._why_absent(name)
            elif name not in frames:
                found[name] = "its image could not be used"
            elif mounts[name].base_from_camera is None:
                found[name] = f"its mount is unknown: {mounts[name].problem}"
        return found

    def _why_absent(self, name: str) -> str:
        delay = self._moments.delay(name)
        if delay is None:
            return "no image of this moment"
        return (
            f"its images come {delay:.2g} s after those of the others, camera_patience is "
            f"{self._patience:g} s: it is not waited for"
        )

    def completed(self, answer: Localization, missing: dict[str, str]) -> Localization:
        """An answer with a share for every camera, also for those that are `missing`, by name and why.

        What is to be said of a camera is in the reason too, in the order of the parameter.
        """
        shares = {share.source: share for share in answer.cameras}
        shares |= {name: CameraShare(name, 0, why) for name, why in missing.items()}
        cameras = tuple(shares[name] for name in self._node.camera_names if name in shares)
        said = [f"{c.source}: {c.remark}" for c in cameras if c.remark and c.remark not in answer.reason]
        self._say(cameras, missing)
        return replace(answer, cameras=cameras, reason="; ".join(filter(None, [answer.reason, *said])))

    def _say(self, cameras: Sequence[CameraShare], missing: dict[str, str]) -> None:
        health, complaints = self._node.health, self._node.complaints
        health.note("cameras", ", ".join(f"{c.source} {c.remark or c.inliers}" for c in cameras))
        for name in self._node.camera_names:
            if name in missing:
                health.count(f"left out {name}")
                text = f"camera {name} is left out: {missing[name]}"
                complaints.report(f"camera {name}", Level.WARN, text)
            else:
                complaints.solved(f"camera {name}")
        for share in cameras:
            if share.disagrees:
                text = f"camera {share.source} {share.remark}"
                complaints.report(f"place of {share.source}", Level.WARN, text)
            else:
                complaints.solved(f"place of {share.source}")


@dataclass(frozen=True)
class RigView:
    """What the cameras of one moment are as a query; `names` in the order of its frames."""

    rig: RigFrame
    names: tuple[str, ...]

    @property
    def first(self) -> str:
        """The camera whose stamp is the answer's."""
        return self.names[0]

    def strongest(self, answer: Localization) -> tuple[str, Localization]:
        """The camera with most inliers, and the answer as if it were that camera's: for pictures."""
        shares = {share.source: share for share in answer.cameras}
        index = max(range(len(self.names)), key=lambda i: shares[self.names[i]].inliers)
        name, pose = self.names[index], answer.map_from_camera
        pose = None if pose is None else pose @ self.rig.base_from_camera[index]
        return name, replace(answer, map_from_camera=pose, matches=shares[name].matches)
