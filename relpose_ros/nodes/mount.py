"""Where the camera is mounted on the robot: from a parameter, or from TF."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from builtin_interfaces.msg import Time

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.transform_buffer import TransformError, TransformNotYetError
from relpose_ros.nodes.transforms import SharedTransforms, TransformSource

POLL = 0.005
"""Seconds between two looks while a transform is awaited."""


class Mount(Protocol):
    """Gives `base_from_camera`."""

    def base_from_camera(self, camera_frame: str, stamp: Time, wait: bool = True) -> Rigid:
        """Pose of the camera (OpenCV axes) in the base frame. Raises TransformError.

        Where it does not `wait` it takes what is known already.
        """
        ...


@dataclass(frozen=True, eq=False)
class Mounted:
    """`base_from_camera` at an image, or None and why, in words that name the transform."""

    base_from_camera: Rigid | None
    problem: str = ""


class WaitedOnce:
    """The mount at one image: looked up when it is asked for, by `look(wait)`, and waited for once."""

    def __init__(self, look: Callable[[bool], Mounted]) -> None:
        self._look, self._wait = look, True
        self._found: Rigid | None = None

    def __call__(self) -> Rigid | None:
        """The mount; one that was missing may have come since."""
        if self._found is None:
            self._found = self._look(self._wait).base_from_camera
            self._wait = False
        return self._found


class FixedMount:
    """The same mount always."""

    def __init__(self, base_from_camera: Rigid) -> None:
        self._base_from_camera = base_from_camera

    def base_from_camera(self, camera_frame: str, stamp: Time, wait: bool = True) -> Rigid:
        """The mount, whatever the frame and the stamp."""
        return self._base_from_camera


class NoMount:
    """Neither TF nor a parameter: says so each time it is asked."""

    def base_from_camera(self, camera_frame: str, stamp: Time, wait: bool = True) -> Rigid:
        """Raises TransformError always."""
        raise TransformError(
            "TF cannot be read (neither tf2_ros nor tf2_msgs is installed); set `base_from_camera`"
        )


class TransformMount:
    """The mount as TF has it at the stamp of each image; a moving mount is awaited for `timeout` s."""

    def __init__(self, source: TransformSource, base_frame: str, timeout: float) -> None:
        self._source, self._base_frame, self._timeout = source, base_frame, timeout

    def base_from_camera(self, camera_frame: str, stamp: Time, wait: bool = True) -> Rigid:
        """From TF. Raises TransformError saying what to do."""
        if camera_frame == self._base_frame:
            return Rigid.identity()
        if not camera_frame:
            raise TransformError("the image names no frame_id; set `camera_frame_id` or `base_from_camera`")
        deadline = time.monotonic() + (self._timeout if wait else 0.0)
        while True:
            try:
                return self._source.lookup(self._base_frame, camera_frame, stamp)
            except TransformNotYetError as error:
                if time.monotonic() >= deadline:
                    raise self._explained(camera_frame, error) from error
            except TransformError as error:
                raise self._explained(camera_frame, error) from error
            time.sleep(POLL)

    def _explained(self, camera_frame: str, error: Exception) -> TransformError:
        return TransformError(
            f"no transform {self._base_frame!r} <- {camera_frame!r}: {error}; publish it "
            "(robot_state_publisher, static_transform_publisher) or set `base_from_camera`"
        )


def open_mounts(
    names: Sequence[str],
    transforms: SharedTransforms,
    base_frame: str,
    numbers: list[float],
    timeout: float,
) -> dict[str, Mount]:
    """One mount for each camera, by name; `numbers` have seven for each, or are empty (`open_mount`)."""
    if numbers and len(numbers) != 7 * len(names):
        raise ConfigurationError(
            f"parameter base_from_camera: expected x y z qx qy qz qw of each camera, "
            f"{7 * len(names)} numbers for {len(names)}, got {len(numbers)}"
        )
    return {
        name: open_mount(transforms, base_frame, numbers[7 * i : 7 * i + 7], timeout)
        for i, name in enumerate(names)
    }


def open_mount(
    transforms: SharedTransforms, base_frame: str, base_from_camera: list[float], timeout: float
) -> Mount:
    """The mount that the parameters ask for; `transforms` are opened where it takes them.

    An empty `base_frame` means that the camera itself is wanted. `base_from_camera` is
    x y z qx qy qz qw (metres; the camera's optical frame in the base frame), or empty for TF.
    Raises ConfigurationError for numbers that are no transform.
    """
    if base_from_camera:
        return FixedMount(_mount_from_numbers(base_from_camera))
    if not base_frame:
        return FixedMount(Rigid.identity())
    source = transforms.open()
    return NoMount() if source is None else TransformMount(source, base_frame, timeout)


def _mount_from_numbers(numbers: list[float]) -> Rigid:
    try:
        if len(numbers) != 7:
            raise ValueError(f"got {len(numbers)} numbers")
        if abs(np.linalg.norm(numbers[3:]) - 1.0) > 0.01 or not np.all(np.isfinite(numbers)):
            raise ValueError(f"got {numbers}")
        return Rigid.from_quaternion(numbers[3:], numbers[:3])
    except ValueError as error:
        raise ConfigurationError(
            f"parameter base_from_camera: expected x y z qx qy qz qw (metres, unit quaternion): {error}"
        ) from error
