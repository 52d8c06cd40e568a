"""Frames -> a rosbag2: images, CameraInfo, ground-truth poses, TF. Needs no ROS, only `rosbags`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.bag_messages import CAMERA_INFO, COMPRESSED, IMAGE, ODOMETRY, POSE, TF, Messages
from relpose_ros.errors import DatasetError, DependencyError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.images import decode_image

METRIC_KEY, LICENCE_KEY = "relpose_metric", "relpose_licence"
"""Keys in the bag's custom metadata: `true`/`false`, and the licence of the images."""


@dataclass(frozen=True)
class BagOdometry:
    """One odometer reading: `odom_from_base` at `stamp` s; `twist` (6,) in base axes, linear first."""

    stamp: float
    odom_from_base: Rigid
    twist: NDArray[np.float64]


@dataclass(frozen=True)
class BagFrame:
    """One exposure. `image` is uint8 grey or BGR pixels, or the bytes of a JPEG or PNG file.

    `stamp` in seconds; `map_from_camera` None writes no pose for this frame. `odometry` holds the
    readings since the frame before, the last one at this frame's stamp; only with `base_from_camera`.
    """

    stamp: float
    image: NDArray[np.uint8] | bytes
    camera: Camera
    map_from_camera: Rigid | None = None
    odometry: tuple[BagOdometry, ...] = ()


@dataclass(frozen=True)
class BagLayout:
    """Topics and frames of the bag.

    Without `base_from_camera` the poses are the camera's. With it (the mount of the camera) the pose
    topic and /tf speak of `base_frame`, and /tf_static holds the mount. `tf` False leaves TF out.
    Where frames have odometry, /tf is map -> odom -> base (REP-105) and still exact from end to end.
    """

    image_topic: str = "/camera/image_raw"
    camera_info_topic: str = "/camera/camera_info"
    pose_topic: str = "/ground_truth/pose"
    map_frame: str = "map"
    base_frame: str = "base_link"
    odom_topic: str = "/odom"
    odom_frame: str = "odom"
    camera_frame: str = "camera_optical_frame"
    base_from_camera: Rigid | None = None
    tf: bool = True

    @property
    def moving_frame(self) -> str:
        """The frame that the pose topic and /tf are about."""
        return self.camera_frame if self.base_from_camera is None else self.base_frame


def write_bag(
    path: str | Path,
    frames: Iterable[BagFrame],
    *,
    layout: BagLayout | None = None,
    storage: Literal["mcap", "sqlite3"] = "mcap",
    compressed: bool = False,
    jpeg_quality: int = 95,
    metric: bool = True,
    licence: str = "",
    overwrite: bool = False,
) -> Path:
    """Write frames as a rosbag2 directory (ROS 2 Kilted types), whole or not at all.

    With `compressed` images go out as CompressedImage on `<image_topic>/compressed`: file bytes as they
    are, pixels as JPEG. Raises DatasetError if `path` exists and `overwrite` is not set, or if there
    are no frames; ImageError for an image that is not one.
    """
    path = Path(path)
    notes = {METRIC_KEY: str(metric).lower(), LICENCE_KEY: licence}
    with _temporary_bag(path, storage, notes, overwrite) as writer:
        bag = _Bag(writer, layout or BagLayout(), compressed, jpeg_quality)
        for frame in frames:
            bag.write(frame)
        if not bag.count:
            raise DatasetError(f"{path}: expected at least one frame to write, got none")
    return path


@contextmanager
def _temporary_bag(path: Path, storage: str, notes: Mapping[str, str], overwrite: bool) -> Iterator[Any]:
    """A rosbags writer beside `path`, renamed to it when all went well."""
    try:
        from rosbags.rosbag2 import StoragePlugin, Writer
    except ImportError as error:
        raise DependencyError("writing bags needs the package rosbags: pip install rosbags") from error
    if path.exists() and not overwrite:
        raise DatasetError(f"{path}: exists already; remove it, choose another name, or ask to overwrite")
    if storage not in ("mcap", "sqlite3"):
        raise DatasetError(f"{path}: expected storage mcap or sqlite3, got {storage!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        # The storage file takes the directory's name, so the directory has its final name from the start.
        writer = Writer(Path(folder) / path.name, version=9, storage_plugin=StoragePlugin[storage.upper()])
        for key, value in notes.items():
            writer.set_custom_data(key, value)
        with writer:
            yield writer
        if path.exists():
            path.rename(Path(folder) / "replaced")
        (Path(folder) / path.name).rename(path)


@dataclass
class _Bag:
    """Puts frames into an open bag. A topic is made when its first message comes."""

    writer: Any
    layout: BagLayout
    compressed: bool
    jpeg_quality: int
    count: int = 0
    messages: Messages = field(default_factory=Messages)
    connections: dict[str, Any] = field(default_factory=dict)

    def write(self, frame: BagFrame) -> None:
        stamp, layout = to_nanoseconds(frame.stamp), self.layout
        if not self.count and layout.base_from_camera is not None and layout.tf:
            mount = self.messages.tf(stamp, layout.base_frame, layout.camera_frame, layout.base_from_camera)
            self._put("/tf_static", TF, stamp, mount)
        self._write_odometry(frame.odometry)
        if frame.map_from_camera is not None:
            self._write_pose(stamp, frame.map_from_camera, frame.odometry)
        info = self.messages.camera_info(stamp, layout.camera_frame, frame.camera)
        self._put(layout.camera_info_topic, CAMERA_INFO, stamp, info)
        self._write_image(stamp, frame.image)
        self.count += 1

    def _write_odometry(self, readings: tuple[BagOdometry, ...]) -> None:
        layout = self.layout
        for reading in readings:
            stamp = to_nanoseconds(reading.stamp)
            pose, frames = reading.odom_from_base, (layout.odom_frame, layout.base_frame)
            message = self.messages.odometry(stamp, *frames, pose, reading.twist)
            self._put(layout.odom_topic, ODOMETRY, stamp, message)
            if layout.tf:
                self._put("/tf", TF, stamp, self.messages.tf(stamp, *frames, pose))

    def _write_pose(self, stamp: int, map_from_camera: Rigid, odometry: tuple[BagOdometry, ...]) -> None:
        layout, pose = self.layout, map_from_camera
        if layout.base_from_camera is not None:
            pose = map_from_camera @ layout.base_from_camera.inverse()
        if layout.tf:
            child, below = layout.moving_frame, pose
            if odometry:
                child, below = layout.odom_frame, pose @ odometry[-1].odom_from_base.inverse()
            self._put("/tf", TF, stamp, self.messages.tf(stamp, layout.map_frame, child, below))
        self._put(layout.pose_topic, POSE, stamp, self.messages.pose(stamp, layout.map_frame, pose))

    def _write_image(self, stamp: int, image: NDArray[np.uint8] | bytes) -> None:
        frame_id, topic = self.layout.camera_frame, self.layout.image_topic
        if self.compressed:
            message = self.messages.compressed(stamp, frame_id, image, self.jpeg_quality)
            self._put(f"{topic}/compressed", COMPRESSED, stamp, message)
            return
        pixels = decode_image(image, f"frame {self.count}") if isinstance(image, bytes) else image
        self._put(topic, IMAGE, stamp, self.messages.image(stamp, frame_id, pixels))

    def _put(self, topic: str, kind: str, stamp: int, message: Any) -> None:
        if topic not in self.connections:
            qos = [_qos(latched=topic == "/tf_static")]
            store = self.messages.store
            self.connections[topic] = self.writer.add_connection(
                topic, kind, typestore=store, offered_qos_profiles=qos
            )
        self.writer.write(self.connections[topic], stamp, self.messages.serialized(message, kind))


def to_nanoseconds(seconds: float) -> int:
    """Seconds -> whole nanoseconds, as a ROS stamp counts."""
    if not np.isfinite(seconds) or seconds < 0:
        raise DatasetError(f"expected a stamp of 0 s or later, got {seconds}")
    return round(seconds * 1e9)


def _qos(latched: bool) -> Any:
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    forever = QosTime(9223372036, 854775807)
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(QosHistory.KEEP_LAST, 10, QosReliability.RELIABLE, durability, forever, forever,
               QosLiveliness.AUTOMATIC, forever, False)  # fmt: skip
