"""Starting, refusing to start, being interrupted, being killed, and keeping up."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from rosgraph_msgs.msg import Clock

from relpose_ros.nodes.node_process import NodeProcess

LOCALIZER = ("-m", "relpose_ros.nodes.localizer_node")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({}, "parameter map: expected the path"),
        ({"map": "/no/such.relmap"}, "/no/such.relmap"),
        ({"map": 3}, "parameter map: expected str"),
        ({"map": "m", "image_transport": "zip"}, "one of raw, compressed"),
        ({"map": "m", "tf_timeout": 99.0}, "tf_timeout"),
        ({"map": "m", "base_from_camera": [1.0, 2.0]}, "x y z qx qy qz qw"),
        ({"map": "m", "base_from_camera": [1, 2, 3, 0, 0, 0, 1]}, "decimal points"),
        ({"map": "m", "camera_file": "/no/camera.yaml"}, "/no/camera.yaml"),
        ({"map": "m", "features.pruner": 3}, "parameter features.pruner: expected str"),
    ],
)
def test_refusals_are_one_clear_line(ros_environment, tmp_path, parameters, words):
    process = NodeProcess(LOCALIZER, tmp_path / "log", parameters=parameters)
    assert process.wait(60.0) == 2, process.output()
    assert words in process.output() and "Traceback" not in process.output()
    assert len(process.output().splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [0.0, 0.5, 1.0])
def test_ends_cleanly_on_a_signal_while_starting(start, probe, wait_for, number, after):
    process = start(remap=probe.remap, map="good", base_frame_id="")
    wait_for(lambda: catches(process.pid, signal.SIGTERM))  # the second of the two that are set
    time.sleep(after)
    assert_ends(process, number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly_on_a_signal_in_the_middle_of_a_frame(start, probe, number):
    process = start(remap=probe.remap, map="good,0.5", base_frame_id="")
    probe.wait_for_node()
    probe.send()
    time.sleep(0.2)
    assert_ends(process, number)


def test_more_signals_change_nothing(start, probe):
    """As from an impatient operator, or from launch, which lets SIGTERM follow SIGINT."""
    process = start(remap=probe.remap, map="good", base_frame_id="")
    probe.wait_for_node()
    deadline = time.monotonic() + 20
    while process.status() is None and time.monotonic() < deadline:
        os.kill(process.pid, signal.SIGTERM)
        time.sleep(0.01)
    assert process.status() == 0, process.output()
    assert "Traceback" not in process.output()


def assert_ends(process: NodeProcess, number: int) -> None:
    began = time.monotonic()
    assert process.stop(number) == 0, process.output()
    assert time.monotonic() - began < 10
    assert "Traceback" not in process.output() and "Error" not in process.output()


def catches(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal: before that it is Python, not we, that starts."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (number - 1) & 1) and "python" in Path(f"/proc/{pid}/comm").read_text()


def test_after_sigkill_the_next_one_works(start, probe):
    killed = start(remap=probe.remap, map="good", base_frame_id="")
    probe.wait_for_node()
    probe.answer()
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    start(remap=probe.remap, map="good", base_frame_id="")
    before = len(probe.results)
    deadline = time.monotonic() + 30
    while len(probe.results) == before and time.monotonic() < deadline:
        probe.send()
        time.sleep(0.2)
    assert len(probe.results) > before


def test_two_nodes_of_one_name_are_reported(start, probe, wait_for):
    for _ in range(2):
        process = start(remap=probe.remap, map="good", base_frame_id="")
    wait_for(lambda: probe.status() and f"2 nodes are called {probe.name}" in probe.status().message)
    assert probe.status().level == b"\x02"
    wait_for(lambda: "2 nodes are called" in process.output())


def test_newest_frame_wins(start, probe, wait_for):
    """A camera six times faster than the localizer: frames are dropped, ages stay bounded."""
    start(remap=probe.remap, map="good,0.2", base_frame_id="")
    probe.wait_for_node()
    sent: dict[str, float] = {}
    ages: list[float] = []
    for _ in range(90):
        sent[str(probe.send())] = time.monotonic()
        now = time.monotonic()
        ages += [now - sent[str(result.header.stamp)] for result in probe.results[len(ages) :]]
        time.sleep(1 / 30)
    assert 5 <= len(ages) <= 25
    assert max(ages) < 1.0  # two frames of 0.2 s, and a loaded machine
    # DDS keeps one sample too: what it replaces, the node never receives.
    wait_for(lambda: int(probe.values()["received"]) - int(probe.values()["dropped"]) == len(probe.results))
    assert int(probe.values()["dropped"]) > 30


def test_simulated_time_is_the_clock_of_ages(start, probe, ros, wait_for):
    start(remap=probe.remap, map="good", base_frame_id="", use_sim_time=True)
    clock = ros.create_publisher(Clock, "/clock", 10)
    wait_for(clock.get_subscription_count)
    probe.wait_for_node()
    message = Clock()
    message.clock.sec = 1_700_000_100
    stamp = probe.next_stamp()
    for _ in range(5):
        clock.publish(message)
        time.sleep(0.05)
    result = probe.answer()
    ros.destroy_publisher(clock)
    expected = message.clock.sec - (result.header.stamp.sec + 1e-9 * result.header.stamp.nanosec)
    assert stamp and abs(result.age - expected) < 1e-6
