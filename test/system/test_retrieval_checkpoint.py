"""Nodes in a map whose global descriptors are learned: the checkpoint that made it, none, and another."""

from __future__ import annotations

import time

import numpy as np
import pytest
from relpose_msgs.msg import LocalizationResult, Neighbours, RelativePoses
from sensor_msgs.msg import Image

from relpose_ros.datasets.camera_files import read_camera
from relpose_ros.nodes.messages import rigid_from_pose
from relpose_ros.nodes.node_process import NodeProcess
from relpose_ros.types import Frame

LOCALIZER = ("-m", "relpose_ros.nodes.localizer_node")
RETRIEVAL = ("-m", "relpose_ros.nodes.retrieval_node")


@pytest.fixture
def info(small_world, make_info):
    """Makes the CameraInfo of the small world's camera."""
    camera = read_camera(small_world.camera_file)
    return lambda: make_info(camera.width, camera.height, k=[float(v) for v in camera.matrix.ravel()])


def query(small_world, number: int) -> Image:
    pixels = Frame.read(small_world.query(number), read_camera(small_world.camera_file)).image
    height, width = pixels.shape[:2]
    encoding = "bgr8" if pixels.ndim == 3 else "mono8"
    out = Image(width=width, height=height, encoding=encoding, step=pixels.size // height)
    out.header.frame_id, out.data = "camera_optical_frame", np.ascontiguousarray(pixels).tobytes()
    return out


def test_the_localizer_answers_and_says_who_describes(
    small_world, learned_map, retrieval_checkpoint, start, probe, info
):
    start(
        LOCALIZER,
        remap=probe.remap,
        map=str(learned_map),
        base_frame_id="",
        **{"retrieval.checkpoint": str(retrieval_checkpoint)},
    )
    probe.wait_for_node(timeout=60.0)
    answers = [probe.answer(query(small_world, n), info()) for n in (0, 3, 6, 9)]
    found = [a for a in answers if a.state != LocalizationResult.UNLOCALIZED]
    assert len(found) >= 3, [a.reason for a in answers]
    stages = {stage.name: stage.milliseconds for stage in answers[0].stages}
    assert 0 < stages["describe"] < 1000  # the network was ready
    assert probe.diagnosed("describer")["describer"].startswith("places0.safetensors (sha256 ")


def test_retrieval_and_relative_poses(
    small_world, learned_map, retrieval_checkpoint, start, ros, make_probe, wait_for, info
):
    probe = make_probe("retrieval")
    lists: list[Neighbours] = []
    measured: list[RelativePoses] = []
    remap = probe.remap | {"neighbours": "retrieval/neighbours"}
    subscriptions = [
        ros.create_subscription(Neighbours, f"{probe.namespace}/retrieval/neighbours", lists.append, 10),
        ros.create_subscription(
            RelativePoses, f"{probe.namespace}/relative_pose/relative_poses", measured.append, 10
        ),
    ]
    start(RETRIEVAL, remap=remap, map=str(learned_map), **{"retrieval.checkpoint": str(retrieval_checkpoint)})
    start(("-m", "relpose_ros.nodes.relative_pose_node"), remap=remap, map=str(learned_map))

    def answered() -> bool:
        probe.send(query(small_world, 4), info())
        time.sleep(0.3)
        return bool(measured and lists)

    wait_for(answered, 60.0)
    for subscription in subscriptions:
        ros.destroy_subscription(subscription)
    assert len(lists[0].neighbours) >= 3 and lists[0].map_id == measured[0].map_id
    assert {stage.name for stage in lists[0].stages} == {"extract", "describe", "retrieve", "total"}
    assert rigid_from_pose(lists[0].neighbours[0].map_from_camera) is not None
    assert probe.diagnosed("describer")["describer"].startswith("places0.safetensors")


def test_without_its_checkpoint_or_with_another_a_map_is_refused(
    small_world, learned_map, retrieval_checkpoint, make_retrieval_checkpoint, ros_environment, tmp_path
):
    other = make_retrieval_checkpoint(seed=1)
    for node in (LOCALIZER, RETRIEVAL):
        assert_refused(node, tmp_path, "retrieval.checkpoint:=places0.safetensors", map=str(learned_map))
    assert_refused(LOCALIZER, tmp_path, "made with places0", learned_map, other)
    assert_refused(RETRIEVAL, tmp_path, "is places1.safetensors", learned_map, other)
    assert_refused(LOCALIZER, tmp_path, "made without weights", small_world.map, retrieval_checkpoint)


def assert_refused(node, tmp_path, words: str, map_=None, checkpoint=None, **parameters) -> None:
    """It ends with status 2 and one line that says why."""
    if map_ is not None:
        parameters = {"map": str(map_), "retrieval.checkpoint": str(checkpoint)}
    process = NodeProcess(node, tmp_path / "log", parameters=parameters)
    assert process.wait(60.0) == 2, process.output()
    assert words in process.output() and "Traceback" not in process.output()
    (tmp_path / "log").unlink()
