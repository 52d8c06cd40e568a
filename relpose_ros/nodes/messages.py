"""Between our types and ROS messages. Plain copying: whatever is wrong is refused, not mended."""

from __future__ import annotations

from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Pose, PoseWithCovariance, Quaternion, Transform
from numpy.typing import NDArray
from relpose_msgs.msg import StageTime

from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


def seconds(stamp: Time) -> float:
    """A ROS time in seconds."""
    return float(stamp.sec) + 1e-9 * float(stamp.nanosec)


def nanoseconds(stamp: Time) -> int:
    """A ROS time in nanoseconds, exactly."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def time_message(stamp_ns: int) -> Time:
    """Nanoseconds as a ROS time."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return Time(sec=sec, nanosec=nanosec)


def pose_message(transform: Rigid) -> Pose:
    """`target_from_source` as the pose of the source in the target frame."""
    pose = Pose()
    pose.position.x, pose.position.y, pose.position.z = transform.translation.tolist()
    x, y, z, w = transform.rotation_xyzw.tolist()
    pose.orientation = Quaternion(x=x, y=y, z=z, w=w)
    return pose


def pose_with_covariance(transform: Rigid, covariance: Array) -> PoseWithCovariance:
    """A pose and its (6, 6) covariance in ROS order about the target's fixed axes."""
    return PoseWithCovariance(
        pose=pose_message(transform), covariance=np.asarray(covariance, float).reshape(36)
    )


def no_pose() -> PoseWithCovariance:
    """All zero, with a quaternion that is no rotation: nobody can take it for an answer."""
    out = PoseWithCovariance()
    out.pose.orientation.w = 0.0
    return out


def rigid_from_pose(pose: Pose) -> Rigid:
    """The pose of a source in a target frame as `target_from_source`.

    Raises ValueError when the quaternion is not a rotation or a number is not finite.
    """
    p, q = pose.position, pose.orientation
    return _rigid((q.x, q.y, q.z, q.w), (p.x, p.y, p.z))


def rigid_from_transform(transform: Transform) -> Rigid:
    """A geometry_msgs/Transform as Rigid. Raises ValueError like `rigid_from_pose`."""
    t, q = transform.translation, transform.rotation
    return _rigid((q.x, q.y, q.z, q.w), (t.x, t.y, t.z))


def _rigid(quaternion: tuple[float, ...], translation: tuple[float, ...]) -> Rigid:
    if not np.all(np.isfinite(translation)):
        raise ValueError(f"expected a finite translation, got {translation}")
    return Rigid.from_quaternion(quaternion, translation)


def stage_messages(latency_ms: dict[str, float]) -> list[StageTime]:
    """Stage times as messages, in the order in which the stages ran."""
    return [StageTime(name=k, milliseconds=float(v)) for k, v in latency_ms.items()]


def stage_times(stages: list[StageTime]) -> dict[str, float]:
    """The inverse of `stage_messages`."""
    return {s.name: float(s.milliseconds) for s in stages}


def map_id(info: dict[str, Any]) -> str:
    """What names a map in messages between nodes: its name and when it was made."""
    return f"{info.get('name', '?')} {info.get('created', '')}".strip()
