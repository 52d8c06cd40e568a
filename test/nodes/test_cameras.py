"""What of several cameras and of masks needs no process."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import MagicMock

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from relpose_ros.errors import CameraError, ConfigurationError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.camera_info import FixedCamera
from relpose_ros.nodes.channel import ALONE, camera_names, of_camera, open_channel
from relpose_ros.nodes.health import Level
from relpose_ros.nodes.intake import Intake, Masking, UnmaskedError
from relpose_ros.nodes.localizer import LocalizerNode
from relpose_ros.nodes.masks import KEPT, SILENCE, MaskBuffer, both
from relpose_ros.nodes.moments import MISSES
from relpose_ros.nodes.mount import FixedMount, Mounted, TransformMount, WaitedOnce, open_mounts
from relpose_ros.nodes.rig import RigCollector
from relpose_ros.nodes.transform_buffer import TransformError, TransformNotYetError
from relpose_ros.nodes.worker import NewestWorker
from relpose_ros.types import CameraShare, Frame, Localization, State

sys.path.append(str(Path(__file__).parents[1]))
from hostile_images import CLAIMING  # type: ignore[import-not-found]

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

    @pytest.mark.parametrize("kind", CLAIMING)
    def test_what_claims_another_size_is_not_decoded(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A decoder takes gigabytes for what the header of a few hundred bytes claims."""
        monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
        claiming = CompressedImage(format="jpeg", data=CLAIMING[kind](9000, 9001))
        with pytest.raises(CameraError, match="the image is 9000x9001, but CameraInfo describes 64x48"):
            self.intake().frame(claiming)

    def test_a_compressed_image_is_decoded_once_its_size_is_known(self) -> None:
        data = cv2.imencode(".jpg", np.full((48, 64), 90, np.uint8))[1].tobytes()
        frame, _ = self.intake().frame(CompressedImage(format="jpeg", data=data))
        assert frame.image.shape == (48, 64)

    def test_infos_are_still_taken(self) -> None:
        intake = Intake("camera", False, None)
        info = CameraInfo(width=64, height=48, distortion_model="plumb_bob", d=[0.0] * 5)
        info.k = [50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]
        intake.add(info)
        assert intake.frame(image(1))[0].source == "camera"


FRONT_LEFT = ("front", "left")


def rig_node(**fields: Any) -> Any:
    """What a collector needs of its node."""
    settings = {
        "camera_patience": 60.0,
        "camera_tolerance": 0.01,
        "mount_position_sigma": 0.02,
        "mount_rotation_sigma": 0.003,
        "base_frame_id": "base_link",
    }
    return SimpleNamespace(camera_names=FRONT_LEFT, settings=settings, **fields)


class TestRigCollector:
    def test_what_is_overtaken_counts_as_dropped_and_nothing_is_kept_when_inactive(self) -> None:
        counted, given, stack = [], [], ExitStack()
        node = rig_node(
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

    def test_a_camera_that_contradicts_the_others_is_reported_and_one_that_does_no_more_is_not(self) -> None:
        complaints = MagicMock()
        collector = RigCollector(rig_node(health=MagicMock(), complaints=complaints))
        shares = (CameraShare("front", 9), CameraShare("left", 0, "disagrees: by much", disagrees=True))
        collector.completed(Localization(State.LOCALIZED, cameras=shares), {})
        reported = complaints.report.call_args[0]
        assert reported == ("place of left", Level.WARN, "camera left disagrees: by much")
        complaints.reset_mock()
        collector.completed(Localization(State.LOCALIZED, cameras=shares[:1]), {})
        assert not complaints.report.called

    def test_a_camera_that_is_always_late_is_said_with_how_late(self) -> None:
        node = rig_node(health=MagicMock(), offer=lambda _: None)
        node.settings["camera_patience"] = 0.0
        collector = RigCollector(node)
        for k in range(1, MISSES + 2):
            collector.add("front", k * 1_000_000_000, image(k))
            time.sleep(0.002)
            collector.add("left", k * 1_000_000_000 + 1, image(k))
        why = collector.left_out({"front": image()}, {"front": TestRigView.FRAMES["front"]}, {"front": HERE})
        assert list(why) == ["left"] and why["left"].startswith("its images come 0.0")
        assert why["left"].endswith("camera_patience is 0 s: it is not waited for")


HERE = Mounted(Rigid.identity())
LOST = Mounted(None, "no transform 'base_link' <- 'front_optical': nobody knows")


class TestRigView:
    FRAMES: ClassVar = {n: Frame(np.zeros((48, 64), np.uint8), CAMERA, 1.0, n) for n in ("front", "left")}
    MOUNT = Rigid.from_rotation_vector([0.0, 0.0, 1.0], [1.0, 0.0, 0.0])

    def test_a_camera_without_mount_is_left_out(self) -> None:
        collector = RigCollector(rig_node())
        view = collector.view(self.FRAMES, {"front": LOST, "left": Mounted(self.MOUNT)})
        assert view is not None and view.names == ("left",) == view.rig.names and view.first == "left"
        assert collector.view(self.FRAMES, {"front": LOST, "left": LOST}) is None

    def test_the_first_camera_says_where_the_base_is_also_while_it_is_missing(self) -> None:
        collector = RigCollector(rig_node())
        both = collector.view(self.FRAMES, {"front": HERE, "left": HERE})
        left = collector.view(self.FRAMES, {"front": LOST, "left": HERE})
        assert both is not None and both.rig.mounts.sigma.tolist() == [[0, 0], [0.02, 0.003]]
        assert left is not None and left.rig.mounts.sigma.tolist() == [[0.02, 0.003]]

    def test_the_picture_is_of_the_camera_with_most(self) -> None:
        view = RigCollector(rig_node()).view(self.FRAMES, {"front": HERE, "left": Mounted(self.MOUNT)})
        assert view is not None
        shares = (CameraShare("front", 3), CameraShare("left", 9))
        answer = Localization(State.LOCALIZED, map_from_camera=self.MOUNT, cameras=shares)
        name, seen = view.strongest(answer)
        assert name == "left" and seen.map_from_camera is not None
        assert np.allclose(seen.map_from_camera.matrix, (self.MOUNT @ self.MOUNT).matrix)

    def test_why_cameras_have_no_part(self) -> None:
        node, some = rig_node(), image()
        node.camera_names = ("front", "left", "back", "right")
        messages = dict.fromkeys(("front", "left", "back"), some)
        frames = dict.fromkeys(("front", "left"), self.FRAMES["front"])
        assert RigCollector(node).left_out(messages, frames, {"front": HERE, "left": LOST}) == {
            "left": f"its mount is unknown: {LOST.problem}",
            "back": "its image could not be used",
            "right": "no image of this moment",
        }


class TestRigWithoutMounts:
    def test_the_result_is_unlocalized_and_names_the_missing_transform(self) -> None:
        node = rig_node(health=MagicMock(), complaints=MagicMock(), _map=MagicMock(), answers_count=True)
        node._collector, node.look_up_mount = RigCollector(node), lambda *_: LOST
        node._debug, node.tell = MagicMock(), MagicMock()
        LocalizerNode.process_moment(node, TestRigView.FRAMES, {n: image(7) for n in FRONT_LEFT})
        (answer, stamp, frame, _), _ = node.tell.call_args
        assert answer.state is State.UNLOCALIZED and not answer.has_pose
        assert answer.reason.startswith("no camera has a known mount; front: its mount is unknown: ")
        assert answer.reason.count("'base_link' <- 'front_optical'") == 2  # of each camera
        assert (stamp.sec, frame) == (7, "base_link")
        assert [c.source for c in answer.cameras] == list(FRONT_LEFT)
        assert not node._map.loaded.localizer.localize_rig.called and not node._debug.publish.called


class LateMount:
    """A mount that TF does not know at first."""

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.is_known = False

    def base_from_camera(self, camera_frame: str, stamp: Any, wait: bool = True) -> Rigid:
        self.asked.append(wait)
        if not self.is_known:
            raise TransformError("not yet")
        return Rigid.identity()


class TestOneLookAtTheMount:
    """Of an image that is localized with a hint, before and after."""

    @pytest.fixture
    def node(self) -> Any:
        mount = LateMount()
        node: Any = MagicMock(spec=LocalizerNode, _mounts={ALONE: mount}, answers_count=False, mount=mount)
        node.health, node.complaints, node._map, node._contract = (MagicMock() for _ in range(4))
        node._map_frame = "map"
        node.camera_frame.return_value = "camera"
        for name in ("mount_of", "look_up_mount", "publish_answer", "tell"):
            setattr(node, name, MethodType(getattr(LocalizerNode, name), node))
        node._fit_for_pose.return_value = True
        return node

    @pytest.mark.parametrize(
        ("hinted", "known", "asked"),
        [(True, True, [True]), (True, False, [True, False]), (False, False, [True])],
    )
    def test_it_is_waited_for_once(self, node: Any, hinted: bool, known: bool, asked: list[bool]) -> None:
        node._contract.hint.return_value = MagicMock() if hinted else None
        node.mount.is_known = known
        node._map.loaded.localizer.localize.return_value = Localization(State.UNLOCALIZED, "dark")
        LocalizerNode.process(node, TestRigView.FRAMES["front"], image(3))
        assert node.mount.asked == asked
        assert node.health.count.call_count == (not known)

    def test_a_mount_that_has_come_meanwhile_is_taken(self) -> None:
        mount, found = LateMount(), []

        def look(wait: bool) -> Mounted:
            try:
                return Mounted(mount.base_from_camera("camera", None, wait))
            except TransformError as error:
                return Mounted(None, str(error))

        once = WaitedOnce(look)
        for mount.is_known in (False, True, True):
            found.append(once() is not None)
        assert found == [False, True, True] and mount.asked == [True, False]

    def test_without_waiting_tf_is_asked_once(self) -> None:
        source = MagicMock()
        source.lookup.side_effect = TransformNotYetError("soon")
        with pytest.raises(TransformError, match="no transform 'base' <- 'camera': soon"):
            TransformMount(source, "base", 60.0).base_from_camera("camera", image().header.stamp, wait=False)
        assert source.lookup.call_count == 1


class TestTimeJump:
    def test_neither_a_moment_that_waits_for_a_camera_nor_one_that_waits_for_the_worker_is_answered(
        self,
    ) -> None:
        worked, started, go = [], threading.Event(), threading.Event()

        def work(messages: dict[str, Image]) -> None:
            worked.append({name: message.header.stamp.sec for name, message in messages.items()})
            started.set()
            go.wait(5)

        worker = NewestWorker(work, lambda: None, pytest.fail)
        node: Any = MagicMock(spec=LocalizerNode, camera_names=FRONT_LEFT, settings=rig_node().settings)
        node.health, node.complaints, node.transforms = MagicMock(), MagicMock(), MagicMock()
        node._worker, node.listeners, node.lifecycle = worker, [], "active"
        for name in ("forget", "accept", "offer", "between_frames", "_time_jumped", "_on_image", "_discard"):
            setattr(node, name, MethodType(getattr(LocalizerNode, name), node))
        node._collector = RigCollector(node)
        node._channels = {n: open_channel(n, SETTINGS) for n in FRONT_LEFT}

        def show(name: str, seconds: int) -> None:
            node._on_image(node._channels[name], image(seconds))

        for name in FRONT_LEFT:
            show(name, 100)
        assert started.wait(5)  # 100 is in work
        for name in FRONT_LEFT:
            show(name, 101)  # waits for it
        show("front", 102)  # waits for the other camera
        show("front", 5)
        started.clear()
        go.set()
        assert not started.wait(0.2)
        show("left", 5)
        assert started.wait(5)
        assert worker.stop() and worked == [dict.fromkeys(FRONT_LEFT, 100), dict.fromkeys(FRONT_LEFT, 5)]
