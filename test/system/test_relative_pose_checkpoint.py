"""Nodes with a network that regresses relative poses, of a map that it was attached to, and of others."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from relpose_msgs.msg import LocalizationResult, Neighbour, Neighbours, RelativePoses
from sensor_msgs.msg import Image

from relpose_ros.datasets.camera_files import read_camera
from relpose_ros.datasets.open import open_source
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.mapping import attach_network
from relpose_ros.localization.options import options_for
from relpose_ros.localization.parts import with_relative
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.maps.bundle import Map
from relpose_ros.nodes.messages import map_id, rigid_from_pose
from relpose_ros.nodes.node_process import NodeProcess
from relpose_ros.types import Frame

RELATIVE = ("-m", "relpose_ros.nodes.relative_pose_node")
LOCALIZER = ("-m", "relpose_ros.nodes.localizer_node")


@pytest.fixture(scope="module")
def attached(small_world, regressor_checkpoint, tmp_path_factory) -> Path:
    """The small world's map with what an untrained network says of its references."""
    out = tmp_path_factory.mktemp("attached") / "gnn.relmap"
    sources = [open_source(small_world.folder)]
    attach_network(small_world.map, sources, regressor_checkpoint, out, BuildOptions(calibration_samples=4))
    return out


@pytest.fixture
def info(small_world, make_info):
    """Makes the CameraInfo of the small world's camera."""
    camera = read_camera(small_world.camera_file)
    return lambda: make_info(camera.width, camera.height, k=[float(v) for v in camera.matrix.ravel()])


def frame(small_world, number: int, blur: float = 0.0) -> Frame:
    read = Frame.read(small_world.query(number), read_camera(small_world.camera_file))
    pixels = cv2.GaussianBlur(read.image, (0, 0), blur) if blur else read.image
    return Frame(np.ascontiguousarray(pixels), read.camera)


def noise(like: Frame) -> Frame:
    """A picture of nothing, with much to hold on to."""
    grey = np.random.default_rng(0).integers(0, 256, like.image.shape[:2], dtype=np.uint8)
    return Frame(cv2.GaussianBlur(grey, (0, 0), 1.0), like.camera)


def message(seen: Frame) -> Image:
    height, width = seen.image.shape[:2]
    encoding = "bgr8" if seen.image.ndim == 3 else "mono8"
    out = Image(width=width, height=height, encoding=encoding, step=seen.image.size // height)
    out.header.frame_id, out.data = "camera_optical_frame", seen.image.tobytes()
    return out


def parameters(map_: Path, checkpoint: Path) -> dict[str, str]:
    named = {"relative.estimator": "relpose_gnn", "relative.checkpoint": str(checkpoint)}
    return {"map": str(map_), **named}


def test_what_the_network_says_of_each_neighbour_is_published(
    small_world, attached, regressor_checkpoint, start, ros, make_probe, wait_for, info
):
    """The best four that are listed, in metres, with covariances: as the library gives them."""
    probe, heard = make_probe("relative_pose"), []
    listed = ros.create_publisher(Neighbours, f"{probe.namespace}/neighbours", 10)
    topic = f"{probe.namespace}/relative_pose/relative_poses"
    subscription = ros.create_subscription(RelativePoses, topic, heard.append, 10)
    start(RELATIVE, remap=probe.remap, **parameters(attached, regressor_checkpoint))
    opened, seen = Map.open(attached), frame(small_world, 4)
    names = opened.reference_names[5:11]

    def answered() -> bool:
        stamp = probe.send(message(seen), info())
        around = Neighbours(
            map_id=map_id(opened.info()), neighbours=[Neighbour(reference=n, score=0.5) for n in names]
        )
        around.header.stamp = stamp
        listed.publish(around)
        time.sleep(0.3)
        return bool(heard)

    wait_for(answered, 60.0)
    ros.destroy_subscription(subscription)
    ros.destroy_publisher(listed)
    found = heard[0].relative_poses
    options = with_relative(options_for("default"), regressor_checkpoint)
    localizer = Localizer(opened, options)
    wanted = localizer.relative_poses(seen, [localizer.neighbour(name, 0.5) for name in names])
    assert [r.reference for r in found] == list(names[:4]) == [r.reference for r in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.scale_known and one.matches == one.inliers == 0
        distance, angle = rigid_from_pose(one.reference_from_camera.pose).distance_to(
            other.reference_from_camera
        )
        assert distance < 1e-4 and angle < 1e-4
        covariance = np.reshape(one.reference_from_camera.covariance, (6, 6))
        np.testing.assert_allclose(covariance, other.covariance, rtol=1e-3)
        assert (np.linalg.eigvalsh(covariance) > 0).all()
    assert probe.diagnosed("map")["map"] == heard[0].map_id


def test_the_localizer_asks_it_where_landmarks_fail_and_does_not_believe_it_untrained(
    small_world, attached, regressor_checkpoint, start, probe, info
):
    named = parameters(attached, regressor_checkpoint)
    start(LOCALIZER, remap=probe.remap, base_frame_id="", **named)
    probe.wait_for_node(timeout=60.0)
    sharp = probe.answer(message(frame(small_world, 3)), info())
    assert sharp.state == LocalizationResult.LOCALIZED and sharp.method == "structure", sharp.reason
    assert "regression" not in {stage.name for stage in sharp.stages}
    covariance = np.reshape(sharp.map_from_camera.covariance, (6, 6))
    assert (np.linalg.eigvalsh(covariance) > 0).all()
    blurred = probe.answer(message(frame(small_world, 3, blur=3.0)), info())
    nothing = probe.answer(message(noise(frame(small_world, 3))), info())
    for asked in (blurred, nothing):
        assert {"graph_features", "regression"} <= {stage.name for stage in asked.stages}
    assert blurred.method == "structure" and blurred.state == LocalizationResult.DEGRADED, blurred.reason
    assert nothing.state == LocalizationResult.UNLOCALIZED and nothing.reason, nothing.method
    assert not nothing.base_pose_published


def test_a_map_without_it_and_another_checkpoint_are_refused(
    small_world, attached, regressor_checkpoint, ros_environment, tmp_path
):
    other = tmp_path / "other.safetensors"
    content = bytearray(regressor_checkpoint.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)
    named = parameters(small_world.map, regressor_checkpoint)
    assert_refused(RELATIVE, tmp_path, ("small.relmap", "poses.safetensors", "relpose map attach"), named)
    for node in (RELATIVE, LOCALIZER):
        words = ("other.safetensors", "gnn.relmap", "poses.safetensors")
        assert_refused(node, tmp_path, words, parameters(attached, other))


def assert_refused(node, tmp_path, words: tuple[str, ...], named: dict[str, str]) -> None:
    """It ends with status 2 and one line that says why."""
    process = NodeProcess(node, tmp_path / "log", parameters=named)
    assert process.wait(60.0) == 2, process.output()
    assert all(word in process.output() for word in words), process.output()
    assert "Traceback" not in process.output()
    (tmp_path / "log").unlink()
