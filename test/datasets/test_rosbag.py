"""Bags: what is written is read again, poses come by topic or TF, and broken ones are refused."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.bag_from_source import source_to_bag
from relpose_ros.datasets.bag_messages import TF, Messages
from relpose_ros.datasets.bag_writer import BagFrame, BagLayout, BagOdometry, write_bag
from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.camera_files import write_camera
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.open import open_source
from relpose_ros.errors import CameraError, ConfigurationError, DatasetError, ImageError
from relpose_ros.geometry.rigid import Rigid, interpolate
from relpose_ros.images import decode_image

START = 1_700_000_000.0
KINDS = {
    "odometry": "nav_msgs/msg/Odometry",
    "covariance": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "pose": "geometry_msgs/msg/PoseStamped",
    "transform": "geometry_msgs/msg/TransformStamped",
}


@pytest.fixture
def frames(camera, make_pose, make_image):
    """Five frames at 10 Hz."""
    return [BagFrame(START + 0.1 * i, make_image(i), camera, make_pose(i)) for i in range(5)]


def as_jpeg(image):
    """What is left of an image after JPEG at the default quality."""
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], cv2.IMREAD_COLOR)


class Recorder:
    """Writes any messages at any times."""

    def __init__(self, path):
        from rosbags.rosbag2 import StoragePlugin, Writer

        self.make, self.connections = Messages(), {}
        self.writer = Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3)
        self.writer.open()

    def put(self, topic, kind, stamp, message):
        if topic not in self.connections:
            self.connections[topic] = self.writer.add_connection(topic, kind, typestore=self.make.store)
        self.writer.write(self.connections[topic], stamp, self.make.store.serialize_cdr(message, kind))

    def frame(self, stamp, pixels, camera, topic="/cam", frame_id="camera", log=None):
        image = self.make.image(stamp, frame_id, pixels)
        self.put(f"{topic}/image_raw", "sensor_msgs/msg/Image", log or stamp, image)
        info = self.make.camera_info(stamp, frame_id, camera)
        self.put(f"{topic}/camera_info", "sensor_msgs/msg/CameraInfo", log or stamp, info)

    def tf(self, stamp, parent, child, pose, static=False):
        topic = "/tf_static" if static else "/tf"
        self.put(topic, TF, stamp, self.make.tf(stamp, parent, child, pose))

    def pose(self, topic, kind, stamp, pose, frame="map", child=""):
        make, types = self.make, self.make.store.types
        stamped = make.pose(stamp, frame, pose)
        body = types["geometry_msgs/msg/PoseWithCovariance"](pose=stamped.pose, covariance=np.zeros(36))
        if kind == "transform":
            message = make.tf(stamp, frame, child, pose).transforms[0]
        elif kind == "odometry":
            zero = types["geometry_msgs/msg/Vector3"](x=0.0, y=0.0, z=0.0)
            twist = types["geometry_msgs/msg/TwistWithCovariance"](
                twist=types["geometry_msgs/msg/Twist"](linear=zero, angular=zero), covariance=np.zeros(36)
            )
            message = types[KINDS[kind]](header=stamped.header, child_frame_id=child, pose=body, twist=twist)
        elif kind == "covariance":
            message = types[KINDS[kind]](header=stamped.header, pose=body)
        else:
            message = stamped
        self.put(topic, KINDS[kind], stamp, message)

    def close(self):
        self.writer.close()


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path / "bag")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("mounted", [True, False])
@pytest.mark.parametrize("compressed", [True, False])
def test_round_trip(tmp_path, frames, make_pose, same_pose, storage, mounted, compressed):
    layout = BagLayout(base_from_camera=make_pose(99) if mounted else None)
    path = write_bag(
        tmp_path / "drive", frames, layout=layout, storage=storage, compressed=compressed, licence="CC0"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["drive"]
    topics = (None, "/tf", "/ground_truth/pose") if mounted else (None, "/tf")
    for topic in topics:
        source = open_source(path, pose_topic=topic)
        assert (source.name, source.metric, source.licence) == ("drive", True, "CC0")
        for image, frame in zip(source.references, frames, strict=True):
            assert image.stamp == pytest.approx(frame.stamp, abs=1e-6)
            assert image.camera == frame.camera
            assert same_pose(image.map_from_camera, frame.map_from_camera)
            assert np.array_equal(image.load(), as_jpeg(frame.image) if compressed else frame.image)


def test_odometry_stands_between_map_and_base(tmp_path, frames, make_pose, same_pose):
    """TF goes map -> odom -> base_link; from end to end it is the ground truth, whatever the odometry."""
    layout = BagLayout(base_from_camera=make_pose(99))
    with_odometry = [
        replace(f, odometry=(BagOdometry(f.stamp, make_pose(50 + i), np.arange(6.0)),))
        for i, f in enumerate(frames)
    ]
    path = write_bag(tmp_path / "bag", with_odometry, layout=layout)
    in_map, in_odom = open_source(path), open_source(path, pose_topic="/odom")
    for i, frame in enumerate(frames):
        assert same_pose(in_map.images[i].map_from_camera, frame.map_from_camera)
        assert same_pose(in_odom.images[i].map_from_camera, make_pose(50 + i) @ make_pose(99))


def test_a_pose_topic_without_tf_must_be_explained(tmp_path, frames, same_pose):
    path = write_bag(tmp_path / "bag", frames, layout=BagLayout(tf=False))
    with pytest.raises(DatasetError, match="pass pose_frame='camera'"):
        open_source(path)
    source = open_source(path, pose_frame="camera")
    assert same_pose(source.images[2].map_from_camera, frames[2].map_from_camera)


def test_a_mount_can_be_passed(tmp_path, frames, make_pose, pose_line, same_pose):
    mount = make_pose(7)
    on_base = [BagFrame(f.stamp, f.image, f.camera, f.map_from_camera @ mount.inverse()) for f in frames]
    path = write_bag(tmp_path / "bag", on_base, layout=BagLayout(tf=False))
    for given in (mount, pose_line(mount), [*mount.translation, *mount.rotation_xyzw]):
        source = open_source(path, pose_frame="base_link", mount=given)
        assert same_pose(source.images[1].map_from_camera, frames[1].map_from_camera)
    with pytest.raises(DatasetError, match="x y z qx qy qz qw"):
        open_source(path, mount="1 2 3")


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_file_bytes_go_through_untouched(tmp_path, camera, make_image, storage):
    data = cv2.imencode(".jpg", make_image(3))[1].tobytes()
    path = write_bag(tmp_path / "bag", [BagFrame(START, data, camera)], storage=storage, compressed=True)
    (image,) = open_source(path, split="query").queries
    assert np.array_equal(image.load(), decode_image(data, "the file"))
    assert image.map_from_camera is None


def test_grey_images_stay_grey(tmp_path, camera, make_image):
    path = write_bag(tmp_path / "bag", [BagFrame(START, make_image(3, grey=True), camera)])
    assert np.array_equal(open_source(path, split="query").images[0].load(), make_image(3, grey=True))


def test_poses_are_interpolated_at_the_image_stamp(
    recorder, tmp_path, camera, make_image, make_pose, same_pose
):
    """An image between two odometry messages, one in a gap, one before all of them."""
    first, second, mount = make_pose(0), make_pose(1), make_pose(2)
    second = Rigid(second.rotation, first.translation + 0.3)
    ms = 10**6
    start = 1_700_000_000 * 10**9
    for at, pose in ((0, first), (400 * ms, second), (2000 * ms, second)):
        recorder.pose("/odom", "odometry", start + at, pose, "odom", "base_link")
    recorder.tf(start, "base_link", "camera", mount, static=True)
    for at in (-50 * ms, 0, 100 * ms, 1000 * ms):
        recorder.frame(start + at, make_image(at % 97), camera)
    recorder.close()
    poses = [i.map_from_camera for i in open_source(tmp_path / "bag", pose_topic="/odom").images]
    assert poses[0] is None and poses[3] is None
    assert same_pose(poses[1], first @ mount)
    assert same_pose(poses[2], interpolate(first, second, 0.25) @ mount)


@pytest.mark.parametrize("kind", KINDS)
def test_every_pose_type(recorder, tmp_path, camera, make_image, make_pose, same_pose, kind):
    child = "base_link" if kind in ("odometry", "transform") else ""
    recorder.pose("/where", kind, 5, make_pose(3), child=child)
    recorder.tf(1, "base_footprint", "base_link", make_pose(4), static=True)
    recorder.tf(1, "base_link", "camera", make_pose(5), static=True)
    recorder.frame(5, make_image(0), camera)
    recorder.close()
    (image,) = open_source(tmp_path / "bag").references
    assert same_pose(image.map_from_camera, make_pose(3) @ make_pose(5))


def test_tf_through_map_odom_base(recorder, tmp_path, camera, make_image, make_pose, same_pose):
    recorder.tf(5, "map", "odom", make_pose(0))
    recorder.tf(5, "odom", "base_link", make_pose(1))
    recorder.tf(1, "base_link", "camera", make_pose(2), static=True)
    recorder.pose("/goal_pose", "pose", 5, make_pose(8))  # a command, not where the robot is
    recorder.pose("/odom", "odometry", 5, make_pose(1), "odom", "base_link")
    recorder.frame(5, make_image(0), camera)
    recorder.close()
    in_odom = make_pose(1) @ make_pose(2)
    assert same_pose(open_source(tmp_path / "bag").images[0].map_from_camera, make_pose(0) @ in_odom)
    assert same_pose(open_source(tmp_path / "bag", world_frame="odom").images[0].map_from_camera, in_odom)
    by_topic = open_source(tmp_path / "bag", pose_topic="/odom")
    assert same_pose(by_topic.images[0].map_from_camera, in_odom)
    with pytest.raises(DatasetError, match="TF does not carry the camera frame"):
        open_source(tmp_path / "bag", pose_topic="/tf", world_frame="mars")
    with pytest.raises(DatasetError, match="no pose topic of this bag"):
        open_source(tmp_path / "bag", pose_topic="/cam/image_raw")


@pytest.mark.parametrize("origin", ["TF", "/odom"])
def test_a_frame_that_drifts_must_be_asked_for(recorder, tmp_path, camera, make_image, make_pose, origin):
    """A bag of which nobody recorded map -> odom: its map would look right, and fit no other drive."""
    if origin == "TF":
        recorder.tf(5, "odom", "base_link", make_pose(1))
    recorder.pose("/odom", "odometry", 5, make_pose(1), "odom", "base_link")
    recorder.tf(5, "base_link", "camera", make_pose(2), static=True)
    recorder.frame(5, make_image(0), camera)
    recorder.close()
    with pytest.raises(DatasetError, match=f"{origin} knows the camera in 'odom' alone.*world_frame=odom"):
        open_source(tmp_path / "bag")
    assert open_source(tmp_path / "bag", world_frame="odom").images[0].map_from_camera is not None


def test_unknown_mount_is_refused(recorder, tmp_path, camera, make_image, make_pose):
    recorder.pose("/odom", "odometry", 5, make_pose(0), "odom", "base_link")
    recorder.frame(5, make_image(0), camera)
    recorder.close()
    with pytest.raises(DatasetError, match="'base_link' and the camera is 'camera', but TF has no way"):
        open_source(tmp_path / "bag")


def test_a_drive_recorded_without_tf_static_is_told_so(recorder, tmp_path, camera, make_image, make_pose):
    recorder.frame(5, make_image(0), camera)
    recorder.tf(5, "map", "base_link", make_pose(0))
    recorder.close()
    with pytest.raises(DatasetError, match=r"TF knows camera, which moves in no world.* /tf_static"):
        open_source(tmp_path / "bag")


def test_options_of_another_kind_are_refused(recorder, tmp_path, camera, make_image):
    recorder.frame(5, make_image(0), camera)
    recorder.close()
    for option, value in (
        ("every", "two"),
        ("every", 1.5),
        ("min_distance_m", "far"),
        ("rectified", "no way"),
    ):
        with pytest.raises(ConfigurationError, match=f"{option}: expected .*, got {value!r}"):
            open_source(tmp_path / "bag", **{option: value})


def test_ambiguity_is_an_error_that_lists_the_topics(recorder, tmp_path, camera, make_image, make_pose):
    recorder.frame(5, make_image(0), camera, topic="/left")
    recorder.frame(5, make_image(1), camera, topic="/right")
    recorder.pose("/a", "pose", 5, make_pose(0))
    recorder.pose("/b", "pose", 5, make_pose(0))
    recorder.close()
    with pytest.raises(DatasetError, match="found 2 cameras; pass image_topic") as caught:
        open_source(tmp_path / "bag")
    assert "sensor_msgs/msg/Image: /left/image_raw, /right/image_raw" in str(caught.value)
    with pytest.raises(DatasetError, match=r"2 pose topics \(/a, /b\)"):
        open_source(tmp_path / "bag", image_topic="/left/image_raw")
    source = open_source(
        tmp_path / "bag", image_topic="/right/image_raw", pose_topic="/b", pose_frame="camera"
    )
    assert np.array_equal(source.images[0].load(), make_image(1))
    with pytest.raises(DatasetError, match="no image topic of this bag"):
        open_source(tmp_path / "bag", image_topic="/middle/image_raw")


def test_bad_poses_in_a_stream_are_left_out(recorder, tmp_path, camera, make_image, make_pose):
    recorder.pose("/p", "pose", 5, make_pose(0))
    recorder.pose("/p", "pose", 10, SimpleNamespace(translation=[0.0] * 3, rotation_xyzw=[0.0] * 4))
    recorder.pose(
        "/p", "pose", 10, SimpleNamespace(translation=[float("nan")] * 3, rotation_xyzw=[0, 0, 0, 1])
    )
    recorder.frame(5, make_image(0), camera)
    recorder.frame(10, make_image(1), camera)
    recorder.close()
    poses = [i.map_from_camera for i in open_source(tmp_path / "bag", pose_frame="camera").images]
    assert poses[0] is not None and poses[1] is None


def test_clocks_that_do_not_agree(recorder, tmp_path, camera, make_image, make_pose):
    recorder.pose("/p", "pose", 5, make_pose(0))
    recorder.frame(10**18, make_image(0), camera)
    recorder.close()
    with pytest.raises(DatasetError, match="the same clock"):
        open_source(tmp_path / "bag", pose_frame="camera")
    assert (
        open_source(tmp_path / "bag", pose_frame="camera", split="query").queries[0].map_from_camera is None
    )


def test_camera_info_may_change_and_may_be_missing(recorder, tmp_path, camera, make_image):
    wide = camera.resized(64, 48)
    recorder.frame(5, make_image(0), camera)
    recorder.frame(10, make_image(1, width=64, height=48), wide)
    recorder.close()
    source = open_source(tmp_path / "bag", split="query")
    assert [i.camera.width for i in source.images] == [32, 64]
    assert source.images[1].frame().camera == wide
    with pytest.raises(DatasetError, match="expected CameraInfo on /none"):
        open_source(tmp_path / "bag", split="query", camera_info_topic="/none")
    file = write_camera(camera, tmp_path / "camera.yaml")
    fixed = open_source(tmp_path / "bag", split="query", camera=str(file))
    assert fixed.images[1].camera == camera
    with pytest.raises(ImageError, match="the image is 64x48, CameraInfo says 32x24"):
        fixed.images[1].load()


def test_an_uncalibrated_driver(recorder, tmp_path, camera, make_image):
    info = recorder.make.camera_info(5, "camera", camera)
    info.k[:] = 0
    recorder.put("/cam/camera_info", "sensor_msgs/msg/CameraInfo", 5, info)
    recorder.put(
        "/cam/image_raw", "sensor_msgs/msg/Image", 5, recorder.make.image(5, "camera", make_image(0))
    )
    recorder.close()
    with pytest.raises(CameraError, match="not calibrated"):
        open_source(tmp_path / "bag", split="query")


def test_a_driver_without_stamps_counts_by_time_of_recording(recorder, tmp_path, camera, make_image):
    for log in (7, 9):
        recorder.frame(0, make_image(log), camera, log=log * 10**9)
    recorder.close()
    source = open_source(tmp_path / "bag", split="query")
    assert [i.stamp for i in source.images] == [7.0, 9.0]
    assert [np.array_equal(i.load(), make_image(s)) for i, s in zip(source.images, (7, 9), strict=True)] == [
        True,
        True,
    ]


def test_repeated_exposures_count_once(recorder, tmp_path, camera, make_image):
    for log in (7, 8):
        recorder.frame(5, make_image(0), camera, log=log)
    recorder.close()
    assert len(open_source(tmp_path / "bag", split="query").images) == 1


def test_thinning(tmp_path, camera, make_image):
    frames = [
        BagFrame(START + i, make_image(i), camera, Rigid(np.eye(3), np.array([0.1 * i, 0, 0])))
        for i in range(8)
    ]
    path = write_bag(tmp_path / "bag", frames)
    assert len(open_source(path, every=3).images) == 3
    kept = open_source(path, min_distance_m=0.25).images
    assert [round(i.map_from_camera.translation[0], 6) for i in kept if i.map_from_camera] == [0, 0.3, 0.6]


def test_images_can_be_read_from_many_threads(tmp_path, frames):
    source = open_source(write_bag(tmp_path / "bag", frames, storage="sqlite3"))
    right = [False] * 5

    def read(index: int) -> None:
        right[index] = np.array_equal(source.images[index].load(), frames[index].image)

    threads = [threading.Thread(target=read, args=(i,)) for i in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(right)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.9])
def test_truncated_bags_are_refused(tmp_path, frames, storage, share):
    path = write_bag(tmp_path / "bag", frames * 4, storage=storage)
    file = next(p for p in path.iterdir() if p.suffix in (".mcap", ".db3"))
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DatasetError, match="bag"):
        for image in open_source(path, split="query", pose_topic="none").images:
            image.load()


def test_bags_without_their_files(tmp_path, frames):
    path = write_bag(tmp_path / "bag", frames)
    (path / "bag.mcap").unlink()
    with pytest.raises(DatasetError, match="missing"):
        open_source(path)
    (path / "metadata.yaml").write_text("{")
    with pytest.raises(DatasetError, match="reading it fails"):
        open_source(path)


def test_a_single_mcap_file_opens(tmp_path, frames):
    path = write_bag(tmp_path / "bag", frames) / "bag.mcap"
    assert len(open_source(path).references) == 5


def test_no_images(recorder, tmp_path, make_pose):
    recorder.pose("/p", "pose", 5, make_pose(0))
    recorder.close()
    with pytest.raises(DatasetError, match="found no image topic") as caught:
        open_source(tmp_path / "bag")
    assert "geometry_msgs/msg/PoseStamped: /p" in str(caught.value)


def test_split_must_be_one(tmp_path, frames):
    with pytest.raises(ConfigurationError, match="split"):
        open_source(write_bag(tmp_path / "bag", frames), split="test")


def test_writing_is_whole_or_not_at_all(tmp_path, frames):
    def breaking():
        yield frames[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bag(tmp_path / "bag", breaking())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DatasetError, match="at least one frame"):
        write_bag(tmp_path / "bag", [])
    assert list(tmp_path.iterdir()) == []


def test_existing_bags_are_kept_unless_asked(tmp_path, frames):
    write_bag(tmp_path / "bag", frames)
    with pytest.raises(DatasetError, match="exists already"):
        write_bag(tmp_path / "bag", frames[:1])
    assert len(open_source(tmp_path / "bag").images) == 5
    write_bag(tmp_path / "bag", frames[:1], overwrite=True)
    assert len(open_source(tmp_path / "bag").images) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["bag"]


def test_bad_frames_to_write(tmp_path, camera, make_image):
    with pytest.raises(ImageError, match="cannot decode"):
        write_bag(tmp_path / "bag", [BagFrame(START, b"\xff\xd8nothing\xff\xd9", camera)])
    with pytest.raises(DatasetError, match="JPEG or PNG"):
        write_bag(tmp_path / "bag", [BagFrame(START, b"BM..", camera)], compressed=True)
    with pytest.raises(DatasetError, match="stamp of 0 s or later"):
        write_bag(tmp_path / "bag", [BagFrame(float("nan"), make_image(0), camera)])


@pytest.fixture
def folder_source(tmp_path, camera, make_pose, save_image):
    images = []
    for i in range(4):
        path = tmp_path / "images" / f"{i}.{'jpg' if i % 2 else 'png'}"
        save_image(path, i)
        split: Split = "query" if i else "map"
        images.append(PosedImage(path.name, camera, make_pose(i), split, ImageFile(path, camera)))
    return Source("folder", tmp_path, tuple(images), metric=False, licence="MIT")


@pytest.mark.parametrize("compressed", [True, False])
def test_any_source_becomes_a_bag(tmp_path, folder_source, same_pose, compressed):
    path = source_to_bag(folder_source, "query", tmp_path / "bag", rate_hz=20, compressed=compressed)
    source = open_source(path, split="query")
    assert (source.metric, source.licence) == (False, "MIT")
    assert np.diff([i.stamp for i in source.images]) == pytest.approx([0.05, 0.05])
    for image, original in zip(source.queries, folder_source.queries, strict=True):
        assert np.array_equal(image.load(), original.load())  # files go in byte for byte, pixels raw
        assert same_pose(image.map_from_camera, original.map_from_camera)
        assert image.camera == original.camera


def test_own_stamps_are_kept(tmp_path, folder_source):
    stamped = tuple(replace(i, stamp=100 + 3.0 * n) for n, i in enumerate(folder_source.images))
    path = source_to_bag(replace(folder_source, images=stamped), None, tmp_path / "bag")
    assert [i.stamp for i in open_source(path).images] == [100, 103, 106, 109]


def test_sources_that_make_no_bag(tmp_path, folder_source):
    with pytest.raises(DatasetError, match="above 0 Hz"):
        source_to_bag(folder_source, "query", tmp_path / "bag", rate_hz=0)
    empty = Source("empty", tmp_path, ())
    with pytest.raises(DatasetError, match="no query images"):
        source_to_bag(empty, "query", tmp_path / "bag")
