"""Faults where pixels matter: the map's file changes under a running localizer, 4K images, wrong cameras."""

from __future__ import annotations

import os
import random
import shutil

import cv2
import numpy as np
import pytest
from fault_tools import assert_ends, assert_possible, assert_well, megabytes  # type: ignore[import-not-found]
from hostile_messages import spoilt  # type: ignore[import-not-found]
from relpose_msgs.msg import LocalizationResult
from relpose_msgs.srv import LoadMap
from sensor_msgs.msg import Image

from relpose_ros.nodes.messages import rigid_from_pose

LAZY = """
import sys
from relpose_ros.maps import blocks, storage
from relpose_ros.nodes.runner import run
storage.WHOLE_BYTES = blocks.CACHE_BYTES = 0
sys.exit(run("relpose_ros.nodes.localizer", "LocalizerNode"))
"""
"""A localizer_node that reads a small map as it would a huge one: its rows whenever they are asked for."""


class Drive:
    """A localizer in the world's map, of which it has a copy of its own."""

    def __init__(self, world, probe, process, file, wait, make_info) -> None:
        self.world, self.probe, self.process, self.file, self._wait = world, probe, process, file, wait
        self._make_info = make_info
        self.content = file.read_bytes()

    def info(self, scale: int = 1):
        """CameraInfo of the world's camera, of an image enlarged by `scale`."""
        camera = self.world.camera.resized(scale * self.world.camera.width, scale * self.world.camera.height)
        return self._make_info(camera.width, camera.height, k=[float(v) for v in camera.matrix.ravel()])

    def ask(self, number: int, info=None, scale: int = 1) -> LocalizationResult | None:
        """Send a query; its result, None if the frame has failed. Whatever is localized is right."""
        query, probe = self.world.queries[number % len(self.world.queries)], self.probe
        pixels = cv2.resize(query.load(), None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        before = self._not_answered()
        stamp = probe.send(picture(pixels), info or self.info(scale))

        def result() -> LocalizationResult | None:
            return next((r for r in probe.results if r.header.stamp == stamp), None)

        self._wait(lambda: result() or self._not_answered() > before, 120.0, what=probe.values)
        if (answer := result()) is not None and answer.base_pose_published and info is None:
            error = rigid_from_pose(answer.map_from_camera.pose).distance_to(query.map_from_camera)
            assert error[0] < 0.3 and np.degrees(error[1]) < 5.0, f"false: {error}"
        return answer

    def is_localized(self, number: int) -> bool:
        answer = self.ask(number)
        return answer is not None and answer.state != LocalizationResult.UNLOCALIZED

    def recovers(self) -> None:
        """Most of the next queries are localized."""
        assert sum(self.is_localized(n) for n in range(4, 20, 4)) >= 3, self.probe.values()
        assert_well(self.process, self.probe)

    def _not_answered(self) -> int:
        values = self.probe.values()
        return sum(int(values.get(key, "0")) for key in ("failed frames", "bad camera info", "bad images"))


def picture(pixels) -> Image:
    """An image message."""
    height, width = pixels.shape[:2]
    out = Image(width=width, height=height, encoding="mono8" if pixels.ndim == 2 else "bgr8")
    out.step, out.data = pixels.size // height, np.ascontiguousarray(pixels).tobytes()
    out.header.frame_id = "camera_optical_frame"
    return out


@pytest.fixture(scope="module")
def shared(tmp_path_factory, world):
    """The one node that the tests of this file share, and its copy of the map."""
    file = tmp_path_factory.mktemp("map") / "copy.relmap"
    shutil.copy(world.map, file)
    return {"file": file}


@pytest.fixture
def drive(shared, world, start_shared, make_probe, make_info, wait_for):
    """The node, localized before and after."""
    if "drive" not in shared:
        probe = make_probe()
        mount = [*world.mount.translation.tolist(), *world.mount.rotation_xyzw.tolist()]
        process = start_shared(
            ("-c", LAZY),
            remap=probe.remap,
            map=str(shared["file"]),
            base_from_camera=mount,
            qos_reliability="reliable",  # a 4K image is larger than the shared memory
        )
        probe.wait_for_node(timeout=60.0)
        shared["drive"] = Drive(world, probe, process, shared["file"], wait_for, make_info)
        shared["drive"].recovers()
    yield shared["drive"]
    shared["drive"].recovers()


@pytest.mark.parametrize("fault", ["truncated", "garbage", "emptied"])
def test_the_map_is_written_to(drive, fault):
    """In place, as by a careless copy: rows that are damaged fail loudly, none is taken for a row."""
    half = len(drive.content) // 2
    if fault == "garbage":
        with drive.file.open("r+b") as file:
            file.seek(half)
            file.write(random.Random(3).randbytes(half))
    else:
        os.truncate(drive.file, half if fault == "truncated" else 0)
    answers = [drive.ask(n) for n in range(0, 40, 5)]
    failed = int(drive.probe.values().get("failed frames", "0"))
    assert failed + sum(answer is not None for answer in answers) >= len(answers)
    if fault == "emptied":
        assert failed, "nothing is left of the map, and nobody noticed"
        drive.probe.diagnosed("failed frames")
        assert drive.probe.status().level == b"\x01" and "copy.relmap" in drive.probe.status().message
    with drive.file.open("r+b") as file:
        file.write(drive.content)


def test_the_map_is_replaced_and_deleted(drive, call):
    """The file that was opened stays in use, whatever has its name."""
    other = drive.file.with_name("other")
    other.write_bytes(drive.content[:1000])
    os.replace(other, drive.file)
    drive.recovers()
    answer = call(LoadMap, f"{drive.probe.name}/load_map", path=str(drive.file))
    assert not answer.success and "stays in use" in answer.message
    drive.file.unlink()
    drive.recovers()
    answer = call(LoadMap, f"{drive.probe.name}/load_map", path=str(drive.file))
    assert not answer.success and "stays in use" in answer.message
    drive.file.write_bytes(drive.content)
    assert call(LoadMap, f"{drive.probe.name}/load_map", path=str(drive.file)).success


def test_large_images(drive):
    """Enlarged queries, 2880 x 2160: grey and raw, shared memory holds one of them."""
    assert drive.ask(4, scale=9) is not None
    before = megabytes(drive.process)
    assert drive.ask(8, scale=9) is not None
    assert megabytes(drive.process) < before + 200


def test_cameras_that_are_none(drive):
    """A good image with a spoilt CameraInfo: what is published is possible, and the next good one works."""
    random_ = random.Random(4)
    for n in range(25):
        answer = drive.ask(n, spoilt(drive.info(), random_))
        if answer is not None and answer.base_pose_published:
            assert_possible(drive.probe.pose_of(answer.header.stamp))


def test_it_ends_cleanly_after_all_this(shared):
    assert_ends(shared["drive"].process)
