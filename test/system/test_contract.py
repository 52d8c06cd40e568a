"""localizer_node in AMCL's place, over real DDS: map -> odom, tracked poses, hints, relocalization."""

from __future__ import annotations

import itertools
import json
import time

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from driving_robot import ODOM_START, STEP_NS, Robot, map_from_base  # type: ignore[import-not-found]
from geometry_msgs.msg import PoseWithCovarianceStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient
from relpose_msgs.action import Relocalize
from relpose_msgs.msg import LocalizationResult
from std_srvs.srv import Trigger

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.messages import nanoseconds, pose_message, rigid_from_pose, seconds, time_message

SETTINGS = {"map": "driven", "base_from_camera": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]}


@pytest.fixture
def robot(probe, make_image, wait_for):
    out = Robot(probe, make_image, wait_for)
    yield out
    out.close()


@pytest.fixture
def drive(start, robot):
    """Starts a node and its odometry; the robot."""

    def run(**parameters):
        start(remap=robot.remap, **(SETTINGS | parameters))
        robot.ready()
        return robot

    return run


@pytest.fixture
def initialpose(ros, probe, wait_for):
    """A publisher of `initialpose`, once the node listens."""
    publisher = ros.create_publisher(PoseWithCovarianceStamped, f"{probe.namespace}/initialpose", 5)

    def send(message):
        wait_for(publisher.get_subscription_count, what="the node's initialpose")
        publisher.publish(message)

    yield send
    ros.destroy_publisher(publisher)


def hint(metres: float, frame: str = "map") -> PoseWithCovarianceStamped:
    out = PoseWithCovarianceStamped()
    out.header.frame_id = frame
    out.pose.pose = pose_message(map_from_base(metres))
    out.pose.covariance[0] = out.pose.covariance[7] = 0.25
    out.pose.covariance[35] = 0.068
    return out


def expected(offset: float = 0.0) -> Rigid:
    """map_from_odom of a robot that started where `Robot` does, and was carried by `offset` along x."""
    return map_from_base(1.0 + offset) @ ODOM_START.inverse()


def assert_near(found: Rigid, wanted: Rigid, metres: float = 0.02) -> None:
    apart = found.distance_to(wanted)
    assert apart[0] < metres and apart[1] < 0.01, (found, wanted)


def test_map_to_odom_and_the_tracked_pose(drive, wait_for):
    robot = drive()
    assert not robot.transforms and not robot.poses
    robot.step()
    robot.decided("pending", 1)
    assert not robot.transforms and not robot.poses  # one answer is not enough
    robot.steps(5)
    wait_for(lambda: robot.transforms, what="a transform")
    assert_near(robot.transforms[-1][2], expected())
    last = robot.tracked()
    stamps = [result.header.stamp for result in robot.probe.results]
    # One for every image but the first; who is connected late gets the latest alone.
    assert len(robot.poses) < len(stamps)
    assert [pose.header.stamp for pose in robot.poses] == stamps[-len(robot.poses) :]
    assert last.header.frame_id == "map"
    assert_near(rigid_from_pose(last.pose.pose), map_from_base(robot.metres))
    covariance = np.reshape(last.pose.covariance, (6, 6))
    assert np.linalg.eigvalsh(covariance)[0] > 0 and covariance[0, 0] < 1.1e-4
    assert robot.probe.values()["tracking"] == "localized"


def test_it_is_dated_into_the_future_and_repeated(drive):
    robot = drive(transform_tolerance=0.7)
    robot.steps(5)
    newest = robot.probe._stamp + STEP_NS // 10
    robot.wait(lambda: robot.transforms and robot.transforms[-1][1] > 1e-9 * newest + 0.69, what="transforms")
    assert abs(robot.transforms[-1][1] - 1e-9 * newest - 0.7) < 1e-3
    before = len(robot.transforms)
    for _ in range(20):  # odometry alone
        robot._odometry(nanoseconds(robot.probe.next_stamp(STEP_NS // 2)))
        time.sleep(0.05)
    assert len(robot.transforms) >= before + 8
    stamps = [stamp for _, stamp, _ in robot.transforms]
    assert all(a < b for a, b in itertools.pairwise(stamps))
    assert_near(robot.transforms[-1][2], expected())


def test_an_outlier_is_not_followed_a_kidnapping_is(drive):
    robot = drive()
    robot.steps(4)
    robot.step(seen=2.0)
    robot.decided("gated", 1)
    assert robot.probe.status().level == b"\x01" and "gated" in robot.probe.status().message
    said = robot.probe.said(localization=LocalizationResult.DEGRADED)
    assert said.reason.startswith("the tracked pose: the last fix disagrees")
    robot.steps(2)
    assert all(pose.distance_to(expected())[0] < 0.05 for _, _, pose in robot.transforms)

    robot.offset = 2.0
    robot.steps(8)
    robot.decided("kidnapped", 1)
    assert "the pose has jumped by 2.0" in robot.probe.status().message
    # Truth: the place in the map, by the odometry that did not notice.
    robot.wait(
        lambda: robot.transforms[-1][2].distance_to(expected(2.0))[0] < 0.05, what="the kidnapping followed"
    )


def test_unlocalized_images_are_bridged_by_odometry(drive):
    robot = drive()
    robot.steps(4)
    before = np.reshape(robot.tracked().pose.covariance, (6, 6))
    robot.offset = -100.0  # black images
    robot.steps(5)
    last = robot.tracked()
    assert_near(rigid_from_pose(last.pose.pose), map_from_base(robot.metres), 0.05)
    after = np.reshape(last.pose.covariance, (6, 6))
    assert np.all(np.diag(after)[:3] > np.diag(before)[:3])

    robot.offset = 25.5 - robot.metres - 0.1  # white: either of two places that look alike, both elsewhere
    robot.step()
    robot.decided("ambiguous", 1)
    said = robot.probe.said(localization=LocalizationResult.UNLOCALIZED)
    assert said.reason == "ambiguous" and "an ambiguous one, disagrees" in robot.probe.values()["tracking"]
    last = robot.tracked()
    assert_near(rigid_from_pose(last.pose.pose), map_from_base(robot.metres), 0.05)
    assert np.sqrt(last.pose.covariance[0]) > 3.0, "a third of the way to the nearer one"
    robot.offset = 0.0
    robot.step()
    assert robot.probe.diagnosed("tracking", "localized")
    assert np.sqrt(robot.tracked().pose.covariance[0]) < 0.1


def test_without_odometry_there_are_single_frames_only(start, robot):
    start(remap=robot.remap, **SETTINGS)
    robot.probe.wait_for_node()
    for _ in range(3):
        assert robot.probe.answer().base_pose_published
    status = robot.probe.diagnosed("localized", "3") and robot.probe.status()
    assert "odometry" not in status.message, "nobody promised any"
    assert not robot.transforms and not robot.poses
    assert not [key for key in robot.probe.values() if key.startswith("fixes")]


def test_diagonal_covariance_and_no_broadcast(drive):
    robot = drive(covariance_mode="diagonal", tf_broadcast=False)
    robot.steps(4)
    covariance = np.reshape(robot.tracked().pose.covariance, (6, 6))
    assert np.all(np.diag(covariance) > 0) and np.count_nonzero(covariance) == 6
    assert not robot.transforms


def test_odometry_from_a_topic(ros, start, robot):
    publisher = ros.create_publisher(Odometry, f"{robot.probe.namespace}/odom", 50)
    start(remap=robot.remap, odometry_source="topic", **SETTINGS)
    robot.probe.wait_for_node()
    robot.wait(publisher.get_subscription_count, what="the node's odom")

    def sample(stamp_ns: int, child: str = "base_link") -> None:
        message = Odometry(child_frame_id=child)
        message.header.frame_id, message.header.stamp = "odom", time_message(stamp_ns)
        message.pose.pose = pose_message(robot.odom_from_base)
        publisher.publish(message)

    sample(nanoseconds(robot.probe.next_stamp()), "wheel")
    robot.probe.diagnosed("bad odometry", "1")
    robot._odometry = sample
    sample(nanoseconds(robot.probe.next_stamp()))
    robot.steps(4)
    robot.wait(lambda: robot.transforms, what="map -> odom")
    ros.destroy_publisher(publisher)
    assert_near(robot.transforms[-1][2], expected())


def test_an_initial_pose_is_a_hint(drive, initialpose):
    robot = drive()
    initialpose(hint(1.0, "odom"))
    robot.wait(lambda: "frame 'odom'" in robot.probe.status().message, what="a refusal")
    initialpose(hint(1.3))
    robot.probe.diagnosed("initial poses", "1")
    robot.step()  # one is enough
    robot.decided("first", 1)
    robot.wait(lambda: robot.transforms, what="map -> odom")
    initialpose(hint(20.0))
    robot.probe.diagnosed("initial poses", "2")
    robot.steps(2)
    robot.decided("rejected_by_prior", 2)


def test_a_hint_reaches_the_localizer_until_it_is_settled(drive, initialpose):
    robot = drive(map="hinted")
    assert robot.step().reason == "ambiguous"
    initialpose(hint(robot.metres))
    robot.probe.diagnosed("initial poses", "1")
    assert robot.step().state == LocalizationResult.DEGRADED
    robot.decided("first", 1)  # a degraded answer, but two agree
    robot.wait(lambda: robot.transforms, what="map -> odom")
    assert robot.step().reason == "ambiguous"  # the track is no hint: it would confirm itself
    last = robot.tracked()
    assert_near(rigid_from_pose(last.pose.pose), map_from_base(robot.metres), 0.05)
    assert np.sqrt(last.pose.covariance[0]) > 5.0 / 4, "it covers that the hint may be wrong"
    robot.wait(lambda: "initial pose and degraded fixes" in robot.probe.values()["tracking"], what="doubt")


def test_an_initial_pose_by_parameter(drive):
    yaw = {"initial_pose.yaw": 1.0, "initial_pose.x": 12.0}
    robot = drive(set_initial_pose=True, **yaw)
    robot.step()
    robot.decided("rejected_by_prior", 1)


def test_an_initial_pose_for_others(drive, call, ros, probe):
    heard = []
    subscription = ros.create_subscription(
        PoseWithCovarianceStamped, f"{probe.namespace}/initialpose", heard.append, 5
    )
    robot = drive()
    service = f"{probe.name}/publish_initial_pose"
    assert "not localized" in call(Trigger, service).message
    robot.steps(3)
    robot.wait(subscription.get_publisher_count, what="the node's initialpose")
    assert call(Trigger, service).success
    message = robot.wait(lambda: heard, what="an initial pose")[0]
    ros.destroy_subscription(subscription)
    assert message.header.frame_id == "map" and seconds(message.header.stamp) > 1e9
    assert_near(rigid_from_pose(message.pose.pose), map_from_base(robot.metres))
    robot.step()
    assert "initial poses" not in robot.probe.values()  # its own is no hint


class TestRelocalize:
    @pytest.fixture
    def ask(self, ros, probe, wait_for):
        """Sends a goal; its handle and the feedback to come."""
        client = ActionClient(ros, Relocalize, f"{probe.name}/relocalize")

        def run(**fields):
            wait_for(client.server_is_ready, what="the action server")
            told = []
            sent = client.send_goal_async(
                Relocalize.Goal(**fields), feedback_callback=lambda m: told.append(m.feedback)
            )
            wait_for(sent.done, what="the goal to be answered")
            return sent.result(), told

        yield run
        client.destroy()

    @pytest.fixture
    def end(self, wait_for):
        """Waits for the end of a goal; its status and result."""

        def run(handle):
            future = handle.get_result_async()
            wait_for(future.done, what="the result")
            return future.result().status, future.result().result

        return run

    def test_found_again(self, drive, ask, end):
        robot = drive()
        robot.steps(3)
        robot.offset = 5.0
        handle, told = ask(timeout=120.0)
        robot.steps(4)
        status, result = end(handle)
        assert status == GoalStatus.STATUS_SUCCEEDED and result.success and not result.reason
        assert result.confidence == pytest.approx(0.9)
        x = result.pose.pose.pose.position.x
        assert abs(x - 6.0) < 2.0 and abs(10 * x - round(10 * x)) < 0.2
        assert robot.wait(lambda: told, what="feedback")[-1].frames_tried >= 1
        assert told[-1].best_confidence == pytest.approx(0.9)

    def test_a_hint_that_fits_needs_one_image(self, drive, ask, end):
        robot = drive()
        robot.offset = 5.0
        handle, _ = ask(use_hint=True, hint=hint(6.0))
        robot.step()
        assert end(handle)[1].success
        handle, _ = ask(use_hint=True, hint=hint(6.0, "odom"))
        status, result = end(handle)
        assert status == GoalStatus.STATUS_ABORTED and "expected 'map'" in result.reason

    def test_cancelled(self, drive, ask, end, wait_for):
        robot = drive(map="lost")
        handle, told = ask()
        robot.steps(2)
        wait_for(lambda: told, what="feedback")
        assert "inliers" in told[-1].last_reason and told[-1].best_confidence == 0
        other, _ = ask()
        assert "another" in end(other)[1].reason
        wait_for(handle.cancel_goal_async().done, what="the cancellation")
        status, result = end(handle)
        assert status == GoalStatus.STATUS_CANCELED and not result.success
        assert result.reason.startswith("cancelled; 2 images tried, the last: only")

    def test_it_ends_with_the_activation(self, drive, ask, end, call, probe):
        robot = drive(map="hinted")

        def change(number):
            return call(ChangeState, f"{probe.name}/change_state", transition=Transition(id=number)).success

        handle, _ = ask(use_hint=True, hint=hint(50.0), timeout=120.0)
        robot.step()
        assert change(Transition.TRANSITION_DEACTIVATE) and change(Transition.TRANSITION_CLEANUP)
        status, result = end(handle)
        assert status == GoalStatus.STATUS_ABORTED and not result.success
        assert result.reason.startswith("the node was deactivated; 1 images tried")
        assert end(ask()[0])[1].reason == "the node is not active"
        assert change(Transition.TRANSITION_CONFIGURE) and change(Transition.TRANSITION_ACTIVATE)
        robot.ready()
        handle, _ = ask(timeout=120.0)
        assert robot.step().reason == "ambiguous", "the hint ended with the activation"
        handle.cancel_goal_async()
        assert end(handle)[0] == GoalStatus.STATUS_CANCELED

    def test_timeout_with_its_reason(self, drive, ask, end):
        robot = drive(map="lost")
        handle, _ = ask(timeout=4.0)
        robot.step()
        status, result = end(handle)
        assert status == GoalStatus.STATUS_ABORTED and not result.success
        assert result.reason.startswith("timeout; 1 images tried, the last: only")

    def test_without_odometry_one_answer_is_it(self, start, robot, ask, end):
        start(remap=robot.remap, **SETTINGS)
        robot.probe.wait_for_node()
        handle, _ = ask(use_hint=True, hint=hint(50.0), timeout=120.0)
        assert robot.probe.answer().base_pose_published
        handle.cancel_goal_async()
        assert "disagrees with the hint" in end(handle)[1].reason
        handle, _ = ask(use_hint=True, hint=hint(50.0), timeout=120.0)
        robot.probe._stamp -= 60 * 10**9
        robot.probe.answer()
        assert end(handle)[1].reason.startswith("time has jumped back")
        handle, _ = ask()
        robot.probe.answer()
        assert end(handle)[1].success

    def test_without_odometry_a_hint_tells_twins_apart(self, start, robot, ask, end, make_image):
        """At a second between images the hint holds by the answers that stand by it, not by its age."""
        many = {"tracking.min_consistent_fixes": 4}
        start(remap=robot.remap, **(SETTINGS | {"map": "twins"} | many))
        robot.probe.wait_for_node()
        handle, _ = ask(use_hint=True, hint=hint(1.0), timeout=120.0)
        for _ in range(4):
            image = make_image(value=10)
            image.header.stamp = robot.probe.next_stamp(10**9)
            assert robot.probe.answer(image).state == LocalizationResult.DEGRADED
        status, result = end(handle)
        assert status == GoalStatus.STATUS_SUCCEEDED and result.success
        assert result.reason.startswith("degraded: the hint alone; 4 answers agree")
        assert result.confidence == pytest.approx(0.9) and np.sqrt(result.pose.pose.covariance[0]) > 1.0


def test_the_last_pose_is_saved_and_a_hint_at_the_next_start(drive, start, robot, tmp_path):
    file = tmp_path / "state" / "pose.json"
    saving = {"pose_file": str(file), "save_pose_rate": 10.0, "restore_pose": True}
    process = start(remap=robot.remap, **SETTINGS, **saving)
    robot.ready()
    robot.steps(4)
    saved = robot.wait(lambda: file.exists() and json.loads(file.read_text()), what="a file")
    assert saved["map"] == "fake 2026" and abs(saved["translation"][0] - robot.metres) < 0.5
    assert process.stop() == 0
    drive(pose_file=str(file), restore_pose=True)
    robot.step()
    robot.decided("first", 1)


@pytest.mark.parametrize("content", ["", "[]", '{"map": "another"}', '{"map": "fake 2026", "frame": 3}'])
def test_a_saved_pose_that_is_none_is_not_used(drive, start, robot, tmp_path, content):
    file = tmp_path / "pose.json"
    file.write_text(content)
    process = start(remap=robot.remap, pose_file=str(file), restore_pose=True, **SETTINGS)
    robot.ready()
    robot.step()
    robot.decided("pending", 1)
    assert "the saved pose is not used" in process.output() and "Traceback" not in process.output()


def test_time_that_jumps_back_starts_anew(drive):
    robot = drive()
    robot.steps(4)
    robot.wait(lambda: robot.transforms, what="map -> odom")
    robot.probe._stamp -= 60_000_000_000
    robot.offset = 4.0  # another run of the bag, from elsewhere
    robot.step()
    robot.probe.diagnosed("time jumps", "1")
    robot.steps(5)
    robot.wait(
        lambda: robot.transforms[-1][2].distance_to(expected(4.0))[0] < 0.05, what="tracking in the new time"
    )
    assert "kidnapped" not in str(robot.probe.values())
