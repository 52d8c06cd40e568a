"""Plays a rosbag2 to nodes: images as recorded, at the pace of the recording, with /clock."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage

from relpose_ros.errors import DatasetError, RelposeError
from relpose_ros.nodes.messages import time_message

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
INFO_TYPE = "sensor_msgs/msg/CameraInfo"
TF_TOPICS = ("/tf", "/tf_static")
CLOCK_PERIOD = 0.01
"""Seconds of real time between two /clock messages."""


@dataclass(frozen=True)
class CameraTopics:
    """Where a bag has its images and (None: nowhere) their CameraInfo."""

    image: str
    image_type: str
    camera_info: str | None

    @property
    def is_compressed(self) -> bool:
        """Whether images are CompressedImage."""
        return self.image_type == IMAGE_TYPES[1]

    @property
    def image_base(self) -> str:
        """The raw topic's name, which a node's `image` is remapped to."""
        return self.image.removesuffix("/compressed")


def camera_topics(path: Path, image: str | None = None, camera_info: str | None = None) -> CameraTopics:
    """The camera of a bag: what was asked for, or the only one there is. Raises DatasetError."""
    with _reader(path) as reader:
        types = {topic: str(info.msgtype) for topic, info in reader.topics.items()}
    images = [t for t in sorted(types) if types[t] in IMAGE_TYPES and "depth" not in t.lower()]
    if image is None:
        bases = {t.removesuffix("/compressed") for t in images}
        if len(bases) != 1:
            raise DatasetError(f"{path}: expected one image topic, found {images}; choose by --image-topic")
        image = min(images, key=len)
    if types.get(image) not in IMAGE_TYPES:
        raise DatasetError(f"{path}: {image!r} is not an image topic; the bag has {images}")
    infos = [t for t in sorted(types) if types[t] == INFO_TYPE]
    beside = image.removesuffix("/compressed").rsplit("/", 1)[0] + "/camera_info"
    if camera_info is not None and camera_info not in infos:
        raise DatasetError(f"{path}: {camera_info!r} is not a CameraInfo topic; the bag has {infos}")
    found = camera_info or (beside if beside in infos else infos[0] if len(infos) == 1 else None)
    return CameraTopics(image, types[image], found)


class BagPlayer:
    """Publishes the camera and TF of a bag from `node`. `sent(stamp_ns)` is told of every image.

    Transforms out of `global_frame` (map -> odom of whatever localized the robot while it recorded) are left
    out: the node that is tested publishes its own.
    """

    def __init__(
        self,
        node: Node,
        path: Path,
        topics: CameraTopics,
        sent: Callable[[int], None],
        global_frame: str = "map",
    ) -> None:
        self._path, self._topics, self._sent, self._global_frame = path, topics, sent, global_frame
        with _reader(path) as reader:
            kinds = {t: str(info.msgtype) for t, info in reader.topics.items() if self._is_wanted(t)}
        self._publishers = {t: _publisher(node, t, kind) for t, kind in kinds.items()}
        self._clock = node.create_publisher(Clock, "/clock", 10)

    def is_heard(self) -> bool:
        """Whether somebody listens to the clock, the images and the camera infos."""
        topics = [self._topics.image, self._topics.camera_info]
        needed = [self._publishers[t] for t in topics if t is not None]
        return all(p.get_subscription_count() > 0 for p in (*needed, self._clock))

    def play(self, rate: float, go_on: Callable[[], bool]) -> None:
        """Play once, `rate` times as fast as recorded, until the end or until `go_on` says no."""
        with _reader(self._path) as reader:
            connections = [c for c in reader.connections if self._is_wanted(c.topic)]
            start_bag, start = None, time.monotonic()
            for connection, log_ns, raw in reader.messages(connections=connections):
                start_bag = log_ns if start_bag is None else start_bag
                due = start + 1e-9 * (log_ns - start_bag) / rate
                while (wait := due - time.monotonic()) > 0:
                    self._tick(log_ns - round(1e9 * wait * rate))
                    time.sleep(min(wait, CLOCK_PERIOD))
                if not go_on():
                    return
                self._tick(log_ns)
                self._publish(connection.topic, bytes(raw))

    def _publish(self, topic: str, raw: bytes) -> None:
        if topic == self._topics.image:
            self._sent(stamp_of(raw))
        if topic not in TF_TOPICS:
            self._publishers[topic].publish(raw)
        elif kept := self._below_global(deserialize_message(raw, TFMessage)):
            self._publishers[topic].publish(TFMessage(transforms=kept))

    def _below_global(self, message: TFMessage) -> list[TransformStamped]:
        return [t for t in message.transforms if t.header.frame_id.lstrip("/") != self._global_frame]

    def _tick(self, now_ns: int) -> None:
        self._clock.publish(Clock(clock=time_message(max(now_ns, 0))))

    def _is_wanted(self, topic: str) -> bool:
        return topic in (self._topics.image, self._topics.camera_info, *TF_TOPICS)


def stamp_of(raw: bytes) -> int:
    """The header stamp (ns) of a serialized message whose first field is a std_msgs/Header."""
    order: Literal["little", "big"] = "little" if raw[1] & 1 else "big"
    sec = int.from_bytes(raw[4:8], order, signed=True)
    return sec * 1_000_000_000 + int.from_bytes(raw[8:12], order)


def message_class(name: str) -> Any:
    """The Python class of a message type like `sensor_msgs/msg/Image`. Raises DatasetError."""
    package, _, kind = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError) as error:
        raise DatasetError(f"messages of type {name} cannot be played: {error}; install {package}") from error


def _publisher(node: Node, topic: str, kind: str) -> Any:
    durability = DurabilityPolicy.TRANSIENT_LOCAL if topic == "/tf_static" else DurabilityPolicy.VOLATILE
    return node.create_publisher(message_class(kind), topic, QoSProfile(depth=50, durability=durability))


@contextmanager
def _reader(path: Path) -> Iterator[Any]:
    """An open reader of a rosbag2. Raises DatasetError for what is none or breaks off."""
    from rosbags.highlevel import AnyReader

    if not path.exists() or (path.is_dir() and not (path / "metadata.yaml").is_file()):
        raise DatasetError(f"{path}: expected a rosbag2: a folder with metadata.yaml, a .mcap or a .db3 file")
    try:
        with AnyReader([path]) as reader:
            if not reader.is2:
                raise DatasetError(
                    f"{path}: expected a rosbag2, got one of ROS 1; convert it: rosbags-convert"
                )
            yield reader
    except RelposeError:
        raise
    except Exception as error:
        raise DatasetError(f"{path}: cannot play this bag ({type(error).__name__}: {error})") from error
