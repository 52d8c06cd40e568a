"""From an image message to a frame: stamps that run forward, the right camera, pixels of the right size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from relpose_ros.errors import CameraError, ImageError
from relpose_ros.nodes.camera_info import CameraInfoBuffer, CameraSource
from relpose_ros.nodes.images import image_from_message, size_from_message
from relpose_ros.nodes.masks import MaskBuffer, Pixels, both, mask_from_message
from relpose_ros.nodes.messages import nanoseconds, seconds
from relpose_ros.nodes.stamps import StampCheck, Verdict
from relpose_ros.types import Frame

ImageMessage: TypeAlias = Image | CompressedImage


class UnmaskedError(ImageError):
    """An image whose mask did not come, where only masked ones are used."""


@dataclass(frozen=True)
class Masking:
    """The masks of one camera: a fixed one, those that come by stamp, and whether images go without."""

    fixed: Pixels | None = None
    buffer: MaskBuffer | None = None
    required: bool = False


class Intake:
    """Judges the messages of one camera on `topic`; `fixed`, if given, is used instead of CameraInfo.

    `source` names its frames; the topic where it is empty.
    """

    def __init__(
        self,
        topic: str,
        rectified: bool,
        fixed: CameraSource | None,
        masking: Masking | None = None,
        source: str = "",
    ) -> None:
        self._topic, self._fixed, self._source = topic, fixed, source or topic
        self._masking = masking or Masking()
        self._stamps, self._infos = StampCheck(), CameraInfoBuffer(rectified=rectified)

    def add(self, info: CameraInfo) -> bool:
        """Remember a CameraInfo; whether it describes another camera than the one before."""
        return self._infos.add(info)

    def check(self, message: ImageMessage) -> Verdict:
        """Judge the stamp of the next image."""
        return self._stamps.check(nanoseconds(message.header.stamp))

    def forget(self) -> None:
        """Time has jumped back: stamps begin anew with the next image."""
        self._stamps = StampCheck()
        self._infos.forget()
        if self._masking.buffer is not None:
            self._masking.buffer.forget()

    def frame(self, message: ImageMessage) -> tuple[Frame, str]:
        """The message as a query, and why it is unmasked, or "". Raises ImageError or CameraError."""
        width, height = size_from_message(message, self._topic)
        camera = (self._fixed or self._infos).camera_at(nanoseconds(message.header.stamp))
        if (width, height) != (camera.width, camera.height):
            raise CameraError(
                f"the image is {width}x{height}, but CameraInfo describes {camera.width}x{camera.height}; "
                "remap `camera_info` to the info of this very image topic"
            )
        image = image_from_message(message, self._topic)  # not before: a few bytes may claim gigabytes
        mask, problem = self._mask(message, image)
        return Frame(image, camera, seconds(message.header.stamp), self._source, mask), problem

    def _mask(self, message: ImageMessage, image: Pixels) -> tuple[Pixels | None, str]:
        """The mask, and why that of the topic is not in it. Raises UnmaskedError where it must be."""
        masking = self._masking
        if masking.fixed is not None and masking.fixed.shape != image.shape[:2]:
            height, width = masking.fixed.shape
            raise ImageError(f"{self._topic}: its mask_file is of {width}x{height}, not of the image's size")
        if masking.buffer is None:
            return masking.fixed, ""
        found, problem = masking.buffer.mask_of(nanoseconds(message.header.stamp)), "no mask of this image"
        if found is not None:
            try:
                return both(masking.fixed, mask_from_message(found, image, f"mask of {self._topic}")), ""
            except ImageError as error:
                problem = str(error)
        if masking.required:
            raise UnmaskedError(f"{self._topic}: {problem}, and unmasked_images is `refuse`")
        return masking.fixed, problem
