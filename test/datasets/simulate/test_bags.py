"""The drives as rosbag2: what is on which topic, and that TF and odometry say what is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from relpose_ros.datasets.open import open_source
from relpose_ros.datasets.simulate.dataset import write_simulation
from relpose_ros.datasets.simulate.odometry import odometry, reading_times
from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.datasets.simulate.simulation import Simulation

OPTIONS = SimulationOptions(width=320, height=240, map_frames=4, query_frames=5, rate=5.0, bags=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_simulation(OPTIONS, tmp_path_factory.mktemp("bags") / "world")


def messages(bag: Path, topic: str) -> list:
    with AnyReader([bag]) as reader:
        chosen = [c for c in reader.connections if c.topic == topic]
        return [reader.deserialize(raw, c.msgtype) for c, _, raw in reader.messages(chosen)]


def test_topics_and_counts(folder: Path):
    with AnyReader([folder / "query_bag"]) as reader:
        found = {topic: (info.msgtype, info.msgcount) for topic, info in reader.topics.items()}
    assert found["/camera/image_raw/compressed"] == ("sensor_msgs/msg/CompressedImage", 5)
    assert found["/camera/camera_info"] == ("sensor_msgs/msg/CameraInfo", 5)
    assert found["/ground_truth/pose"] == ("geometry_msgs/msg/PoseStamped", 5)
    assert found["/odom"] == ("nav_msgs/msg/Odometry", 17)  # 20 Hz over 0.8 s, both ends
    assert found["/tf"] == ("tf2_msgs/msg/TFMessage", 22)
    assert found["/tf_static"] == ("tf2_msgs/msg/TFMessage", 1)


@pytest.mark.parametrize(("name", "split"), [("mapping_bag", "map"), ("query_bag", "query")])
@pytest.mark.parametrize("pose_topic", [None, "/ground_truth/pose"])
def test_bags_open_with_exact_poses(folder: Path, name: str, split: str, pose_topic: str | None):
    shots = [s for s in Simulation(OPTIONS).shots if s.split == split]
    images = open_source(folder / name, pose_topic=pose_topic).images
    assert len(images) == len(shots)
    for shot, image in zip(shots, images, strict=True):
        assert image.stamp == pytest.approx(shot.stamp, abs=1e-6)
        truth = Simulation(OPTIONS).map_from_camera(split, shot.time)
        assert max(truth.distance_to(image.map_from_camera)) < 1e-6


def test_ground_truth_is_the_pose_of_the_base(folder: Path):
    message = messages(folder / "query_bag", "/ground_truth/pose")[2]
    truth = Simulation(OPTIONS).drive("query").map_from_base(0.4)
    position = message.pose.position
    np.testing.assert_allclose([position.x, position.y, position.z], truth.translation, atol=1e-9)
    assert message.header.frame_id == "map"


def test_each_frame_has_one_parent(folder: Path):
    parents: dict[str, set[str]] = {}
    for topic in ("/tf", "/tf_static"):
        for message in messages(folder / "query_bag", topic):
            for t in message.transforms:
                parents.setdefault(t.child_frame_id, set()).add(t.header.frame_id)
    assert parents == {"odom": {"map"}, "base_link": {"odom"}, "camera_optical_frame": {"base_link"}}


def test_images_are_those_of_the_folder(folder: Path):
    sent = messages(folder / "mapping_bag", "/camera/image_raw/compressed")[1]
    assert bytes(sent.data) == (folder / "images" / "000001.jpg").read_bytes()


def test_raw_images_can_be_had(tmp_path: Path):
    options = SimulationOptions(
        width=320, height=240, map_frames=2, query_frames=0, rate=5.0, bags=True, compressed=False
    )
    out = write_simulation(options, tmp_path / "world")
    image = messages(out / "mapping_bag", "/camera/image_raw")[0]
    assert (image.encoding, image.width, image.height, len(image.data)) == ("bgr8", 320, 240, 320 * 240 * 3)
    assert not (out / "query_bag").exists()


def test_odometry_drifts_as_wheels_do():
    drive = Simulation(SimulationOptions()).drive("map")
    times = reading_times(np.linspace(0, drive.duration, 50))
    assert np.all(np.diff(times) > 0)
    ends = []
    for seed in range(7):
        readings = list(odometry(drive, times, np.random.default_rng(seed)))
        truth = drive.map_from_base(drive.duration)
        ends.append(readings[-1].odom_from_base.distance_to(truth)[0])
        assert max(readings[0].odom_from_base.distance_to(drive.map_from_base(0.0))) < 1e-12
        speeds = [r.twist[0] for r in readings[1:]]
        assert np.max(np.abs(speeds)) < 0.55
        for k in range(0, len(times) - 1, 40):
            step = readings[k].odom_from_base.inverse() @ readings[k + 1].odom_from_base
            true = drive.map_from_base(times[k]).inverse() @ drive.map_from_base(times[k + 1])
            assert step.distance_to(true)[0] < 0.003
    assert 0.1 < np.median(ends) < 4.0
