"""Playing a bag to a node process over DDS: what arrives, what is counted, and how it ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from relpose_ros.datasets.bag_writer import BagFrame, BagLayout, BagOdometry, write_bag
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.bag_player import BagPlayer, camera_topics, stamp_of
from relpose_ros.nodes.replay import ReplayOptions, record, start_localizer
from relpose_ros.nodes.replay_report import MemorySample, memory_figures, processor_figures, replay_figures

CAMERA = Camera("pinhole", 50.0, 50.0, 31.5, 23.5, 64, 48)
START = 1_700_000_000.0


def frames(count, rate=20.0):
    rng = np.random.default_rng(0)
    for n in range(count):
        image = rng.integers(1, 255, (48, 64, 3), dtype=np.uint8)
        yield BagFrame(START + n / rate, image, CAMERA, Rigid(np.eye(3), np.array([0.1 * n, 0, 0])))


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    mount = Rigid.from_quaternion([-0.5, 0.5, -0.5, 0.5], [0.2, 0, 0.3])
    return write_bag(
        tmp_path_factory.mktemp("bag") / "drive", frames(40), layout=BagLayout(base_from_camera=mount)
    )


def play(bag, fake, out, **changes):
    options = ReplayOptions("good", bag, out, **({"node": fake} | changes))
    out.mkdir(exist_ok=True)
    with start_localizer(options, topics := camera_topics(bag)) as process:
        recording = record(options, topics, process)
        status = process.stop()
    return recording, replay_figures(recording.collector, recording.seconds, recording.memory, status)


def test_every_image_is_answered_when_there_is_time(bag, fake, ros_environment, tmp_path):
    recording, figures = play(bag, fake, tmp_path, base_frame="base_link")
    assert figures["images_played"] == 40 and figures["node_exit_status"] == 0
    assert figures["images_answered"] >= 38  # the first may be lost in discovery (best effort)
    assert figures["poses_published"] == figures["images_answered"]  # the mount came from the bag's TF
    assert figures["seconds"] > 1.8  # the pace of the recording
    age = figures["image_age_s"]
    assert 0 < age["p50"] <= age["p95"] <= age["max"]
    stamps = sorted(recording.collector.answers)
    offsets = (np.array(stamps) - round(START * 1e9) + 1000) % 50_000_000  # a float's stamps round by 256 ns
    assert offsets.max() < 2000
    assert figures["node_memory_mb"]["first"] > 20 and figures["node_processor"]["ms_per_answer"] > 0


def test_compressed_bag_at_double_pace_again_and_again(fake, ros_environment, tmp_path):
    bag = write_bag(tmp_path / "drive", frames(20), compressed=True)
    _, figures = play(bag, fake, tmp_path / "out", rate=2.0, minutes=0.05)
    assert figures["seconds"] >= 3
    assert figures["images_played"] > 60 and figures["images_answered"] > 50  # the bag came many times


def test_map_to_odom_of_the_recording_is_left_to_the_node(ros, wait_for, tmp_path):
    """Else two publish it, and the robot jumps between them."""
    driven = (
        replace(f, odometry=(BagOdometry(f.stamp, f.map_from_camera, np.zeros(6)),)) for f in frames(10)
    )
    mount = Rigid.from_quaternion([-0.5, 0.5, -0.5, 0.5], [0.2, 0, 0.3])
    bag = write_bag(tmp_path / "drive", driven, layout=BagLayout(base_from_camera=mount))
    heard: list[tuple[str, str]] = []

    def listen(message: TFMessage) -> None:
        heard.extend((t.header.frame_id, t.child_frame_id) for t in message.transforms)

    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    subscriptions = [ros.create_subscription(TFMessage, "/tf", listen, 50)]
    subscriptions.append(ros.create_subscription(TFMessage, "/tf_static", listen, latched))
    player = BagPlayer(ros, bag, camera_topics(bag), lambda _: None)
    wait_for(lambda: ros.count_publishers("/tf") and ros.count_subscribers("/tf"), what="/tf")
    wait_for(lambda: play_once(player) and len(set(heard)) == 2, what="both transforms")
    assert set(heard) == {("odom", "base_link"), ("base_link", "camera_optical_frame")}
    for subscription in subscriptions:
        ros.destroy_subscription(subscription)


def play_once(player: BagPlayer) -> bool:
    player.play(10.0, lambda: True)
    return True


def test_a_node_that_refuses_to_start_is_quoted(bag, fake, ros_environment, tmp_path):
    options = ReplayOptions("no_such_map", bag, tmp_path, node=fake)
    topics = camera_topics(bag)
    with start_localizer(options, topics) as process, pytest.raises(ConfigurationError, match="no_such_map"):
        record(options, topics, process)


def test_topics_are_found_or_asked_for(bag, tmp_path):
    topics = camera_topics(bag)
    assert (topics.image, topics.camera_info) == ("/camera/image_raw", "/camera/camera_info")
    with pytest.raises(DatasetError, match="/other"):
        camera_topics(bag, image="/other")
    with pytest.raises(DatasetError, match="/other"):
        camera_topics(bag, camera_info="/other")
    with pytest.raises(DatasetError):
        camera_topics(tmp_path)


def test_a_broken_bag_is_an_error_that_says_so(bag, tmp_path):
    (tmp_path / "metadata.yaml").write_text("rosbag2_bagfile_information: 3")
    with pytest.raises(DatasetError, match="cannot play"):
        camera_topics(tmp_path)


@pytest.mark.parametrize("changes", [{"rate": 0.0}, {"rate": float("nan")}, {"minutes": -1.0}])
def test_options_are_checked(tmp_path, changes):
    with pytest.raises(ConfigurationError, match="rate"):
        ReplayOptions(tmp_path, tmp_path, tmp_path, **changes)


def test_stamps_are_read_from_raw_bytes():
    raw = bytes([0, 1, 0, 0]) + (17).to_bytes(4, "little") + (5).to_bytes(4, "little")
    assert stamp_of(raw) == 17_000_000_005
    raw = bytes([0, 0, 0, 0]) + (17).to_bytes(4, "big") + (5).to_bytes(4, "big")
    assert stamp_of(raw) == 17_000_000_005


def test_memory_slope_leaves_the_warm_up_out():
    steady = [MemorySample(t, 200_000_000 if t > 10 else 50_000_000) for t in range(60)]
    assert memory_figures(steady)["slope_per_minute"] == pytest.approx(0.0, abs=1e-6)
    leak = [MemorySample(t, 50_000_000 + 100_000 * t) for t in range(60)]
    assert memory_figures(leak)["slope_per_minute"] == pytest.approx(6.0)


def test_processor_time_is_that_used_while_images_were_played():
    samples = [MemorySample(100.0, 0, 5.0), MemorySample(105.0, 0, 7.5), MemorySample(110.0, 0, 9.0)]
    assert processor_figures(samples, 20) == {"cores": 0.4, "ms_per_answer": 200.0}
    assert processor_figures(samples[:1], 0) == {"cores": None, "ms_per_answer": None}
    assert processor_figures([], 5)["cores"] is None
