"""What of several cameras and of masks needs no process."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from relpose_ros.errors import CameraError, ConfigurationError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.camera_info import FixedCamera
from relpose_ros.nodes.channel import ALONE, camera_names, of_camera, open_channel
from relpose_ros.nodes.intake import Intake, Masking, UnmaskedError
from relpose_ros.nodes.masks import KEPT, SILENCE, MaskBuffer, both
from relpose_ros.nodes.mount import FixedMount, open_mounts
from relpose_ros.nodes.rig import RigCollector, RigView, left_out
from relpose_ros.types import CameraShare, Frame, Localization, State

CAMERA = Camera("pinhole", 50.0, 50.0, 31.5, 23.5, 64, 48)
SETTINGS: dict[str, Any] = {"camera_file": "", "mask_timeout": 0.0}


def image(seconds: int = 1, value: int = 100, width: int = 64, encoding: str = "mono8") -> Image:
    step = width * (3 if encoding == "bgr8" else 1)
    out = Image(width=width, height=48, encoding=encoding, step=step)
    out.header.stamp.sec = seconds
    out.data = np.full(48 * step, value, np.uint8).tobytes()
    return out


class TestNames:
    def test_none_is_one_camera_and_no_rig(self) -> None:
        assert camera_names({}) == camera_names({"cameras": []}) == (ALONE,)
        assert camera_names({"cameras": ["front", "left_2"]}) == ("front", "left_2")

    @pytest.mark.parametrize("names", [["a", "a"], ["front/left"], ["2nd"], ["a b"], ["front", ""]])
    def test_what_is_no_part_of_a_topic_is_refused(self, names: list[str]) -> None:
        with pytest.raises(ConfigurationError, match="parameter cameras"):
            camera_names({"cameras": names})

    def test_topics_and_frames_are_below_the_name(self) -> None:
        channel = open_channel("left", SETTINGS | {"mask_topic": "body"})
        topics = channel.image, channel.info, channel.mask
        assert topics == ("left/image", "left/camera_info", "left/body")
        assert of_camera("{camera}_optical", "left") == "left_optical"
        with pytest.raises(ConfigurationError, match="parameter mask_topic"):
            open_channel("left", SETTINGS | {"mask_topic": "/body"})
        assert open_channel(ALONE, SETTINGS | {"mask_topic": "/body"}).mask == "/body"
        alone = open_channel(ALONE, SETTINGS)
        assert (alone.image, alone.info, alone.mask) == ("image", "camera_info", "")


class TestMounts:
    def test_each_camera_has_its_seven_numbers(self) -> None:
        numbers = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0]
        mounts = open_mounts(("a", "b"), None, "base", numbers, 0.1)  # type: ignore[arg-type]
        assert isinstance(mounts["b"], FixedMount)
        assert mounts["b"].base_from_camera("", image().header.stamp).translation.tolist() == [1, 2, 3]

    @pytest.mark.parametrize("count", [7, 8, 21])
    def test_another_number_of_them_is_refused(self, count: int) -> None:
        with pytest.raises(ConfigurationError, match=f"14 numbers for 2, got {count}"):
            open_mounts(("a", "b"), None, "base", [1.0] * count, 0.1)  # type: ignore[arg-type]


class TestMaskBuffer:
    def test_it_waits_only_while_masks_come(self) -> None:
        clock = [0.0]
        masks = MaskBuffer(30.0, lambda: clock[0])
        assert masks.mask_of(5) is None  # none ever came: no waiting
        masks.add(image(1))
        timer = threading.Timer(0.05, masks.add, [image(2)])
        timer.start()
        found = masks.mask_of(2_000_000_000)
        assert found is not None and found.header.stamp.sec == 2
        clock[0] += SILENCE
        assert masks.mask_of(3_000_000_000) is None

    def test_it_keeps_few_and_gives_each_once(self) -> None:
        masks = MaskBuffer(0.0)
        for k in range(1, KEPT + 3):
            masks.add(image(k))
        assert masks.mask_of(2_000_000_000) is None
        assert masks.mask_of(KEPT * 1_000_000_000) is not None
        assert masks.mask_of(KEPT * 1_000_000_000) is None

    def test_two_masks_ignore_what_either_ignores(self) -> None:
        first, second = np.array([[0, 1, 255]], np.uint8), np.array([[7, 0, 9]], np.uint8)
        assert both(None, None) is None and both(first, None) is first and both(None, second) is second
        assert (both(first, second) != 0).tolist() == [[False, False, True]]


class TestMaskedFrames:
    def intake(self, masks: MaskBuffer | None = None, required: bool = False, fixed: Any = None) -> Intake:
        return Intake("camera", False, FixedCamera(CAMERA), Masking(fixed, masks, required), "front")

    def test_a_mask_goes_with_its_image(self) -> None:
        masks = MaskBuffer(0.0)
        masks.add(image(1, value=0))
        frame, problem = self.intake(masks).frame(image(1))
        assert frame.mask is not None and not frame.mask.any() and not problem and frame.source == "front"
        frame, problem = self.intake(masks).frame(image(2))
        assert frame.mask is None and problem == "no mask of this image"

    def test_an_image_without_is_refused_where_that_is_wanted(self) -> None:
        with pytest.raises(UnmaskedError, match="unmasked_images is `refuse`"):
            self.intake(MaskBuffer(0.0), required=True).frame(image(1))

    @pytest.mark.parametrize("wrong", [{"width": 32}, {"encoding": "bgr8"}])
    def test_a_mask_that_does_not_fit_is_none(self, wrong: dict[str, Any]) -> None:
        masks = MaskBuffer(0.0)
        masks.add(image(1, **wrong))
        fixed = np.ones((48, 64), np.uint8)
        frame, problem = self.intake(masks, fixed=fixed).frame(image(1))
        assert frame.mask is fixed and "expected a mono8 mask of 48x64" in problem

    def test_a_file_of_another_size_is_said(self) -> None:
        with pytest.raises(ImageError, match="its mask_file is of 3x2"):
            self.intake(fixed=np.ones((2, 3), np.uint8)).frame(image(1))

    def test_another_size_of_the_image_is_still_said(self) -> None:
        with pytest.raises(CameraError, match="CameraInfo describes 64x48"):
            self.intake().frame(image(1, width=32))

    def test_infos_are_still_taken(self) -> None:
        intake = Intake("camera", False, None)
        info = CameraInfo(width=64, height=48, distortion_model="plumb_bob", d=[0.0] * 5)
        info.k = [50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]
        intake.add(info)
        assert intake.frame(image(1))[0].source == "camera"


class TestRigCollector:
    def test_what_is_overtaken_counts_as_dropped_and_nothing_is_kept_when_inactive(self) -> None:
        counted, given, stack = [], [], ExitStack()
        node: Any = SimpleNamespace(
            camera_names=("front", "left"),
            settings={"camera_patience": 60.0, "camera_tolerance": 0.01},
            health=SimpleNamespace(count=counted.append, note=lambda *_: None),
            while_active=stack,
            open_timer=lambda *_: None,
            offer=given.append,
        )
        collector = RigCollector(node)
        collector.listen()
        for name, stamp in (("front", 1), ("front", 2), ("left", 2)):
            collector.add(name, stamp * 1_000_000_000 // 10, image(stamp))
        assert len(given) == 1 and counted == ["dropped"]
        collector.add("front", 300_000_000, image(3))
        assert collector._moments._waiting
        stack.close()
        assert not collector._moments._waiting


class TestRigView:
    FRAMES: ClassVar = {n: Frame(np.zeros((48, 64), np.uint8), CAMERA, 1.0, n) for n in ("front", "left")}
    MOUNT = Rigid.from_rotation_vector([0.0, 0.0, 1.0], [1.0, 0.0, 0.0])

    def test_a_camera_without_mount_is_left_out(self) -> None:
        view = RigView.of(self.FRAMES, {"front": None, "left": self.MOUNT}, 0.01)
        assert view is not None and view.names == ("left",) == view.rig.names and view.first == "left"
        assert RigView.of(self.FRAMES, {"front": None, "left": None}, 0.01) is None

    def test_the_picture_is_of_the_camera_with_most(self) -> None:
        view = RigView.of(self.FRAMES, {"front": Rigid.identity(), "left": self.MOUNT}, 0.01)
        assert view is not None
        shares = (CameraShare("front", 3), CameraShare("left", 9))
        answer = Localization(State.LOCALIZED, map_from_camera=self.MOUNT, cameras=shares)
        name, seen = view.strongest(answer)
        assert name == "left" and seen.map_from_camera is not None
        assert np.allclose(seen.map_from_camera.matrix, (self.MOUNT @ self.MOUNT).matrix)

    def test_why_cameras_have_no_part(self) -> None:
        names, some = ("front", "left", "back", "right"), image()
        messages = dict.fromkeys(("front", "left", "back"), some)
        frames = dict.fromkeys(("front", "left"), self.FRAMES["front"])
        assert left_out(names, messages, frames, {"front": self.MOUNT, "left": None}) == {
            "left": "its mount is unknown",
            "back": "its image could not be used",
            "right": "no image of this moment",
        }
