"""Camera poses out of a bag: from a pose topic or from TF, at any stamp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from relpose_ros.datasets.bag_file import BagFile
from relpose_ros.datasets.tracks import FrameTree, PoseTrack, clean_frame, rigid_or_none
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid

POSE_TYPES = (
    "geometry_msgs/msg/PoseStamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped",
    "nav_msgs/msg/Odometry",
    "geometry_msgs/msg/TransformStamped",
)
TF_TYPE = "tf2_msgs/msg/TFMessage"
COMMANDS = ("goal_pose", "initialpose", "clicked_point", "move_base_simple/goal")
"""Pose topics that tell the robot something; never where it is."""
BODY_FRAMES = ("base_link", "base_footprint")
"""What a pose without a child frame is about on a REP-105 robot."""

PoseAt = Callable[[int], Rigid | None]


@dataclass(frozen=True)
class PoseRequest:
    """What the caller said about poses; None and "" mean: find out. See `open_rosbag`."""

    camera_frame: str
    pose_topic: str | None = None
    world_frame: str | None = None
    pose_frame: str | None = None
    mount: Rigid | None = None


def camera_poses(bag: BagFile, request: PoseRequest) -> PoseAt:
    """A function from a stamp (ns) to `world_from_camera`, or None where it is not known.

    A pose topic that was named is used; otherwise TF if it carries the camera through a world frame,
    otherwise the only pose topic. Poses in a frame of odometry, which drifts, are not taken unless they were
    asked for. Raises DatasetError with what to pass when that is not clear.
    """
    tree = read_tree(bag)
    if request.mount is not None:
        tree = _with_mount(tree, request)
    topic = request.pose_topic
    if topic is None and (world := _tf_world(tree, request)):
        _refuse_drift(bag, "TF", world, request)
        topic = "/tf"
    topic = topic or _only_pose_topic(bag, tree, request.camera_frame)
    if bag.types.get(topic) == TF_TYPE or topic in ("tf", "/tf"):
        return _from_tf(bag, tree, request)
    if bag.types.get(topic) not in POSE_TYPES:
        raise DatasetError(f"{bag.path}: {topic!r} is no pose topic of this bag; it has\n{bag.describe()}")
    return _from_topic(bag, topic, tree, request)


def read_tree(bag: BagFile) -> FrameTree:
    """All of /tf and /tf_static. Transforms that are not rigid (NaN, zero quaternion) are left out."""
    tree = FrameTree()
    for topic in bag.topics(TF_TYPE):
        for _, message in bag.messages(topic):
            for stamped in message.transforms:
                pose = _rigid(stamped.transform.translation, stamped.transform.rotation)
                stamp = None if topic.endswith("tf_static") else _nanoseconds(stamped.header)
                if pose is not None:
                    tree.add(stamped.header.frame_id, stamped.child_frame_id, pose, stamp)
    return tree


def _refuse_drift(bag: BagFile, origin: str, world: str, request: PoseRequest) -> None:
    """A map in the frame of odometry looks right and fits no other drive."""
    asked = request.pose_topic is not None or request.world_frame is not None
    if asked or not world.rsplit("/", 1)[-1].startswith("odom"):
        return
    raise DatasetError(
        f"{bag.path}: {origin} knows the camera in {world!r} alone, the frame of odometry, which drifts and "
        "begins elsewhere in every drive. Record it while something localizes the robot, with map -> odom on "
        f"/tf, or in the bag's pose topic. If these poses are good enough, say so: world_frame={world}"
    )


def _with_mount(tree: FrameTree, request: PoseRequest) -> FrameTree:
    """The tree with the mount that the caller gave in place of the bag's."""
    base, camera = request.pose_frame or BODY_FRAMES[0], clean_frame(request.camera_frame)
    tree.parents[camera] = {clean_frame(base)}
    tree.moving.pop(camera, None)
    assert request.mount is not None
    tree.static[camera] = request.mount
    return tree


def _tf_world(tree: FrameTree, request: PoseRequest) -> str | None:
    """The world frame through which TF carries the camera; None if it does not."""
    chain = tree.chain(request.camera_frame)
    world = clean_frame(request.world_frame or ("map" if "map" in chain else chain[-1]))
    moves = tree.connects(world, request.camera_frame) and tree.moves(world, request.camera_frame)
    return world if moves else None


def _from_tf(bag: BagFile, tree: FrameTree, request: PoseRequest) -> PoseAt:
    world = _tf_world(tree, request)
    if world is None:
        chain = " -> ".join(tree.chain(request.camera_frame))
        raise DatasetError(
            f"{bag.path}: TF does not carry the camera frame {request.camera_frame!r} through "
            f"{request.world_frame or 'a world frame'!r}; from the camera upwards it knows {chain}. "
            "Pass world_frame, camera_frame, mount, or a pose_topic"
        )
    return lambda stamp: tree.lookup(world, request.camera_frame, stamp)


def _only_pose_topic(bag: BagFile, tree: FrameTree, camera_frame: str) -> str:
    topics = [t for t in bag.topics(*POSE_TYPES) if not t.endswith(COMMANDS)]
    if len(topics) == 1:
        return topics[0]
    found = "no pose topic" if not topics else f"{len(topics)} pose topics ({', '.join(topics)})"
    raise DatasetError(
        f"{bag.path}: expected TF from a world frame to the camera, or one pose topic; found {found}. "
        f"{_what_tf_lacks(bag, tree, camera_frame)}Pass pose_topic. The bag has\n{bag.describe()}"
    )


def _what_tf_lacks(bag: BagFile, tree: FrameTree, camera_frame: str) -> str:
    """Empty without any TF."""
    if not bag.topics(TF_TYPE):
        return ""
    chain = " -> ".join(tree.chain(camera_frame))
    return (
        f"From the camera upwards TF knows {chain}, which moves in no world frame: record both /tf and "
        "/tf_static (mount='x y z qx qy qz qw' stands in for the camera's mount). "
    )


def _from_topic(bag: BagFile, topic: str, tree: FrameTree, request: PoseRequest) -> PoseAt:
    track, header_frame, child = _read_track(bag, topic)
    camera = clean_frame(request.camera_frame)
    posed = camera if request.pose_frame == "camera" else clean_frame(request.pose_frame or child)
    posed = posed or _body_frame(bag, topic, tree, camera)
    if posed != camera and not tree.connects(posed, camera):
        raise DatasetError(
            f"{bag.path}: {topic} is about {posed!r} and the camera is {camera!r}, but TF has no way between "
            "them; pass mount='x y z qx qy qz qw' (of the camera on that frame), or pose_frame='camera' if "
            "the pose is the camera's own"
        )
    world = clean_frame(request.world_frame or header_frame)
    _refuse_drift(bag, topic, world, request)
    if world != header_frame and not tree.connects(world, header_frame):
        raise DatasetError(
            f"{bag.path}: {topic} is in frame {header_frame!r}, and TF has no way from it to {world!r}; "
            f"pass world_frame={header_frame!r}"
        )
    return lambda stamp: _chained(track.at(stamp), tree, (world, header_frame), (posed, camera), stamp)


def _chained(
    pose: Rigid | None, tree: FrameTree, outer: tuple[str, str], inner: tuple[str, str], stamp: int
) -> Rigid | None:
    """world_from_header @ header_from_posed @ posed_from_camera, None where one is not known."""
    before = Rigid.identity() if outer[0] == outer[1] else tree.lookup(*outer, stamp)
    after = Rigid.identity() if inner[0] == inner[1] else tree.lookup(*inner, stamp)
    if pose is None or before is None or after is None:
        return None
    return before @ pose @ after


def _body_frame(bag: BagFile, topic: str, tree: FrameTree, camera: str) -> str:
    for body in BODY_FRAMES:
        if tree.connects(body, camera):
            return body
    raise DatasetError(
        f"{bag.path}: {topic} does not say which frame its pose is about, and TF has no base_link that "
        f"carries the camera frame {camera!r}; pass pose_frame='camera' if it is the camera's pose, "
        "or pose_frame='base_link' and mount='x y z qx qy qz qw'"
    )


def _read_track(bag: BagFile, topic: str) -> tuple[PoseTrack, str, str]:
    """The poses of a topic, the frame they are in, and their child frame ("" if the type has none)."""
    track, frames, children = PoseTrack(), set(), set()
    for _, message in bag.messages(topic):
        pose = _message_pose(message)
        if pose is None:
            continue
        track.add(_nanoseconds(message.header), pose)
        frames.add(clean_frame(message.header.frame_id))
        children.add(clean_frame(getattr(message, "child_frame_id", "")))
    if not track.samples:
        raise DatasetError(f"{bag.path}: {topic} has no usable pose (none at all, NaN, or zero quaternions)")
    if len(frames) > 1 or len(children) > 1:
        raise DatasetError(
            f"{bag.path}: {topic} changes its frame midway ({frames}, {children}); split the bag"
        )
    return track, frames.pop(), children.pop()


def _message_pose(message: Any) -> Rigid | None:
    if hasattr(message, "transform"):
        return _rigid(message.transform.translation, message.transform.rotation)
    pose = message.pose if hasattr(message.pose, "position") else message.pose.pose
    return _rigid(pose.position, pose.orientation)


def _rigid(position: Any, orientation: Any) -> Rigid | None:
    rotation = [orientation.x, orientation.y, orientation.z, orientation.w]
    return rigid_or_none(rotation, [position.x, position.y, position.z])


def _nanoseconds(header: Any) -> int:
    return int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)


def parse_mount(mount: Rigid | Sequence[float] | str) -> Rigid:
    """`x y z qx qy qz qw` (text or numbers) as a transform. Raises DatasetError for anything else."""
    if isinstance(mount, Rigid):
        return mount
    try:
        numbers = [float(n) for n in (mount.split() if isinstance(mount, str) else mount)]
    except ValueError:
        numbers = []
    pose = rigid_or_none(numbers[3:], numbers[:3]) if len(numbers) == 7 else None
    if pose is None:
        raise DatasetError(f"mount: expected 'x y z qx qy qz qw' with a unit quaternion, got {mount!r}")
    return pose
