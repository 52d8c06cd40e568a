"""Several cameras as one query, and masks, over real DDS: what goes together, who is missing, who is back."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from relpose_msgs.msg import LocalizationResult
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from relpose_ros.datasets.simulate.options import SensorOptions, SimulationOptions, forward_camera
from relpose_ros.datasets.simulate.simulation import Shot, Simulation
from relpose_ros.geometry.cameras import Camera
from relpose_ros.nodes.messages import nanoseconds, rigid_from_pose, time_message

LOCALIZER = ("-m", "relpose_ros.nodes.localizer_node")
NAMES = ("front", "left")
IDENTITY = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]
MS = 1_000_000


class Cameras:
    """Publishes for two cameras below a probe's namespace."""

    def __init__(self, probe, kind) -> None:
        self.probe, node = probe, probe.node
        below = "/compressed" if kind is CompressedImage else ""
        names = {n: f"{probe.namespace}/{n}" for n in NAMES}
        self.images = {n: node.create_publisher(kind, f"{t}/image{below}", 5) for n, t in names.items()}
        self.infos = {n: node.create_publisher(CameraInfo, f"{t}/camera_info", 5) for n, t in names.items()}

    def wait(self, wait_for, timeout: float = 30.0) -> None:
        """Until the node hears all of them, and they the node."""

        def found() -> bool:
            heard = [v for k, v in self.probe.values().items() if k.endswith(" publishers")]
            ours = [*self.images.values(), *self.infos.values()]
            return len(heard) == 4 and "0" not in heard and all(p.get_subscription_count() for p in ours)

        wait_for(found, timeout, lambda: f"the cameras; {self.probe.values()}")

    def send(self, messages, infos, delays=None):
        """Publish images of one moment by camera, `delays` (ms) late by their stamps; the first stamp."""
        start = nanoseconds(self.probe.next_stamp())
        for name, message in messages.items():
            stamp = time_message(start + (delays or {}).get(name, 0) * MS)
            message.header.stamp = infos[name].header.stamp = stamp
            self.infos[name].publish(infos[name])
            self.images[name].publish(message)
        first = next(name for name in NAMES if name in messages)
        return messages[first].header.stamp

    def answer(self, wait_for, *sent):
        """The result to what is sent."""
        stamp = self.send(*sent)
        found = lambda: next((r for r in self.probe.results if r.header.stamp == stamp), None)  # noqa: E731
        return wait_for(found, 20.0, lambda: f"a result; {self.probe.values()}")

    def close(self) -> None:
        for publisher in (*self.images.values(), *self.infos.values()):
            self.probe.node.destroy_publisher(publisher)


@pytest.fixture(scope="module")
def fake_rig(start_shared, make_probe):
    """A node with a fake localizer and two cameras."""
    probe = make_probe()
    cameras = Cameras(probe, Image)
    start_shared(
        remap=probe.remap,
        map="good",
        cameras=list(NAMES),
        base_from_camera=[*IDENTITY, *IDENTITY],
        camera_patience=0.3,
        camera_tolerance=0.02,
    )
    yield cameras
    cameras.close()


@pytest.fixture
def rig(fake_rig, wait_for, make_image, make_info):
    """Sends grey images of some cameras, and gives the answer."""
    fake_rig.wait(wait_for)

    def run(*names, delays=None, value=100):
        images = {name: make_image(value=value) for name in names}
        return fake_rig.answer(wait_for, images, {name: make_info() for name in names}, delays)

    run.probe = fake_rig.probe
    return run


def test_images_of_one_moment_are_one_answer_about_the_base(rig):
    result = rig("front", "left", delays={"left": 7})
    assert result.state == LocalizationResult.LOCALIZED and result.reason == ""
    assert result.camera_frame_id == "base_link" and result.base_pose_published
    assert result.map_from_camera.pose.position.x == 2.0  # as many frames as came
    pose = rig.probe.pose_of(result.header.stamp)
    assert pose.pose.pose == result.map_from_camera.pose
    assert np.allclose(pose.pose.covariance, result.map_from_camera.covariance)
    assert rig.probe.diagnosed("cameras")["cameras"] == "front 40, left 40"


def test_a_camera_that_is_unplugged_is_said_and_not_waited_for_and_is_back(rig, wait_for):
    rig("front", "left")
    waits = []
    for _ in range(6):
        before = time.monotonic()
        result = rig("front")
        waits.append(time.monotonic() - before)
        assert result.state == LocalizationResult.LOCALIZED
        assert result.reason == "left: no image of this moment"
        assert result.map_from_camera.pose.position.x == 1.0
    assert min(waits[:3]) > 0.29  # patience
    wait_for(lambda: int(rig.probe.values().get("left out left", 0)) >= 6, what="six moments without it")
    assert "left out front" not in rig.probe.values()
    assert "camera left is left out" in rig.probe.status().message
    assert rig("left").reason == "front: no image of this moment"  # each may be the only one
    result = rig("front", "left")
    assert (result.reason, result.map_from_camera.pose.position.x) == ("", 2.0)


def test_images_too_far_apart_do_not_meet(rig, fake_rig, wait_for, make_image, make_info):
    rig("front", "left")
    infos = {name: make_info() for name in NAMES}
    stamp = fake_rig.send({name: make_image() for name in NAMES}, infos, {"left": 50})
    late = time_message(nanoseconds(stamp) + 50 * MS)
    # Both leave when their patience ends: the newer one may overtake the other.
    result = wait_for(lambda: next((r for r in rig.probe.results if r.header.stamp in (stamp, late)), None))
    assert result.reason.endswith("no image of this moment")


def test_a_camera_that_sees_nothing_or_sends_rubbish_has_no_part(
    rig, fake_rig, make_image, make_info, wait_for
):
    infos = {name: make_info() for name in NAMES}
    sent = {"front": make_image(), "left": make_image(value=0)}
    assert fake_rig.answer(wait_for, sent, infos).reason == "left: only 3 features"
    sent = {"front": make_image(encoding="nonsense"), "left": make_image()}
    stamp = fake_rig.send(sent, infos)
    result = wait_for(lambda: next((r for r in rig.probe.results if r.header.stamp == stamp), None))
    assert result.reason == "front: its image could not be used"
    rig.probe.diagnosed("bad images")


def test_a_bag_loop_begins_anew(rig):
    rig("front", "left")
    rig.probe._stamp -= 60_000 * MS
    assert rig("front", "left").reason == ""
    assert int(rig.probe.diagnosed("time jumps")["time jumps"]) >= 1


@pytest.fixture(scope="module")
def second_camera(world):
    """A fisheye of another size that looks to the left, in the simulated world: mount, lens, picture."""
    lens = Camera("equidistant", 150.0, 150.0, 199.5, 149.5, 400, 300, (0.02, -0.005, 0.0, 0.0))
    options = SimulationOptions(
        camera=lens,
        base_from_camera=forward_camera(yaw_deg=25.0),
        depth=False,
        sensor=SensorOptions(exposure_s=0.0),
    )
    simulation = Simulation(options)

    def picture(number):
        return simulation.image(Shot(f"left{number}.png", "map", 500 + number, 0.3 + 0.2 * number))

    return options.base_from_camera, lens, picture


def compressed(pixels, frame):
    out = CompressedImage(format="jpeg", data=cv2.imencode(".jpg", pixels)[1].tobytes())
    out.header.frame_id = frame
    return out


def info_of(camera, make_info):
    model = "plumb_bob" if camera.model == "pinhole" else camera.model
    d = [float(v) for v in camera.distortion or (0.0,) * 5]
    k = [float(v) for v in camera.matrix.ravel()]
    return make_info(camera.width, camera.height, k=k, d=d, distortion_model=model)


def test_two_different_cameras_with_mounts_from_tf_localize_the_robot(
    world, second_camera, start, probe, wait_for, make_info
):
    mount, lens, picture = second_camera
    cameras = Cameras(probe, CompressedImage)
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    fixed = probe.node.create_publisher(TFMessage, f"{probe.namespace}/tf_static", latched)
    fixed.publish(TFMessage(transforms=[link("front", world.mount), link("left", mount)]))
    remap = probe.remap | {"/tf_static": f"{probe.namespace}/tf_static"}
    settings = {"cameras": list(NAMES), "image_transport": "compressed", "camera_patience": 1.0}
    start(LOCALIZER, remap=remap, map=str(world.map), camera_frame_id="{camera}_optical", **settings)
    cameras.wait(wait_for, 90.0)
    infos = {"front": info_of(world.camera, make_info), "left": info_of(lens, make_info)}
    errors, both = [], 0
    for number in (2, 12, 22):
        query = world.queries[number]
        images = {"front": compressed(query.load(), "wrong"), "left": compressed(picture(number), "wrong")}
        result = cameras.answer(wait_for, images, infos)
        assert result.state != LocalizationResult.UNLOCALIZED, result.reason
        both += "left" not in result.reason
        truth = query.map_from_camera @ world.mount.inverse()
        errors.append(rigid_from_pose(result.map_from_camera.pose).distance_to(truth))
        assert result.camera_frame_id == "base_link"
    assert np.max(errors, axis=0)[0] < 0.1 and np.degrees(np.max(errors, axis=0)[1]) < 2.0
    assert both >= 2
    probe.node.destroy_publisher(fixed)
    cameras.close()


def link(name, mount):
    out = TransformStamped(child_frame_id=f"{name}_optical")
    out.header.frame_id = "base_link"
    t, r = out.transform.translation, out.transform.rotation
    t.x, t.y, t.z = mount.translation.tolist()
    r.x, r.y, r.z, r.w = mount.rotation_xyzw.tolist()
    return out


def test_masks_go_with_their_images_and_never_hold_them_up(start, probe, wait_for, make_image, make_info):
    start(remap=probe.remap, map="good", base_from_camera=IDENTITY, mask_topic="body_mask", mask_timeout=2.0)
    masks = probe.node.create_publisher(Image, f"{probe.namespace}/body_mask", 5)
    probe.wait_for_node()
    wait_for(masks.get_subscription_count, what="the node's masks")

    def answer(value, **fields):
        """With a mask of this value, which comes after its image."""
        stamp, mask = probe.send(), make_image(value=value, **fields)
        mask.header.stamp = stamp
        time.sleep(0.1)
        masks.publish(mask)
        return wait_for(lambda: next((r for r in probe.results if r.header.stamp == stamp), None))

    answer(255)  # from here on the node knows that masks come
    assert answer(255).state == LocalizationResult.LOCALIZED
    assert answer(0).reason == "masked"
    result = answer(0, width=32, data=bytes(32 * 48), step=32)  # no mask of this image: it is used without
    assert result.state == LocalizationResult.LOCALIZED
    time.sleep(1.1)  # masks have stopped
    before = time.monotonic()
    assert probe.answer().state == LocalizationResult.LOCALIZED
    assert time.monotonic() - before < 1.9
    assert int(probe.diagnosed("unmasked images")["unmasked images"]) >= 2
    probe.node.destroy_publisher(masks)


def test_one_mount_too_few_is_refused(start, probe):
    process = start(remap=probe.remap, map="good", cameras=list(NAMES), base_from_camera=IDENTITY)
    assert process.wait(30.0) == 2
    assert "expected x y z qx qy qz qw of each camera, 14 numbers for 2, got 7" in process.output()
