"""scene_coordinate_node in a real process: an untrained network that knows nothing, and an exact one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from relpose_msgs.msg import LocalizationResult
from sensor_msgs.msg import Image, PointCloud2

from relpose_ros.checkpoints.scene import ScenePredictor
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.messages import rigid_from_pose
from relpose_ros.nodes.node_process import NodeProcess

NODE = ("-m", "relpose_ros.nodes.scene_coordinate_node")
LOCALIZER = ("-m", "relpose_ros.nodes.localizer_node")
POSE = Rigid.from_quaternion([0.5, -0.5, 0.5, -0.5], [1.0, 2.0, 3.0])
"""Where the exact network says that the camera is."""

EXACT = (str(Path(__file__).parents[1] / "nodes" / "exact_scene_node.py"),)


def noise(seed: int) -> Image:
    """A picture of nothing, 64x48."""
    pixels = np.random.default_rng(seed).integers(0, 256, 64 * 48, dtype=np.uint8)
    out = Image(width=64, height=48, encoding="mono8", step=64, data=pixels.tobytes())
    out.header.frame_id = "camera_optical_frame"
    return out


@pytest.fixture(scope="module")
def untrained(make_probe, start_shared, scene_checkpoint, onnx_cache):
    """A probe of a node whose network was never trained."""
    camera = Camera("pinhole", 50.0, 50.0, 32.0, 24.0, 64, 48)
    # Makes the ONNX file that the node finds.
    ScenePredictor(scene_checkpoint).predict(np.zeros((48, 64), np.uint8), camera)
    probe = make_probe("scene_coordinate")
    start_shared(NODE, remap=probe.remap, base_frame_id="", **{"scene.checkpoint": str(scene_checkpoint)})
    probe.wait_for_node(timeout=60.0)
    return probe


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_who_knows_nothing_says_so(untrained, seed):
    result = untrained.answer(None if seed is None else noise(seed))
    assert result.state == LocalizationResult.UNLOCALIZED and result.reason
    assert not result.base_pose_published and result.header.frame_id == "map"
    assert "total" in {stage.name for stage in result.stages}


def test_diagnostics_name_the_checkpoint(untrained, scene_checkpoint):
    untrained.answer(noise(4))
    values = untrained.diagnosed("processed per second")
    assert values["checkpoint"] == "untrained.safetensors"
    assert values["checkpoint sha256"] == ScenePredictor(scene_checkpoint).identity
    assert values["scene bounds m"] == "-5.00 -5.00 -5.00 to 5.00 5.00 5.00"
    assert values["frame"] == "map" and any(key.startswith("unlocalized: ") for key in values)
    assert "exceptions" not in " ".join(values)


@pytest.mark.parametrize(("topic", "kind"), [("uncertainty_image", Image), ("coordinates", PointCloud2)])
def test_cells_for_those_who_look(untrained, ros, wait_for, topic, kind):
    seen: list = []
    subscription = ros.create_subscription(kind, f"{untrained.name}/{topic}", seen.append, 10)
    wait_for(subscription.get_publisher_count)
    for seed in range(20):
        untrained.answer(noise(10 + seed))
        if seen:
            break
    ros.destroy_subscription(subscription)
    assert seen and seen[0].header.stamp in [result.header.stamp for result in untrained.results]
    assert (seen[0].height, seen[0].width) == (8, 11)  # 64 x 85 as the network saw it
    if kind is Image:
        assert seen[0].header.frame_id == "camera_optical_frame"
        values = np.frombuffer(seen[0].data, np.float32)
        assert np.isfinite(values).any() and np.nanmin(values) > 0
    else:
        assert seen[0].header.frame_id == "map" and len(seen[0].data) == 20 * 88


def test_bad_images_are_counted(untrained, make_image):
    before = int(untrained.values().get("bad images", "0"))
    untrained.send(make_image(data=b""))
    untrained.diagnosed("bad images", str(before + 1))
    assert untrained.answer(noise(99)).state == LocalizationResult.UNLOCALIZED


@pytest.fixture(scope="module")
def exact(make_probe, start_shared):
    """A probe of a node whose network is right about every cell."""
    probe = make_probe("scene_coordinate")
    mount = [0.2, 0.0, 0.5, -0.5, 0.5, -0.5, 0.5]
    start_shared(EXACT, remap=probe.remap, base_from_camera=mount, **{"scene.checkpoint": "exact"})
    probe.wait_for_node(timeout=60.0)
    return probe


def test_exact_coordinates_give_the_pose_of_the_robot(exact):
    result = exact.answer()
    assert result.state == LocalizationResult.LOCALIZED, result.reason
    assert (result.header.frame_id, result.method) == ("office", "scene_coordinates")
    assert result.base_pose_published and 0 < result.confidence <= 1 and result.inliers > 20
    distance, angle = rigid_from_pose(result.map_from_camera.pose).distance_to(POSE)
    assert distance < 0.02 and angle < 0.02
    mount = Rigid.from_quaternion([-0.5, 0.5, -0.5, 0.5], [0.2, 0.0, 0.5])
    pose = exact.pose_of(result.header.stamp)
    assert pose.header.frame_id == "office"
    assert rigid_from_pose(pose.pose.pose).distance_to(POSE @ mount.inverse())[0] < 0.03


def test_a_scene_without_its_checkpoint_is_refused(ros_environment, tmp_path, ratio_pruner, world):
    assert_refused(NODE, tmp_path, "parameter scene.checkpoint: expected the path")
    for checkpoint, words in (
        ("/no/such.safetensors", "/no/such.safetensors: expected a checkpoint, found no file"),
        (ratio_pruner, "one_to_one.ltfgc"),
        (world.map, "world.relmap: expected a checkpoint"),
    ):
        assert_refused(NODE, tmp_path, words, **{"scene.checkpoint": str(checkpoint)})


def test_a_scene_without_scale_is_refused(ros_environment, tmp_path, make_scene_checkpoint):
    path = make_scene_checkpoint(metric=False)
    assert_refused(NODE, tmp_path, "expected a scene in metres", **{"scene.checkpoint": str(path)})


def test_a_localizer_and_a_scene_of_two_frames_are_refused(
    ros_environment, tmp_path, make_scene_checkpoint, world
):
    scene = {"map": str(world.map), "scene.checkpoint": str(make_scene_checkpoint(frame="cellar"))}
    assert_refused(LOCALIZER, tmp_path, "'cellar'", **scene)
    assert_refused(LOCALIZER, tmp_path, "'map'", **scene)


def assert_refused(node, tmp_path, words: str, **parameters) -> None:
    """It ends with status 2 and one line that says why."""
    process = NodeProcess(node, tmp_path / "log", parameters=parameters)
    assert process.wait(60.0) == 2, process.output()
    assert words in process.output() and "Traceback" not in process.output()
    (tmp_path / "log").unlink()
