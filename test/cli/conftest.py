"""A map, a localizer and images that cost nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import CameraShare, Localization, State


class FakeMap:
    """What the commands ask of a map."""

    path = Path("office.relmap")
    reference_names = ("a.jpg", "b.jpg")
    conditions = ("day", "night")
    landmark_points = np.zeros((3, 3))

    def __init__(self) -> None:
        self.reference_poses = Rigid(np.tile(np.eye(3), (2, 1, 1)), np.array([[0.0, 0, 0], [1, 0, 0]]))

    def info(self):
        """The facts that `relpose map info` prints."""
        return {
            "schema_version": 1,
            "name": "office",
            "references": 2,
            "landmarks": 3,
            "bytes": 120_000,
            "build_seconds": 4.2,
            "metric": True,
            "calibration": {"scale": 1.5},
        }


class FakeLocalizer:
    """Localizes everything but images whose name has `lost`; remembers its frames."""

    def __init__(self) -> None:
        self.frames = []
        self.rigs = []
        self.hints = []

    def localize(self, frame, hint=None):
        """A fixed answer."""
        self.frames.append(frame)
        self.hints.append(hint)
        if "lost" in frame.source:
            reason = "only 4 inliers, 12 are needed"
            return Localization(State.UNLOCALIZED, reason, source=frame.source, latency_ms={"total": 20.0})
        return Localization(
            State.LOCALIZED,
            map_from_camera=Rigid(np.eye(3), np.array([1.0, 2.0, 3.0])),
            covariance=np.diag([0.01**2] * 3 + [np.radians(0.5) ** 2] * 3),
            confidence=0.97,
            method="structure",
            inliers=123,
            references=("a.jpg", "b.jpg"),
            latency_ms={"total": 41.5},
            source=frame.source,
            stamp=frame.stamp,
        )

    def localize_rig(self, rig, hint=None):
        """The same, of a rig whose first camera alone sees something."""
        self.rigs.append(rig)
        shares = [
            CameraShare(n, 100 if i == 0 else 0, "" if i == 0 else "dark") for i, n in enumerate(rig.names)
        ]
        return replace(self.localize(rig.frames[0], hint), cameras=tuple(shares))


@pytest.fixture
def localizer(monkeypatch):
    """Stands in for the localizer of every command; the arguments it was opened with are in `.args`."""
    fake = FakeLocalizer()

    def open_localizer(args):
        fake.args = args
        return FakeMap(), fake

    for command in ("localize", "evaluate"):
        monkeypatch.setattr(f"relpose_ros.cli.{command}.open_localizer", open_localizer)
    return fake


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A working folder with readable images (64x48), one that is no image, and a camera file."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "lost.png", "7"):
        good, data = cv2.imencode(".png", np.full((48, 64), 90, np.uint8))
        assert good
        Path(name).write_bytes(data.tobytes())
    Path("broken.png").write_text("not an image")
    Path("camera.yaml").write_text(
        "model: pinhole\nfx: 60\nfy: 61\ncx: 31.5\ncy: 23.5\nwidth: 64\nheight: 48\n"
    )
    return tmp_path


@pytest.fixture
def fake_map():
    """A map that lies nowhere."""
    return FakeMap()
