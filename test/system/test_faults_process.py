"""Faults of the process and the machine: killed, frozen, starved, slow readers, full disks, rivals."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from fault_tools import (  # type: ignore[import-not-found]
    SETTINGS,
    TruthfulRobot,
    assert_ends,
    assert_well,
    megabytes,
    shared_memory,
    unlink_dead,
)

ELSEWHERE = [2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]

SLOW_READER = """
import sys, time, rclpy
from relpose_msgs.msg import LocalizationResult
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node("slow_reader")
def read(message):
    print("read", flush=True)
    time.sleep(60)
for kind, topic in ((LocalizationResult, "result"), (Image, "debug_image")):
    node.create_subscription(kind, f"{sys.argv[1]}/{topic}", read, 10)
rclpy.spin(node)
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What the tests of this file share: one node, and the file that it saves poses to."""
    kept = {"file": tmp_path_factory.mktemp("state") / "folder" / "pose.json"}
    yield kept
    kept["robot"].close()


@pytest.fixture
def node(shared, start_shared, make_probe, make_image, wait_for):
    """Starts the node of this file, if it does not run; its process."""

    def run():
        if "robot" not in shared:
            shared["robot"] = TruthfulRobot(make_probe(), make_image, wait_for)
        saving = {"pose_file": str(shared["file"]), "save_pose_rate": 10.0}
        process = shared["process"] = start_shared(remap=shared["robot"].remap, **SETTINGS, **saving)
        shared["robot"].ready()
        return process

    return run


@pytest.fixture
def process(shared, node):
    """The running node."""
    return shared["process"] if "process" in shared else node()


@pytest.fixture
def robot(shared, process):
    """The robot on which it runs, localized; honest to the end, and the node well."""
    out = shared["robot"]
    out.forget()
    out.localized()
    yield out
    out.assert_honest()
    assert_well(shared["process"], out.probe)


def test_frozen_for_a_while(process, robot):
    """SIGSTOP, as by a debugger, a swapping machine or a laptop's lid."""
    os.kill(process.pid, signal.SIGSTOP)
    answered = len(robot.probe.results)
    unanswered = []
    for _ in range(25):
        robot.moves_blindly(0.1)
        unanswered.append(robot.photograph())
    assert len(robot.probe.results) == answered
    os.kill(process.pid, signal.SIGCONT)
    robot.localized()
    late = [result for result in robot.probe.results if result.header.stamp in unanswered]
    assert len(late) <= 3, "what waited is old: the newest image wins"


def test_a_reader_that_blocks(process, robot, wait_for, tmp_path):
    """It reads one message and sleeps: the node neither waits for it nor keeps what it does not read."""
    with (tmp_path / "reader").open("w+") as said:
        reader = subprocess.Popen([sys.executable, "-c", SLOW_READER, robot.probe.name], stdout=said)
        try:

            def has_read() -> bool:
                robot.step()
                return "read" in (tmp_path / "reader").read_text()

            wait_for(has_read, what="the reader")
            before, began = megabytes(process), len(robot.probe.results)
            for _ in range(300):
                robot.photograph()
                time.sleep(0.01)
            robot.localized()
            assert len(robot.probe.results) > began + 10
            assert megabytes(process) < before + 30
        finally:
            reader.kill()
            reader.wait()
    robot.localized()


def test_full_disk_while_saving(process, robot, shared):
    """Files may not grow past half a pose: what was saved before stays, and saving is taken up again."""
    file = shared["file"]
    robot.wait(file.exists, what="a saved pose")
    limits = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file.stat().st_size // 2, limits[1]))
    robot.probe.diagnosed("poses not saved", None)
    saved = json.loads(file.read_text())
    robot.localized()
    assert "the pose was not saved" in robot.probe.status().message
    assert robot.probe.status().level == b"\x01"
    assert json.loads(file.read_text()) == saved
    assert [path.name for path in file.parent.iterdir()] == ["pose.json"], "half a file was left behind"
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limits)
    robot.wait(lambda: json.loads(file.read_text()) != saved, what="another pose to be saved")
    robot.localized()
    robot.wait(lambda: "not saved" not in robot.probe.status().message, what="an end of the complaint")


def test_another_localizer_broadcasts_too(process, robot, start):
    """It has the camera mounted elsewhere: the robot would jump between the two, and both say so."""
    words = "another node publishes map -> odom too"
    assert words not in process.output()
    robot.assert_honest()
    other = start(remap=robot.remap | {"__node": "other"}, **(SETTINGS | {"base_from_camera": ELSEWHERE}))

    def both_complain() -> bool:
        robot.step()
        return words in robot.probe.status().message and words in other.output()

    robot.wait(both_complain, what="complaints about the rival")
    assert robot.probe.status().level == b"\x02"
    assert_ends(other)
    robot.forget()
    robot.localized()
    robot.wait(lambda: words not in robot.probe.status().message, what="an end of the complaint")


def test_starved(process, robot):
    """One core for the node at its lowest priority, and six others who want that core."""
    core = min(os.sched_getaffinity(0))
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        os.sched_setaffinity(int(thread), {core})
        os.setpriority(os.PRIO_PROCESS, int(thread), 19)
    spin = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    hogs = [subprocess.Popen([sys.executable, "-S", "-c", spin]) for _ in range(6)]
    try:
        for _ in range(40):
            robot.moves_blindly(0.1)
            robot.photograph()
        assert_well(process, robot.probe)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    robot.localized()


def test_killed_and_restarted(process, robot, node):
    in_use = shared_memory(process.pid)
    assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    robot.assert_honest()
    robot.forget()
    robot.moves_blindly(1.0)
    assert not robot.poses and not robot.transforms
    node()
    robot.step()
    assert not robot.transforms, "one answer is not enough, and nothing of before is known"
    robot.localized()
    unlink_dead(in_use)


def test_it_ends_cleanly_after_all_this(process):
    assert_ends(process)
