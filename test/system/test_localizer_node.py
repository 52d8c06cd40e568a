"""localizer_node with a fake localizer: what a real process does with messages over DDS."""

from __future__ import annotations

import threading
import time

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from rcl_interfaces.srv import DescribeParameters, ListParameters, SetParameters
from rclpy.parameter import Parameter
from relpose_msgs.msg import LocalizationResult
from sensor_msgs.msg import CompressedImage
from sensor_msgs.msg import Image as RosImage
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import MarkerArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.messages import nanoseconds, rigid_from_pose, time_message

CAMERA = Rigid.from_quaternion([0.5, -0.5, 0.5, -0.5], [1.0, 2.0, 3.0])
"""The pose that the fake localizer gives."""

MOUNT = [0.2, 0.0, 0.5, -0.5, 0.5, -0.5, 0.5]


def base_pose(mount: list[float]) -> Rigid:
    return CAMERA @ Rigid.from_quaternion(mount[3:], mount[:3]).inverse()


def assert_same(pose, expected: Rigid) -> None:
    assert np.allclose(rigid_from_pose(pose).matrix, expected.matrix, atol=1e-9)


@pytest.fixture(scope="module")
def localizing(start_shared, make_probe):
    """A probe of a node that always localizes."""
    probe = make_probe()
    start_shared(remap=probe.remap, map="good", base_from_camera=MOUNT)
    probe.wait_for_node()
    return probe


def test_pose_of_the_base_in_the_map(localizing):
    probe = localizing
    result = probe.answer()
    assert result.state == LocalizationResult.LOCALIZED and result.base_pose_published
    assert (result.header.frame_id, result.camera_frame_id) == ("map", "camera_optical_frame")
    assert (result.method, list(result.references), result.inliers) == ("structure", ["a"], 40)
    assert [s.name for s in result.stages] == ["total"] and result.age > 0
    assert_same(result.map_from_camera.pose, CAMERA)
    pose = probe.pose_of(result.header.stamp)
    assert pose.header.frame_id == "map"
    assert_same(pose.pose.pose, base_pose(MOUNT))


def test_covariance_of_the_base_is_that_of_perturbed_poses(localizing):
    probe = localizing
    result = probe.answer()
    covariance = np.reshape(result.map_from_camera.covariance, (6, 6))
    moved = np.reshape(probe.pose_of(result.header.stamp).pose.covariance, (6, 6))
    twists = np.random.default_rng(1).multivariate_normal(np.zeros(6), covariance, 4000)
    mount = Rigid.from_quaternion(MOUNT[3:], MOUNT[:3]).inverse()
    errors = np.array([(CAMERA @ mount).error_to(CAMERA.perturbed(t) @ mount) for t in twists])
    sampled = np.cov(errors.T)
    scale = np.sqrt(np.outer(np.diag(moved), np.diag(moved)))
    assert np.abs((sampled - moved) / scale).max() < 0.1


def test_no_mount_no_pose_until_tf_gives_it(start, probe, ros):
    start(remap=probe.remap, map="good")
    probe.wait_for_node()
    result = probe.answer()
    assert result.state == LocalizationResult.LOCALIZED and not result.base_pose_published
    status = probe.diagnosed("poses without mount") and probe.status()
    assert status.level == b"\x02" and "base_link" in status.message

    publisher = ros.create_publisher(TFMessage, "/tf", 10)
    try:
        # Dynamic TF: samples before and after the image, interpolated.
        stamp = probe.next_stamp()
        for offset, x in ((-20_000_000, 0.0), (20_000_000, 0.4)):
            link = TransformStamped(child_frame_id="camera_optical_frame")
            link.header.frame_id = "base_link"
            link.header.stamp = time_message(nanoseconds(stamp) + offset)
            link.transform.translation.x, link.transform.rotation.w = x, 1.0
            wait_publish(publisher, TFMessage(transforms=[link]))
        message = good_image(stamp)
        result = probe.answer(message)
        assert result.base_pose_published
        assert_same(probe.pose_of(stamp).pose.pose, base_pose([0.2, 0, 0, 0, 0, 0, 1]))
    finally:
        ros.destroy_publisher(publisher)


def wait_publish(publisher, message) -> None:
    deadline = time.monotonic() + 10
    while not publisher.get_subscription_count():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    publisher.publish(message)
    time.sleep(0.2)  # the image must not overtake the transform


def good_image(stamp) -> RosImage:
    out = RosImage(width=64, height=48, encoding="mono8", step=64, data=bytes([100]) * (64 * 48))
    out.header.stamp, out.header.frame_id = stamp, "camera_optical_frame"
    return out


def test_unlocalized_is_said_and_gives_no_pose(start, probe):
    start(remap=probe.remap, map="lost", base_frame_id="")
    probe.wait_for_node()
    for _ in range(3):
        result = probe.answer()
        assert result.state == LocalizationResult.UNLOCALIZED and "inliers" in result.reason
        orientation = result.map_from_camera.pose.orientation
        assert (orientation.x, orientation.y, orientation.z, orientation.w) == (0, 0, 0, 0)
    probe.diagnosed("unlocalized: only # inliers", "3")
    assert not probe.poses


def test_a_pose_that_is_not_finite_is_never_published(start, probe):
    start(remap=probe.remap, map="nan", base_frame_id="")
    probe.wait_for_node()
    result = probe.answer()
    assert result.state == LocalizationResult.UNLOCALIZED and "not finite" in result.reason
    assert not result.base_pose_published and not probe.poses


def test_a_bug_in_the_localizer_does_not_end_the_node(start, probe):
    process = start(remap=probe.remap, map="raises", base_frame_id="")
    probe.wait_for_node()
    for number in range(1, 4):
        probe.send()
        probe.diagnosed("exceptions: RuntimeError: a bug", str(number))
    assert process.status() is None and probe.status().level == b"\x02"
    assert process.output().count("Traceback") == 1


def test_confidence_gate_is_set_while_running(localizing, ros):
    assert localizing.answer().base_pose_published
    for value, published in ((0.95, False), (0.0, True)):
        response = set_parameter(ros, localizing.name, "minimum_confidence", value)
        assert response.successful
        assert localizing.answer().base_pose_published is published
    assert not set_parameter(ros, localizing.name, "minimum_confidence", 1.5).successful
    assert not set_parameter(ros, localizing.name, "map", "another.relmap").successful


def test_every_parameter_of_ours_is_described(localizing, ros):
    names = call(ros, ListParameters, f"{localizing.name}/list_parameters").result.names
    described = call(ros, DescribeParameters, f"{localizing.name}/describe_parameters", names=names)
    ours = [d for d in described.descriptors if "." not in d.name and d.name not in ("use_sim_time",)]
    assert {"map", "profile", "base_frame_id", "base_from_camera", "tf_timeout"} <= {d.name for d in ours}
    assert all(len(d.description) > 10 for d in ours if d.name != "start_type_description_service")


def call(ros, kind, name: str, **fields):
    client = ros.create_client(kind, name)
    try:
        assert client.wait_for_service(15.0)
        done = threading.Event()
        future = client.call_async(kind.Request(**fields))
        future.add_done_callback(lambda _: done.set())
        assert done.wait(15.0)
        return future.result()
    finally:
        ros.destroy_client(client)


def set_parameter(ros, node: str, name: str, value):
    parameter = Parameter(name, value=value).to_parameter_msg()
    return call(ros, SetParameters, f"{node}/set_parameters", parameters=[parameter]).results[0]


def test_compressed_images(start, probe):
    start(remap=probe.remap, map="good", base_frame_id="", image_transport="compressed")
    probe.wait_for_node(probe.compressed)
    png = cv2.imencode(".png", np.full((48, 64), 90, np.uint8))[1].tobytes()
    message = CompressedImage(format="mono8; png compressed", data=png)
    assert probe.answer(message).state == LocalizationResult.LOCALIZED
    probe.send(CompressedImage(format="jpeg", data=b"\xff\xd8 no picture"))
    probe.diagnosed("bad images", "1")


@pytest.mark.parametrize("wanted", ["debug_image", "markers"])
def test_pictures_for_those_who_look(localizing, ros, wait_for, wanted):
    probe = localizing
    kind = {"debug_image": RosImage, "markers": MarkerArray}[wanted]
    seen: list = []
    subscription = ros.create_subscription(kind, f"{probe.name}/{wanted}", seen.append, 10)
    wait_for(subscription.get_publisher_count)
    for _ in range(20):
        probe.answer()
        if seen:
            break
    ros.destroy_subscription(subscription)
    assert seen
    if wanted == "markers":
        assert {m.ns for m in seen[0].markers} == {"landmarks", "references", "camera"}
    else:
        assert (seen[0].width, seen[0].height, seen[0].encoding) == (64, 48, "bgr8")
