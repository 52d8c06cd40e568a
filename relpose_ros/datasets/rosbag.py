"""A rosbag2 with images, CameraInfo and poses as a `Source`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.bag_cameras import BagCameras, base_topic
from relpose_ros.datasets.bag_file import BagFile, Stamp
from relpose_ros.datasets.bag_poses import (
    POSE_TYPES,
    TF_TYPE,
    PoseAt,
    PoseRequest,
    camera_poses,
    parse_mount,
)
from relpose_ros.datasets.bag_writer import LICENCE_KEY, METRIC_KEY
from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.image_messages import image_from_message, size_from_message
from relpose_ros.datasets.keyframes import keyframes
from relpose_ros.errors import ConfigurationError, DatasetError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
NO_POSES = "none"
"""As `pose_topic` of queries: they have no ground truth, whatever topics the bag has."""
STORAGE_SUFFIXES = (".mcap", ".db3")


def recognises(path: Path) -> bool:
    """Whether `path` is a rosbag2 directory or a single storage file."""
    return (path / "metadata.yaml").is_file() or (path.is_file() and path.suffix in STORAGE_SUFFIXES)


def open_rosbag(
    path: Path,
    *,
    image_topic: str | None = None,
    camera_info_topic: str | None = None,
    pose_topic: str | None = None,
    world_frame: str | None = None,
    pose_frame: str | None = None,
    camera_frame: str | None = None,
    mount: Rigid | Sequence[float] | str | None = None,
    camera: Camera | str | Path | None = None,
    rectified: bool | None = None,
    split: Split = "map",
    every: int = 1,
    min_distance_m: float = 0.0,
    min_angle_deg: float = 0.0,
) -> Source:
    """Open a rosbag2 (sqlite3 or mcap); images are decoded when they are wanted.

    Topics are found when there is one candidate. `pose_topic` may be "/tf", or "none" for queries;
    without it TF is preferred when it carries the camera through `world_frame` (default: map, else the root
    of the tree). `pose_frame` is the frame a pose topic is about ("camera": the camera's own), `mount` is
    `pose_frame_from_camera` (x y z qx qy qz qw) where TF lacks it, `camera_frame` replaces an empty
    frame id, `camera` stands in for a missing CameraInfo, `rectified` says whether the images are
    rectified (default: by topic name). `split` is what all images count as; `every`, `min_distance_m`
    and `min_angle_deg` thin them (`keyframes`). An image whose pose is not known at its stamp has none.
    Raises DatasetError or CameraError, saying what to pass, when something is missing or ambiguous.
    """
    if split not in ("map", "query"):
        raise ConfigurationError(f"split: expected 'map' or 'query', got {split!r}")
    bag = BagFile(path)
    topic = _image_topic(bag, image_topic)
    if rectified is None:
        rectified = base_topic(topic).rsplit("/", 1)[-1].startswith("image_rect")
    stamps = sorted(bag.stamps(topic), key=lambda s: (s.header, s.log))
    if not stamps:
        raise DatasetError(f"{path}: topic {topic} has no messages")
    cameras = BagCameras.read(bag, topic, camera_info_topic, camera, rectified)
    frame = camera_frame or stamps[0].frame_id or cameras.frame_id
    poses = _poses(bag, PoseRequest(frame, pose_topic, world_frame, pose_frame, _mount(mount)), stamps, split)
    kept = keyframes(poses, every, min_distance_m, min_angle_deg)
    images = _images(bag, topic, cameras, [(stamps[i], poses[i]) for i in kept], split)
    notes = bag.notes()
    name = path.resolve().name.removesuffix(".mcap").removesuffix(".db3")
    metric = notes.get(METRIC_KEY, "true") == "true"
    return Source(name, path, images, metric, notes.get(LICENCE_KEY, ""))


def _mount(mount: Rigid | Sequence[float] | str | None) -> Rigid | None:
    return None if mount is None else parse_mount(mount)


def _poses(bag: BagFile, request: PoseRequest, stamps: Sequence[Stamp], split: Split) -> list[Rigid | None]:
    """A pose or None for each stamp. Queries need none; a map does."""
    nothing = not bag.topics(TF_TYPE, *POSE_TYPES) and request.pose_topic is None
    if split == "query" and (request.pose_topic == NO_POSES or nothing):
        return [None] * len(stamps)
    pose_at: PoseAt = camera_poses(bag, request)
    poses = [pose_at(stamp.header) for stamp in stamps]
    if split == "map" and not any(poses):
        first, last = stamps[0].header / 1e9, stamps[-1].header / 1e9
        raise DatasetError(
            f"{bag.path}: no image (stamps {first:.3f} to {last:.3f} s) has a pose around it; "
            "check that poses and images are stamped by the same clock, and the topics and frames"
        )
    return poses


def _image_topic(bag: BagFile, asked: str | None) -> str:
    topics = [t for t in bag.topics(*IMAGE_TYPES) if "depth" not in t.lower()]
    if asked is not None:
        if bag.types.get(asked) in IMAGE_TYPES:
            return asked
        raise DatasetError(f"{bag.path}: {asked!r} is no image topic of this bag; it has\n{bag.describe()}")
    bases = {base_topic(t) for t in topics}
    if len(bases) != 1:
        found = f"{len(bases)} cameras" if bases else "no image topic"
        raise DatasetError(
            f"{bag.path}: expected one image topic, found {found}; pass image_topic. It has\n{bag.describe()}"
        )
    return min(topics, key=len)  # the raw one of raw and compressed


@dataclass(frozen=True)
class _BagImage:
    """A `PosedImage.load` that reads one message of a bag."""

    bag: BagFile
    topic: str
    stamp: Stamp
    camera: Camera

    def __call__(self) -> NDArray[np.uint8]:
        place = f"{self.bag.path} {self.topic} at {self.stamp.header / 1e9:.6f} s"
        message = self.bag.message(self.topic, self.stamp)
        width, height = size_from_message(message, place)
        if (width, height) != (self.camera.width, self.camera.height):
            raise ImageError(
                f"{place}: the image is {width}x{height}, CameraInfo says "
                f"{self.camera.width}x{self.camera.height}; pass camera=<camera file> of this image size"
            )
        return image_from_message(message, place)


def _images(
    bag: BagFile, topic: str, cameras: BagCameras, kept: Sequence[tuple[Stamp, Rigid | None]], split: Split
) -> tuple[PosedImage, ...]:
    images, names = [], set()
    for stamp, pose in kept:
        name = f"{stamp.header // 10**9}.{stamp.header % 10**9:09d}"
        if name in names:  # a looped recording, or a driver that repeats itself: the same exposure
            continue
        names.add(name)
        camera = cameras.at(stamp.header)
        load = _BagImage(bag, topic, stamp, camera)
        images.append(PosedImage(name, camera, pose, split, load, stamp.header / 1e9))
    return tuple(images)
