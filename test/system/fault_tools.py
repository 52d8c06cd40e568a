"""What the tests of faults share: a robot that knows the truth, and what must hold whatever happens."""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from driving_robot import STEP_NS, Robot, map_from_base  # type: ignore[import-not-found]
from geometry_msgs.msg import PoseWithCovarianceStamped
from relpose_msgs.msg import LocalizationResult

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.messages import nanoseconds, rigid_from_pose, time_message

SETTINGS = {"map": "driven", "base_from_camera": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]}
"""A node that localizes by grey level; base and camera are one."""

METRES, DEGREES = 0.3, 5.0
"""A pose further off than this is false if it claims a standard deviation under a third of its error."""

RECOVERY = 60.0
"""Seconds of a loaded machine after which a node must have recovered by itself."""


class TruthfulRobot(Robot):  # type: ignore[misc]
    """Remembers where it was at every stamp, and judges what is published by that."""

    def __init__(self, probe: Any, make_image: Any, wait: Any) -> None:
        super().__init__(probe, make_image, wait)
        self.truth: dict[int, Rigid] = {}
        self._judged, self._ahead = 0, 1

    def step(self, metres: float = 0.1, seen: float = 0.0) -> Any:
        """As a robot's, but to and fro: grey levels end at 255."""
        self._turn()
        return super().step(self._ahead * metres, seen)

    def _turn(self) -> None:
        if not 1.0 < self.metres < 20.0:
            self._ahead = 1 if self.metres < 10.0 else -1

    def _odometry(self, stamp_ns: int) -> None:
        self.truth[stamp_ns] = map_from_base(self.metres + self.offset)
        super()._odometry(stamp_ns)

    def localized(self, count: int = 3) -> None:
        """Drive on until so many images in a row are localized and tracked, where the robot is."""
        deadline, run = time.monotonic() + RECOVERY, 0
        while run < count:
            assert time.monotonic() < deadline, f"not localized again: {self.probe.values()}"
            result = self.step()
            run = run + 1 if result.base_pose_published and self._is_tracked(result) else 0

    def _is_tracked(self, result: LocalizationResult) -> bool:
        """Whether a tracked pose comes for this result's image, and is right."""
        until = time.monotonic() + 1.0
        while not (found := [p for p in self.poses[-5:] if p.header.stamp == result.header.stamp]):
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        where = map_from_base(self.metres + self.offset)
        return bool(rigid_from_pose(found[0].pose.pose).distance_to(where)[0] < 0.1)

    def assert_honest(self) -> None:
        """No pose that was published is false, those at stamps that no image had least of all."""
        published = [*self.probe.poses, *self.poses]
        assert len(published) > self._judged, "nothing was published, so nothing was judged"
        self._judged = len(published)
        for pose in published:
            assert_possible(pose)
            truth = self.truth.get(nanoseconds(pose.header.stamp))
            assert truth is not None, f"a pose at {pose.header.stamp}, where there was no image"
            assert not is_false(pose, truth), (rigid_from_pose(pose.pose.pose), truth)
        carried = map_from_base(self.metres + self.offset) @ self.odom_from_base.inverse()
        for _, _, map_from_odom in self.transforms:
            metres, radians = map_from_odom.distance_to(carried)
            assert metres < METRES and np.degrees(radians) < DEGREES, (map_from_odom, carried)

    def photograph(self, odometry: bool = True) -> Any:
        """Send an image of the place without waiting for an answer; its stamp. `odometry`: before it."""
        stamp = nanoseconds(self.probe.next_stamp(STEP_NS // 10))
        if odometry:
            self._odometry(stamp)
        self.truth[stamp] = map_from_base(self.metres + self.offset)
        image = self._make_image(value=round(10 * (self.metres + self.offset)))
        image.header.stamp = time_message(stamp)
        return self.probe.send(image)

    def odometry_at(self, stamp: Any) -> None:
        """Odometry of a stamp that has passed."""
        self._odometry(nanoseconds(stamp))

    def forget(self) -> None:
        """What was published before is not judged again."""
        for heard in (self.probe.poses, self.poses, self.transforms, self.truth):
            heard.clear()
        self._judged = 0

    def moves_blindly(self, seconds: float) -> None:
        """Odometry, no images."""
        for _ in range(round(10 * seconds)):
            self._turn()
            self.metres += 0.05 * self._ahead
            self._odometry(nanoseconds(self.probe.next_stamp(STEP_NS)))
            pause(0.1)


def pause(seconds: float) -> None:
    """Real time passes: some faults are nothing else."""
    time.sleep(seconds)


def assert_possible(pose: PoseWithCovarianceStamped) -> None:
    """Numbers that are a pose and a covariance at all. Raises ValueError or AssertionError."""
    rigid_from_pose(pose.pose.pose)
    q = pose.pose.pose.orientation
    assert abs(q.x**2 + q.y**2 + q.z**2 + q.w**2 - 1) < 1e-6
    covariance = np.reshape(pose.pose.covariance, (6, 6))
    assert np.isfinite(covariance).all() and np.linalg.eigvalsh(covariance)[0] > 0


def is_false(pose: PoseWithCovarianceStamped, truth: Rigid) -> bool:
    """Whether a pose is wrong and claims not to be."""
    metres, radians = rigid_from_pose(pose.pose.pose).distance_to(truth)
    variances = np.diag(np.reshape(pose.pose.covariance, (6, 6)))
    far = metres > METRES and np.sqrt(variances[:3].max()) < metres / 3
    turned = np.degrees(radians) > DEGREES and np.sqrt(variances[3:].max()) < radians / 3
    return bool(far or turned)


def assert_well(process: Any, probe: Any, foreseen: str = "") -> None:
    """It lives, and nothing unforeseen has happened in it; `foreseen`: words of an error that may have."""
    assert process.status() is None, process.output()
    assert_no_traceback(process, foreseen)
    strange = [key for key in probe.values() if key.startswith("exceptions")]
    assert not [key for key in strange if not foreseen or foreseen not in key], strange


def assert_ends(process: Any, foreseen: str = "") -> None:
    """It ends as it should when it is told to."""
    assert process.stop() == 0, process.output()
    assert_no_traceback(process, foreseen)


def assert_no_traceback(process: Any, foreseen: str) -> None:
    """Every traceback in the log ends with the words that were foreseen."""
    said = process.output()
    assert said.count("Traceback") == (said.count(f"Error: {foreseen}\n") if foreseen else 0), said


def megabytes(process: Any) -> float:
    """Resident memory."""
    return float(process.memory() / 2**20)


def shared_memory(pid: int) -> set[Path]:
    """Data segments of Fast DDS that a process has mapped: its own and its partners'."""
    mapped = Path(f"/proc/{pid}/maps").read_text().split()
    return {Path(word) for word in mapped if re.fullmatch(r"/dev/shm/fast\w+_[0-9a-f]{16}", word)}


def unlink_dead(segments: Iterable[Path]) -> None:
    """Remove those whose owner is gone: a process that was killed leaves them behind, locks open."""
    for segment in segments:
        lock = segment.with_name(segment.name + "_el")
        with suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            segment.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
