"""What a Nav2 stack expects of a localizer: all that goes beyond single images, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from relpose_ros.nodes.hints import HINT_PARAMETERS, Hints
from relpose_ros.nodes.initial_pose import INITIAL_POSE_PARAMETERS, InitialPose
from relpose_ros.nodes.map_odom import MAP_ODOM_PARAMETERS, MapOdomBroadcaster
from relpose_ros.nodes.odometry import ODOMETRY_PARAMETERS
from relpose_ros.nodes.relocalize import RELOCALIZE_PARAMETERS, RelocalizeServer
from relpose_ros.nodes.saved_pose import SAVED_POSE_PARAMETERS, SavedPose
from relpose_ros.nodes.tracked_pose import TRACKED_POSE_PARAMETERS, TrackedPosePublisher
from relpose_ros.nodes.tracking import TRACKING_PARAMETERS, Tracking

if TYPE_CHECKING:
    from relpose_ros.localization.hint import Hint
    from relpose_ros.nodes.loading import Loaded
    from relpose_ros.nodes.pose_node import PoseNode

CONTRACT_PARAMETERS = (
    *ODOMETRY_PARAMETERS,
    *MAP_ODOM_PARAMETERS,
    *TRACKED_POSE_PARAMETERS,
    *INITIAL_POSE_PARAMETERS,
    *HINT_PARAMETERS,
    *RELOCALIZE_PARAMETERS,
    *SAVED_POSE_PARAMETERS,
    *TRACKING_PARAMETERS,
)
"""Parameters of nodes that take AMCL's place."""


class Contract:
    """In: odometry, `initialpose`. Out: TF map -> odom, the tracked pose, `initialpose`. Services:
    `~/publish_initial_pose`. Actions: `~/relocalize`."""

    def __init__(self, node: PoseNode, loaded: Callable[[], Loaded]) -> None:
        self._tracking = Tracking(node, lambda: loaded().metric)
        self._map_odom = MapOdomBroadcaster(node, self._tracking)
        self._pose = TrackedPosePublisher(node, self._tracking)
        self._hints = Hints(node, self._tracking)
        self._initial = InitialPose(node, self._tracking, self._hints)
        self._relocalize = RelocalizeServer(node, self._tracking, self._initial, self._hints)
        self._saved = SavedPose(node, self._tracking, self._hints, lambda: loaded().map_id)

    def load(self) -> None:
        """Open what is published, when the node's own listeners are there."""
        self._saved.load()
        self._tracking.load()
        self._hints.load()
        self._map_odom.load()
        self._pose.load()
        self._initial.load()
        self._relocalize.load()

    def hint(self, stamp: float) -> Hint | None:
        """Of the base at the stamp of an image, if there is one that counts."""
        return self._hints.of_base(stamp)

    def listen(self) -> None:
        """While the node is active."""
        self._tracking.listen()
        self._hints.listen()
        self._map_odom.listen()
        self._initial.listen()
        self._saved.listen()
        self._relocalize.listen()
