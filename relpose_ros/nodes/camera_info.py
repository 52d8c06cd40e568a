"""The camera of each image: from CameraInfo messages, or from a file given as parameter."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

from sensor_msgs.msg import CameraInfo

from relpose_ros.errors import CameraError
from relpose_ros.geometry.camera_info import camera_from_info
from relpose_ros.geometry.cameras import Camera
from relpose_ros.nodes.messages import nanoseconds

KEEP = 60
"""CameraInfo messages remembered: two seconds at 30 Hz."""

NO_INFO = "no CameraInfo has come yet; remap `camera_info` to the camera's topic, or set `camera_file`"


class NoCameraInfoError(CameraError):
    """No CameraInfo has come yet."""


class CameraSource(Protocol):
    """Gives the camera that took the image of a stamp."""

    def camera_at(self, stamp_ns: int) -> Camera:
        """The camera. Raises CameraError saying what is missing or wrong."""
        ...


class FixedCamera:
    """The same camera always: read from `camera_file`."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    def camera_at(self, stamp_ns: int) -> Camera:
        """The camera, whatever the stamp."""
        return self._camera


class CameraInfoBuffer:
    """Remembers recent CameraInfo messages by stamp. Thread-safe.

    A camera that publishes an info with each image (same stamps) may change its calibration at
    any image, so the info of that very image is waited for, up to `patience` seconds. A camera
    whose infos have other stamps (latched, slower) is described by its newest one.
    """

    def __init__(self, patience: float = 0.05, rectified: bool = False) -> None:
        self._patience, self._rectified = patience, rectified
        self._by_stamp: OrderedDict[int, Camera | CameraError] = OrderedDict()
        self._newest: Camera | CameraError = NoCameraInfoError(NO_INFO)
        self._paired = False
        self._change = threading.Condition()

    def add(self, info: CameraInfo) -> bool:
        """Remember a message; whether it describes another camera than the one before."""
        camera = self._read(info)
        with self._change:
            changed = isinstance(self._newest, Camera) and camera != self._newest
            self._newest = camera
            self._by_stamp[nanoseconds(info.header.stamp)] = camera
            while len(self._by_stamp) > KEEP:
                self._by_stamp.popitem(last=False)
            self._change.notify_all()
        return changed

    def camera_at(self, stamp_ns: int) -> Camera:
        """The camera of the image with this stamp.

        Raises NoCameraInfoError if none has come, CameraError if the driver sent one that is no camera.
        """
        with self._change:
            if self._paired and stamp_ns not in self._by_stamp:
                self._change.wait_for(lambda: stamp_ns in self._by_stamp, self._patience)
            self._paired = stamp_ns in self._by_stamp
            camera = self._by_stamp.get(stamp_ns, self._newest)
        if isinstance(camera, CameraError):
            raise camera
        return camera

    def forget(self) -> None:
        """Forget the stamps, not the camera: time has jumped back."""
        with self._change:
            self._by_stamp.clear()

    def _read(self, info: CameraInfo) -> Camera | CameraError:
        try:
            return camera_from_info(info, rectified=self._rectified)
        except CameraError as error:
            return error
