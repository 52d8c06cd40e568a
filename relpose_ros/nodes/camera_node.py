"""What every node with a camera does: parameters, images in, one worker, diagnostics, clean stop."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import TypeAlias

from builtin_interfaces.msg import Time
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from relpose_ros.datasets.camera_files import read_camera
from relpose_ros.errors import CameraError, ImageError, RelposeError
from relpose_ros.nodes.camera_info import CameraInfoBuffer, CameraSource, FixedCamera, NoCameraInfoError
from relpose_ros.nodes.diagnostics import Diagnostics
from relpose_ros.nodes.health import Health, Level
from relpose_ros.nodes.images import image_from_message
from relpose_ros.nodes.messages import nanoseconds, seconds
from relpose_ros.nodes.parameters import Parameter, declare
from relpose_ros.nodes.stamps import StampCheck
from relpose_ros.nodes.worker import NewestWorker
from relpose_ros.types import Frame

ImageMessage: TypeAlias = Image | CompressedImage

PARAMETERS = (
    Parameter("image_transport", "raw", "how images arrive: topic `image` raw, or `image/compressed`",
              choices=("raw", "compressed")),
    Parameter("qos_reliability", "best_effort", "reliability asked of the camera's publishers; best_effort "
              "fits every driver, reliable only drivers that offer it", choices=("best_effort", "reliable")),
    Parameter("camera_file", "", "camera-info YAML used instead of the topic `camera_info`"),
    Parameter("image_is_rectified", False, "images are rectified: take intrinsics from P of CameraInfo"),
    Parameter("camera_frame_id", "", "frame of the camera if the image's frame_id is missing or wrong"),
    Parameter("diagnostics_period", 1.0, "seconds between diagnostics", range=(0.05, 60.0)),
)  # fmt: skip
"""Parameters of every node that takes images."""

INFO_DEPTH = 10
"""Small messages that must not be lost: an image needs the one of its own stamp."""

SILENCE = 2.0
"""Seconds without an image after which diagnostics warn."""


class CameraNode(Node):
    """Base of the nodes. A subclass loads what it needs, then calls `start`, and fills `process`.

    A message never ends the node: what is wrong with it is counted, shown in diagnostics and
    logged (throttled). Raises ConfigurationError or CameraError at construction when a parameter
    cannot be used.
    """

    def __init__(self, name: str, parameters: Sequence[Parameter] = ()) -> None:
        super().__init__(name)
        self.settings = declare(self, (*PARAMETERS, *parameters))
        self.health = Health()
        self._stamps = StampCheck()
        self._seen_errors: set[str] = set()
        self._received_before = 0
        self._infos = CameraInfoBuffer(rectified=self.settings["image_is_rectified"])
        self._cameras: CameraSource = self._camera_source()
        self._worker: NewestWorker[ImageMessage] | None = None

    def process(self, frame: Frame, message: ImageMessage) -> None:
        """Work on one frame, in the worker thread. May raise; RelposeError counts as a bad frame."""
        raise NotImplementedError

    def forget(self) -> None:
        """Time has jumped back: a subclass drops what it remembers by time."""

    def start(self) -> None:
        """Begin to listen. Called last, so that nothing arrives before the node is ready."""
        self._worker = NewestWorker(self._work, lambda: self.health.count("dropped"), self.unexpected)
        if not self.settings["camera_file"]:
            self.create_subscription(CameraInfo, "camera_info", self._on_info, self.camera_qos(INFO_DEPTH))
        self._subscribe_images(self.camera_qos(1))
        self._diagnostics = Diagnostics(
            self, self.health, self.settings["diagnostics_period"], self.listened_to()
        )
        self.create_timer(SILENCE, self._watch_silence, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.get_logger().info(f"listening to {self.image_topic()}")

    def stop(self) -> None:
        """Let the frame in work finish and end the thread; then the node can be destroyed."""
        if self._worker is not None and not self._worker.stop():
            self.get_logger().warning("the frame in work did not finish in time")

    def camera_qos(self, depth: int) -> QoSProfile:
        """Images have depth 1: a frame that waits in a queue is an old pose later."""
        reliable = self.settings["qos_reliability"] == "reliable"
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability)

    def image_topic(self) -> str:
        """The topic after remapping; compressed images are beside the raw ones, as image_transport has it."""
        topic = str(self.resolve_topic_name("image"))
        return topic + "/compressed" if self.settings["image_transport"] == "compressed" else topic

    def camera_frame(self, message: ImageMessage) -> str:
        """The camera's frame: the parameter, or what the image says."""
        return str(self.settings["camera_frame_id"] or message.header.frame_id)

    def age(self, stamp: Time) -> float:
        """Seconds since `stamp` by the node's clock."""
        return 1e-9 * (self.get_clock().now().nanoseconds - nanoseconds(stamp))

    def accept(self, message: ImageMessage) -> None:
        """Give an image to the worker."""
        if self._worker is not None:
            self._worker.offer(message)

    def frame(self, message: ImageMessage) -> Frame:
        """The message as a query. Raises ImageError or CameraError."""
        image = image_from_message(message, self.image_topic())
        camera = self._cameras.camera_at(nanoseconds(message.header.stamp))
        height, width = image.shape[:2]
        if (width, height) != (camera.width, camera.height):
            raise CameraError(
                f"the image is {width}x{height}, but CameraInfo describes {camera.width}x{camera.height}; "
                "remap `camera_info` to the info of this very image topic"
            )
        return Frame(image, camera, seconds(message.header.stamp), self.image_topic())

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
            self.health.problem(kind, Level.WARN, str(error))
            self.get_logger().warning(f"{kind}: {error}", throttle_duration_sec=5.0)

    def _camera_source(self) -> CameraSource:
        path = self.settings["camera_file"]
        return FixedCamera(read_camera(path)) if path else self._infos

    def listened_to(self) -> dict[str, str]:
        """Topics, by the name that diagnostics have for them."""
        images = {"image": self.image_topic()}
        if self.settings["camera_file"]:
            return images
        return images | {"camera info": self.resolve_topic_name("camera_info")}

    def _subscribe_images(self, quality: QoSProfile) -> None:
        kind = CompressedImage if self.settings["image_transport"] == "compressed" else Image
        self.create_subscription(kind, self.image_topic(), self._on_image, quality)

    def _on_info(self, info: CameraInfo) -> None:
        if self._infos.add(info):
            self.health.count("camera info changes")
            self.get_logger().info("CameraInfo has changed", throttle_duration_sec=5.0)

    def _on_image(self, message: ImageMessage) -> None:
        self.health.count("received")
        verdict = self._stamps.check(nanoseconds(message.header.stamp))
        if verdict.problem:
            self.refuse("bad stamps", ImageError(verdict.problem))
            return
        if verdict.jumped_back:
            self._time_jumped()
        self.accept(message)

    def _time_jumped(self) -> None:
        self.health.count("time jumps")
        self.get_logger().warning("time has jumped back (a bag loop?)", throttle_duration_sec=5.0)
        self._infos.forget()
        self.forget()

    def _work(self, message: ImageMessage) -> None:
        try:
            frame = self.frame(message)
        except NoCameraInfoError as error:
            self.refuse("no camera info", error)
        except CameraError as error:
            self.refuse("bad camera info", error)
        except ImageError as error:
            self.refuse("bad images", error)
        else:
            self._process(frame, message)

    def _process(self, frame: Frame, message: ImageMessage) -> None:
        try:
            self.process(frame, message)
        except RelposeError as error:
            self.refuse("failed frames", error)
        else:
            self.health.count("processed")

    def _watch_silence(self) -> None:
        """Say so when no image comes: a wrong topic name or QoS is the commonest trouble of all."""
        received = self.health.counted("received")
        if received > self._received_before:
            self.health.solved("silence")
        else:
            topic = self.image_topic()
            text = f"no image on {topic} ({self.count_publishers(topic)} publishers)"
            self.health.problem("silence", Level.WARN, text)
        self._received_before = received
