"""Nothing that comes in ends the node or makes it say what is not true; everything is counted."""

from __future__ import annotations

import numpy as np
import pytest
from relpose_msgs.msg import LocalizationResult

from relpose_ros.nodes.messages import nanoseconds, time_message

NOT_A_NUMBER = np.full((48, 64), np.nan, np.float32).tobytes()


@pytest.fixture(scope="module")
def node(start_shared, make_probe):
    """One node for the whole parade: (process, probe)."""
    probe = make_probe()
    process = start_shared(remap=probe.remap, map="good", base_frame_id="")
    probe.wait_for_node()
    return process, probe


def test_no_camera_info_yet(node, wait_for):
    _, probe = node
    probe.send(info=False)
    probe.diagnosed("no camera info", "1")
    status = wait_for(lambda: probe.status() if "CameraInfo" in probe.status().message else None)
    assert status.level == b"\x01" and "camera_info" in status.message
    assert not probe.results


def test_then_a_good_one(node):
    assert node[1].answer().state == LocalizationResult.LOCALIZED


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"width": 0, "height": 0, "step": 0, "data": b""}, "empty"),
        ({"data": b""}, "empty"),
        ({"data": bytes(100)}, "broken"),
        ({"step": 10}, "broken"),
        ({"encoding": "bgr8"}, "broken"),
        ({"encoding": "no_such_encoding"}, "encoding"),
        ({"encoding": "16UC1", "step": 128, "data": bytes(128 * 48)}, "depth"),
        ({"encoding": "32FC1", "step": 256, "data": NOT_A_NUMBER}, "depth or float"),
        ({"encoding": ""}, "encoding"),
    ],
)
def test_bad_images(node, make_image, wait_for, fields, words):
    process, probe = node
    before = int(probe.values().get("bad images", "0"))
    probe.send(make_image(**fields))
    probe.diagnosed("bad images", str(before + 1))
    wait_for(lambda: words in probe.status().message, what=lambda: f"{words} in {probe.status().message}")
    assert process.status() is None
    assert probe.answer().state == LocalizationResult.LOCALIZED


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_blown_out(node, make_image, value):
    result = node[1].answer(make_image(value=value))
    if value == 0:  # the fake localizer answers so; the real one is asked in test_real_localizer
        assert result.state == LocalizationResult.UNLOCALIZED and not result.base_pose_published


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"k": [0.0] * 9}, "not calibrated"),
        ({"width": 0, "height": 0}, "size"),
        ({"width": 128, "height": 96}, "128x96"),
        ({"distortion_model": "magic"}, "magic"),
        ({"k": [float("nan")] * 9}, "finite"),
    ],
)
def test_bad_camera_infos(node, make_info, wait_for, fields, words):
    process, probe = node
    count, answers = int(probe.values().get("bad camera info", "0")), len(probe.results)
    probe.send(info=make_info(**fields))
    probe.diagnosed("bad camera info", str(count + 1))
    wait_for(lambda: words in probe.status().message, what=lambda: f"{words} in {probe.status().message}")
    assert process.status() is None and len(probe.results) == answers
    assert probe.answer().state == LocalizationResult.LOCALIZED


def test_the_camera_changes_midway(node, make_image, make_info):
    probe = node[1]
    before = int(probe.values().get("camera info changes", "0"))
    result = probe.answer(make_image(32, 24), make_info(32, 24))
    assert result.state == LocalizationResult.LOCALIZED
    assert probe.answer().state == LocalizationResult.LOCALIZED
    probe.diagnosed("camera info changes", str(before + 2))


def test_time_jumps_back(node, make_image):
    """A bag that starts again: the answers start again too, stamped with the old times."""
    probe = node[1]
    newest = probe.answer().header.stamp
    message = make_image()
    message.header.stamp = time_message(nanoseconds(newest) - 600_000_000_000)
    result = probe.answer(message)
    assert result.state == LocalizationResult.LOCALIZED
    probe.diagnosed("time jumps", "1")
    assert probe.answer().state == LocalizationResult.LOCALIZED  # and forward again


def test_bad_stamps(node, make_image):
    probe = node[1]
    repeated = make_image()
    repeated.header.stamp = probe.answer().header.stamp
    probe.send(repeated)
    probe.diagnosed("bad stamps", "1")


def test_a_silent_camera_is_diagnosed(node, wait_for):
    probe = node[1]
    wait_for(lambda: "no image on" in probe.status().message, what=lambda: probe.status().message)
    assert probe.status().level == b"\x01"


def test_the_node_that_went_through_all_this_ends_cleanly(node):
    process, probe = node
    values = probe.values()
    assert not [key for key in values if key.startswith("exceptions")], values
    assert int(values["localized"]) >= 15
    assert process.stop() == 0
    assert "Traceback" not in process.output()
