"""The camera of a bag's images over time."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

from relpose_ros.datasets.bag_file import BagFile
from relpose_ros.datasets.camera_files import read_camera
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.camera_info import camera_from_info
from relpose_ros.geometry.cameras import Camera

INFO_TYPE = "sensor_msgs/msg/CameraInfo"


def base_topic(topic: str) -> str:
    """The topic without what image_transport appends."""
    return topic.removesuffix("/compressed")


@dataclass(frozen=True)
class BagCameras:
    """The camera over time: CameraInfo may change midway."""

    stamps: list[int]
    cameras: list[Camera]
    frame_id: str = ""

    def at(self, stamp: int) -> Camera:
        """The newest description not after `stamp`, or the first."""
        return self.cameras[max(bisect.bisect_right(self.stamps, stamp) - 1, 0)]

    @classmethod
    def read(
        cls,
        bag: BagFile,
        image_topic: str,
        asked: str | None,
        camera: Camera | str | Path | None,
        rectified: bool,
    ) -> BagCameras:
        if camera is not None:
            return cls([0], [camera if isinstance(camera, Camera) else read_camera(camera)])
        topic = _info_topic(bag, image_topic, asked)
        changes: list[tuple[int, Camera]] = []
        frame_id = ""
        stamps = bag.stamps(topic)
        for stamp, (_, message) in zip(stamps, bag.messages(topic), strict=True):
            described = camera_from_info(message, rectified=rectified)
            frame_id = frame_id or stamp.frame_id
            if not changes or changes[-1][1] != described:
                changes.append((stamp.header, described))
        if not changes:
            raise DatasetError(f"{bag.path}: topic {topic} has no messages; pass camera=<camera file>")
        return cls([c[0] for c in changes], [c[1] for c in changes], frame_id)


def _info_topic(bag: BagFile, image_topic: str, asked: str | None) -> str:
    beside = f"{base_topic(image_topic).rsplit('/', 1)[0]}/camera_info"
    topics = bag.topics(INFO_TYPE)
    wanted = asked or (beside if beside in topics or len(topics) != 1 else topics[0])
    if wanted in topics:
        return wanted
    raise DatasetError(
        f"{bag.path}: expected CameraInfo on {asked or beside}; pass camera_info_topic, or "
        f"camera=<camera file>. The bag has\n{bag.describe()}"
    )
