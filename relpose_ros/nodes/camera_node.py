"""What every node with a camera does: parameters, images in, one worker, diagnostics, clean stop."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from builtin_interfaces.msg import Time
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from relpose_msgs.msg import NodeState
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from relpose_ros.errors import CameraError, ImageError, RelposeError
from relpose_ros.nodes.camera_info import NoCameraInfoError
from relpose_ros.nodes.channel import ALONE, Channel, camera_names, of_camera, open_channel
from relpose_ros.nodes.complaints import Complaints
from relpose_ros.nodes.diagnostics import Diagnostics
from relpose_ros.nodes.health import Health, Level
from relpose_ros.nodes.intake import ImageMessage, UnmaskedError
from relpose_ros.nodes.lifecycle import LIFE_PARAMETERS, ManagedNode
from relpose_ros.nodes.messages import nanoseconds
from relpose_ros.nodes.node_state import StatePublisher
from relpose_ros.nodes.parameters import Parameter
from relpose_ros.nodes.worker import NewestWorker
from relpose_ros.types import Frame

PARAMETERS = (
    *LIFE_PARAMETERS,
    Parameter("image_transport", "raw", "how images arrive: topic `image` raw, or `image/compressed`",
              choices=("raw", "compressed")),
    Parameter("qos_reliability", "best_effort", "reliability asked of the camera's publishers; best_effort "
              "fits every driver, reliable only drivers that offer it", choices=("best_effort", "reliable")),
    Parameter("camera_file", "", "camera-info YAML used instead of the topic `camera_info`; {camera} in it "
              "stands for the camera's name where there are several"),
    Parameter("image_is_rectified", False, "images are rectified: take intrinsics from P of CameraInfo"),
    Parameter("camera_frame_id", "", "frame of the camera if the image's frame_id is missing or wrong; "
              "{camera} as in camera_file"),
    Parameter("diagnostics_period", 1.0, "seconds between diagnostics", range=(0.05, 60.0), fixed=True),
)  # fmt: skip
"""Parameters of every node that takes images."""

INFO_DEPTH = 10
"""Small messages that must not be lost: an image needs the one of its own stamp."""

SILENCE = 2.0
"""Seconds without an image after which diagnostics warn."""


class CameraNode(ManagedNode):
    """Base of the nodes. A subclass fills `load`, `warm_up` and `process`.

    A message never ends the node: what is wrong with it is counted, shown in diagnostics and logged once.
    Frames are worked on in a thread of their own, so that services, heart-beats and the clock never wait for
    one. Raises ConfigurationError at construction when a parameter cannot be used.
    """

    nothing_known = NodeState.NONE
    """What `~/state` says of the localization before the first answer."""

    def __init__(self, name: str, parameters: Sequence[Parameter] = ()) -> None:
        super().__init__(name, (*PARAMETERS, *parameters))
        self.health = Health()
        self.complaints = Complaints(self.health, self.get_logger())
        self.state = StatePublisher(self)
        self._seen_errors: set[str] = set()
        self._worker: NewestWorker[dict[str, ImageMessage]] | None = None
        self._channels: dict[str, Channel] = {}
        period = self.settings["diagnostics_period"]
        self._diagnostics = Diagnostics(self, self.health, self.complaints, period, self.publishers_heard)
        self.lifecycle_changed()

    def load(self) -> None:
        """Load and check what is needed and open publishers. May raise."""

    def warm_up(self) -> None:
        """Work on one made-up frame, in the worker's thread. May raise."""

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Work on one frame, in the worker's thread. May raise; RelposeError counts as a bad frame."""
        raise NotImplementedError

    def forget(self, reason: str) -> None:
        """What is remembered by time is worth nothing from here on."""

    def configure(self) -> None:
        """Load, and make the worker."""
        self._channels = {n: open_channel(n, self.settings) for n in camera_names(self.settings)}
        self.load()
        self._worker = NewestWorker(self._work, lambda: self.health.count("dropped"), self.unexpected)
        self.while_configured.callback(self._end_worker)  # last in, first out: before what it works with

    def activate(self) -> None:
        """Warm up, then listen."""
        for channel in self._channels.values():
            channel.renew(self.image_topic(channel.name), self.settings)
        self.between_frames(self.warm_up).result()
        self.listen()

    def listen(self) -> None:
        """Begin to listen. Called last, so that nothing arrives before the node is ready."""
        for channel in self._channels.values():
            self._listen_to(channel)
        self.open_timer(SILENCE, self.watch)
        self.while_active.callback(self._discard)
        topics = ", ".join(self.image_topic(name) for name in self._channels)
        self.get_logger().info(f"listening to {topics}")

    def between_frames(self, job: Callable[[], None]) -> Future[None]:
        """Do something in the worker's thread, when no frame is in work; cancelled by a cleanup."""
        if self._worker is None:
            cancelled: Future[None] = Future()
            cancelled.cancel()
            return cancelled
        return self._worker.between(job)

    @property
    def answers_count(self) -> bool:
        """Whether the frame that the calling thread works on is still to be answered.

        Not while inactive, nor where a cleanup could not wait for the frame: its map is gone.
        """
        worker = self._worker
        return self.is_active and worker is not None and worker.is_here

    def lifecycle_changed(self, problem: str = "") -> None:
        """Say it on ~/state and in diagnostics."""
        self.health.mood = "working" if self.is_active else self.lifecycle
        self.health.note("lifecycle", self.lifecycle)
        if problem:
            self.health.problem("lifecycle", Level.ERROR, problem, math.inf)
        else:
            self.health.solved("lifecycle")
        reason = problem or ("no answer yet" if self.is_active else self.lifecycle)
        if self.nothing_known == NodeState.NONE:
            reason = problem
        self.state.say(lifecycle=self.lifecycle, localization=self.nothing_known, reason=reason)

    def camera_qos(self, depth: int) -> QoSProfile:
        """Images have depth 1: a frame that waits in a queue is an old pose later."""
        reliable = self.settings["qos_reliability"] == "reliable"
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability)

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Of the cameras that are taken together; `ALONE` where there is one, not part of a rig."""
        return tuple(self._channels)

    def image_topic(self, camera: str = ALONE) -> str:
        """The topic after remapping; compressed images are beside the raw ones, as image_transport has it."""
        topic = str(self.resolve_topic_name(self._channels[camera].image))
        return topic + "/compressed" if self.settings["image_transport"] == "compressed" else topic

    def camera_frame(self, message: ImageMessage, camera: str = ALONE) -> str:
        """The camera's frame: the parameter, or what the image says."""
        return of_camera(self.settings["camera_frame_id"], camera) or str(message.header.frame_id)

    def age(self, stamp: Time) -> float:
        """Seconds since `stamp` by the node's clock."""
        return 1e-9 * (self.get_clock().now().nanoseconds - nanoseconds(stamp))

    def accept(self, message: ImageMessage, camera: str = ALONE) -> None:
        """Take an image that has come."""
        self.offer({camera: message})

    def offer(self, messages: dict[str, ImageMessage]) -> None:
        """Give images of one moment, by camera, to the worker."""
        if self._worker is not None:
            self._worker.offer(messages)

    def unexpected(self, error: Exception) -> None:
        """An error that nobody foresaw: the traceback once, then counted."""
        if not self.context.ok():
            return  # the context was shut down under a frame in work
        self.health.count("exceptions", f"{type(error).__name__}: {error}")
        self.health.problem("exception", Level.ERROR, f"unexpected {type(error).__name__}: {error}")
        trace = "".join(traceback.format_exception(error))
        if trace not in self._seen_errors and len(self._seen_errors) < 20:
            self._seen_errors.add(trace)
            self.get_logger().error(f"unexpected error, the node goes on; please report it\n{trace}")

    def refuse(self, kind: str, error: RelposeError) -> None:
        """Count a frame that cannot be used and say why."""
        if self.context.ok():
            self.health.count(kind)
            self.complaints.report(kind, Level.WARN, str(error))

    def _listen_to(self, channel: Channel) -> None:
        if channel.fixed_camera is None:
            heard, quality = channel.heard_as("camera info"), self.camera_qos(INFO_DEPTH)
            self.open_subscription(
                CameraInfo, channel.info, lambda m: self._on_info(channel, m), quality, heard_as=heard
            )
        if channel.masks is not None:
            heard = channel.heard_as("mask")
            self.open_subscription(Image, channel.mask, channel.masks.add, self.camera_qos(2), heard_as=heard)
        kind = CompressedImage if self.settings["image_transport"] == "compressed" else Image
        self.open_subscription(
            kind,
            self.image_topic(channel.name),
            lambda m: self._on_image(channel, m),
            self.camera_qos(1),
            heard_as=channel.heard_as("image"),
        )

    def _discard(self) -> None:
        if self._worker is not None:
            self._worker.discard()

    def _end_worker(self) -> None:
        """Let the frame in work finish."""
        worker, self._worker = self._worker, None
        if worker is not None and not worker.stop():
            self.get_logger().warning("the frame in work did not finish in time")

    def _on_info(self, channel: Channel, info: CameraInfo) -> None:
        if channel.intake.add(info):
            self.health.count("camera info changes")
            self.complaints.mention("camera info", "CameraInfo has changed")

    def _on_image(self, channel: Channel, message: ImageMessage) -> None:
        self.health.count("received")
        channel.received += 1
        verdict = channel.intake.check(message)
        if verdict.problem:
            self.refuse("bad stamps", ImageError(verdict.problem))
            return
        if verdict.jumped_back:
            self._time_jumped()
            channel.intake.check(message)
        self.accept(message, channel.name)

    def _time_jumped(self) -> None:
        self.health.count("time jumps")
        self._discard()
        for channel in self._channels.values():
            channel.intake.forget()
        reason = "time has jumped back (a bag loop?)"
        self.complaints.mention("time", reason)
        self.forget(reason)

    def _work(self, messages: dict[str, ImageMessage]) -> None:
        taken = {camera: self._frame(camera, message) for camera, message in messages.items()}
        frames = {camera: frame for camera, frame in taken.items() if frame is not None}
        if frames:
            self._process(frames, messages)

    def _frame(self, camera: str, message: ImageMessage) -> Frame | None:
        """The message as a query, or None where it is refused."""
        try:
            frame, unmasked = self._channels[camera].intake.frame(message)
        except NoCameraInfoError as error:
            self.refuse("no camera info", error)
        except CameraError as error:
            self.refuse("bad camera info", error)
        except UnmaskedError as error:
            self.refuse("unmasked images", error)
        except ImageError as error:
            self.refuse("bad images", error)
        else:
            if unmasked:
                self.refuse("unmasked images", ImageError(f"{frame.source} is used without: {unmasked}"))
            return frame
        return None

    def process_moment(self, frames: dict[str, Frame], messages: dict[str, ImageMessage]) -> None:
        """Work on what was taken at one moment, by camera; some `messages` may have become no frame."""
        for camera, frame in frames.items():
            self.process(frame, messages[camera])

    def _process(self, frames: dict[str, Frame], messages: dict[str, ImageMessage]) -> None:
        try:
            self.process_moment(frames, messages)
        except RelposeError as error:
            self.refuse("failed frames", error)
        else:
            self.health.count("processed")

    def watch(self) -> None:
        """Say so when no image comes: a wrong topic name or QoS is the commonest trouble of all."""
        for channel in self._channels.values():
            topic = self.image_topic(channel.name)
            if channel.was_silent():
                text = f"no image on {topic} ({self.count_publishers(topic)} publishers)"
                self.complaints.report(channel.heard_as("silence"), Level.WARN, text)
            else:
                self.complaints.solved(channel.heard_as("silence"))
