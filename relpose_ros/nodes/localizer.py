"""All roads in one process: an image comes in, a trusted pose or an honest "I don't know" leaves."""

from __future__ import annotations

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.channel import ALONE
from relpose_ros.nodes.contract import CONTRACT_PARAMETERS, Contract
from relpose_ros.nodes.debug import DebugPublisher
from relpose_ros.nodes.intake import ImageMessage
from relpose_ros.nodes.loading import (
    MAP_PARAMETERS,
    MATCHING_PARAMETERS,
    RELATIVE_PARAMETERS,
    RETRIEVAL_PARAMETERS,
    SCENE_PARAMETERS,
    Loaded,
    load,
)
from relpose_ros.nodes.map_holder import Load, MapHolder
from relpose_ros.nodes.masks import MASK_PARAMETERS
from relpose_ros.nodes.messages import nanoseconds, seconds
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.pose_node import POSE_PARAMETERS, PoseNode
from relpose_ros.nodes.rig import RIG_PARAMETERS, RigCollector
from relpose_ros.nodes.warm_up import camera_of, synthetic_frame
from relpose_ros.types import Frame, Localization, State

_OWN = (
    *MAP_PARAMETERS,
    *MATCHING_PARAMETERS,
    *RELATIVE_PARAMETERS,
    *RETRIEVAL_PARAMETERS,
    *SCENE_PARAMETERS,
    *RIG_PARAMETERS,
    *MASK_PARAMETERS,
    Parameter("global_frame_id", "map", "frame of the map: frame_id of ~/pose and ~/result"),
    *CONTRACT_PARAMETERS,
)

PARAMETERS = (*_OWN, *POSE_PARAMETERS)
"""Beside those of every node with a camera."""


class LocalizerNode(PoseNode):
    """In: `image`, `camera_info`, or those of each of `cameras`. Out: `~/pose`, `~/result`, `~/debug_image`,
    `~/markers`, `~/state`, `/diagnostics`. Services: `~/load_map`. And, with odometry, what
    `contract.Contract` says."""

    _collector: RigCollector | None = None

    def __init__(self, load: Load = load) -> None:
        super().__init__("localizer", _OWN)
        self._map = MapHolder(self, load, self._warm, lambda: self.reset_listeners("there is another map"))
        self._contract = Contract(self, lambda: self._map.loaded)

    def load(self) -> None:
        """Load the map and open the topics."""
        super().load()
        self._collector = RigCollector(self) if self._is_rig else None
        self._map.open()
        self._check(self._map.loaded)
        frame = self.settings["global_frame_id"]
        self.answer_in(frame)
        self._contract.load()
        self._debug = DebugPublisher(self, frame)

    def listen(self) -> None:
        """Odometry before images."""
        self._contract.listen()
        if self._collector is not None:
            self._collector.listen()
        super().listen()

    def warm_up(self) -> None:
        """Localize a made-up frame."""
        self._warm(self._map.loaded)

    def accept(self, message: ImageMessage, camera: str = ALONE) -> None:
        """Work on it, or, of a rig, collect it."""
        if self._collector is None:
            super().accept(message, camera)
        else:
            self._collector.add(camera, nanoseconds(message.header.stamp), message)

    def forget(self, reason: str) -> None:
        """What waits for images of the same moment will never be complete."""
        super().forget(reason)
        if self._collector is not None:
            self._collector.forget()

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Localize one frame and publish what is true about it."""
        loaded, hint = self._map.loaded, self._contract.hint(seconds(message.header.stamp))
        mount = self.mount_of(message)
        base_from_camera = None if hint is None else mount()
        hint = None if hint is None or base_from_camera is None else hint.seen_from(base_from_camera)
        answer = self.publish_answer(loaded.localizer.localize(frame, hint), message, mount)
        if self.answers_count:
            self._debug.publish(answer, frame, message, loaded.map)

    def process_moment(self, frames: dict[str, Frame], messages: dict[str, ImageMessage]) -> None:
        """Localize what all cameras of a rig saw at one moment."""
        if self._collector is None:
            super().process_moment(frames, messages)
            return
        mounts = {camera: self.look_up_mount(messages[camera], camera) for camera in frames}
        view = self._collector.view(frames, mounts)
        loaded, stamp = self._map.loaded, messages[view.first if view else next(iter(frames))].header.stamp
        if view is None:
            found = Localization(State.UNLOCALIZED, "no camera has a known mount")
        else:
            found = loaded.localizer.localize_rig(view.rig, self._contract.hint(seconds(stamp)))
        found = self._collector.completed(found, self._collector.left_out(messages, frames, mounts))
        answer = self.tell(found, stamp, self.settings["base_frame_id"], Rigid.identity)
        if view is not None and self.answers_count:
            camera, seen = view.strongest(answer)
            self._debug.publish(seen, frames[camera], messages[camera], loaded.map)

    @property
    def _is_rig(self) -> bool:
        return self.camera_names != (ALONE,)

    def _check(self, loaded: Loaded) -> None:
        """Raises ConfigurationError where the map cannot be used with several cameras."""
        if self._is_rig and not loaded.metric:
            raise ConfigurationError(
                f"{loaded.map_id}: with `cameras` the map must be in metres, as mounts are; it has no scale"
            )
        if self._is_rig and not self.settings["base_frame_id"]:
            raise ConfigurationError("parameter base_frame_id: `cameras` need a frame, got nothing")

    def _warm(self, loaded: Loaded) -> None:
        """Localize a made-up frame."""
        self._check(loaded)
        loaded.localizer.localize(synthetic_frame(camera_of(loaded.map)))
