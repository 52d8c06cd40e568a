"""From an image message to a frame: stamps that run forward, the right camera, pixels of the right size."""

from __future__ import annotations

from typing import TypeAlias

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from relpose_ros.errors import CameraError
from relpose_ros.nodes.camera_info import CameraInfoBuffer, CameraSource
from relpose_ros.nodes.images import image_from_message
from relpose_ros.nodes.messages import nanoseconds, seconds
from relpose_ros.nodes.stamps import StampCheck, Verdict
from relpose_ros.types import Frame

ImageMessage: TypeAlias = Image | CompressedImage


class Intake:
    """Judges the messages of one camera on `topic`; `fixed`, if given, is used instead of CameraInfo."""

    def __init__(self, topic: str, rectified: bool, fixed: CameraSource | None) -> None:
        self._topic, self._fixed = topic, fixed
        self._stamps, self._infos = StampCheck(), CameraInfoBuffer(rectified=rectified)

    def add(self, info: CameraInfo) -> bool:
        """Remember a CameraInfo; whether it describes another camera than the one before."""
        return self._infos.add(info)

    def check(self, message: ImageMessage) -> Verdict:
        """Judge the stamp of the next image."""
        verdict = self._stamps.check(nanoseconds(message.header.stamp))
        if verdict.jumped_back:
            self._infos.forget()
        return verdict

    def frame(self, message: ImageMessage) -> Frame:
        """The message as a query. Raises ImageError or CameraError."""
        image = image_from_message(message, self._topic)
        camera = (self._fixed or self._infos).camera_at(nanoseconds(message.header.stamp))
        height, width = image.shape[:2]
        if (width, height) != (camera.width, camera.height):
            raise CameraError(
                f"the image is {width}x{height}, but CameraInfo describes {camera.width}x{camera.height}; "
                "remap `camera_info` to the info of this very image topic"
            )
        return Frame(image, camera, seconds(message.header.stamp), self._topic)
