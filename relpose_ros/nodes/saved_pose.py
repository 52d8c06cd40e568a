"""The last tracked pose in a file, so that a robot that is switched on again has a hint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError, RelposeError
from relpose_ros.evaluation.files import write_text
from relpose_ros.geometry.covariance import checked_covariance
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.hints import Hints
from relpose_ros.nodes.initial_pose import UNSTATED
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.tracking import Tracking

if TYPE_CHECKING:
    from relpose_ros.nodes.pose_node import PoseNode

SAVED_POSE_PARAMETERS = (
    Parameter("pose_file", "", "file (JSON) that the last tracked pose is saved to; empty: nowhere"),
    Parameter("save_pose_rate", 0.5, "how often; Hz", range=(0.01, 10.0)),
    Parameter("restore_pose", False, "take the saved pose as a hint at activation, if it is of the same map"),
)  # fmt: skip
"""Parameters of nodes that save their pose."""


class SavedPose:
    """Saves and restores; `map_id` names the map in use."""

    def __init__(self, node: PoseNode, tracking: Tracking, hints: Hints, map_id: Callable[[], str]) -> None:
        self._node, self._tracking, self._hints, self._map_id = node, tracking, hints, map_id

    def load(self) -> None:
        """Raises ConfigurationError when a pose shall be restored but no file is named."""
        settings = self._node.settings
        if settings["restore_pose"] and not settings["pose_file"]:
            raise ConfigurationError(
                "parameter pose_file: restore_pose is set, so a path was expected, got nothing"
            )

    def listen(self) -> None:
        """While the node is active; the hint comes first."""
        settings = self._node.settings
        if self._tracking.is_off or not settings["pose_file"]:
            return
        if settings["restore_pose"] and not settings["set_initial_pose"]:
            self._restore(Path(settings["pose_file"]).expanduser())
        self._node.open_timer(1.0 / settings["save_pose_rate"], self._save)

    def _save(self) -> None:
        pose = self._tracking.here() if self._tracking.tracks else None
        if pose is None:
            return
        content = {
            "map": self._map_id(),
            "frame": self._node.settings["global_frame_id"],
            "base": self._node.settings["base_frame_id"],
            "stamp": pose.stamp,
            "translation": pose.map_from_base.translation.tolist(),
            "rotation_xyzw": pose.map_from_base.rotation_xyzw.tolist(),
            "covariance": pose.covariance.tolist(),
        }
        path = Path(self._node.settings["pose_file"]).expanduser()
        try:
            write_text(path, json.dumps(content, indent=1) + "\n")
        except RelposeError as error:
            self._node.health.count("poses not saved")
            self._node.complaints.report("saved pose", Level.WARN, f"the pose was not saved: {error}", 30.0)
        else:
            self._node.complaints.solved("saved pose")

    def _restore(self, path: Path) -> None:
        """The hint is wider than what was saved: nobody knows what happened to the robot meanwhile."""
        log = self._node.get_logger()
        if not path.exists():
            log.info(f"{path}: no pose has been saved yet")
            return
        try:
            pose, covariance = read_saved(path, self._map_id(), self._node.settings)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning(f"{path}: the saved pose is not used: {error or type(error).__name__}")
            return
        self._hints.give(pose, covariance + np.diag(UNSTATED), 0.0)
        log.info(f"{path}: the saved pose is taken as a hint")


def read_saved(path: Path, map_id: str, settings: dict[str, Any]) -> tuple[Rigid, NDArray[np.float64]]:
    """Pose of the base in the map, and its (6, 6) covariance.

    Raises ValueError, KeyError or TypeError for a file that is none or speaks of another map or frame, and
    OSError.
    """
    content = json.loads(path.read_text())
    if not isinstance(content, dict):
        raise ValueError("expected an object")
    expected = {"map": map_id, "frame": settings["global_frame_id"], "base": settings["base_frame_id"]}
    for key, value in expected.items():
        if content[key] != value:
            raise ValueError(f"it is of the {key} {content[key]!r}, here it is {value!r}")
    translation = np.asarray(content["translation"], float)
    if translation.shape != (3,) or not np.isfinite(translation).all():
        raise ValueError(f"expected three finite numbers, got {content['translation']}")
    pose = Rigid.from_quaternion(content["rotation_xyzw"], translation)
    return pose, checked_covariance(np.asarray(content["covariance"], float))
