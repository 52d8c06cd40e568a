"""The real localizer in real processes: a small simulated world, its map, and a drive through it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from relpose_msgs.msg import LocalizationResult, Neighbours, RelativePoses
from sensor_msgs.msg import Image

from relpose_ros.checkpoints.scene import ScenePredictor
from relpose_ros.features.pruning import Pruner, size_for
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.options import LocalizerOptions
from relpose_ros.maps.bundle import Map
from relpose_ros.nodes.messages import rigid_from_pose
from relpose_ros.nodes.node_process import NodeProcess

LOCALIZER = ("-m", "relpose_ros.nodes.localizer_node")


def picture(pixels):
    """An image message."""
    height, width = pixels.shape[:2]
    encoding = "bgr8" if pixels.ndim == 3 else "mono8"
    out = Image(width=width, height=height, encoding=encoding, step=pixels.size // height)
    out.header.frame_id, out.data = "camera_optical_frame", np.ascontiguousarray(pixels).tobytes()
    return out


@pytest.fixture
def info(world, make_info):
    """Makes the CameraInfo of the world's camera."""
    camera = world.camera
    return lambda: make_info(camera.width, camera.height, k=[float(v) for v in camera.matrix.ravel()])


@pytest.fixture(scope="module")
def localizing(world, start_shared, make_probe):
    """A probe of a localizer_node in the world's map."""
    probe = make_probe()
    mount = [*world.mount.translation.tolist(), *world.mount.rotation_xyzw.tolist()]
    start_shared(LOCALIZER, remap=probe.remap, map=str(world.map), base_from_camera=mount)
    probe.wait_for_node(timeout=60.0)
    return probe


def test_poses_of_the_robot_are_right(localizing, world, info):
    errors = []
    for query in world.queries[::4]:
        result = localizing.answer(picture(query.load()), info())
        if result.state == LocalizationResult.UNLOCALIZED:
            continue
        pose = localizing.pose_of(result.header.stamp).pose.pose
        truth = query.map_from_camera @ world.mount.inverse()
        errors.append(rigid_from_pose(pose).distance_to(truth))
        assert 0 < result.confidence <= 1 and result.inliers > 10 and result.references
        assert {"extract", "total"} <= {s.name for s in result.stages}
    assert len(errors) >= 0.8 * len(world.queries[::4])
    translation, rotation = np.median(errors, axis=0)
    assert translation < 0.05 and np.degrees(rotation) < 1.0


@pytest.mark.parametrize("kind", ["black", "blown out", "noise"])
def test_what_the_map_does_not_show_is_not_localized(localizing, world, info, kind):
    shape = (world.camera.height, world.camera.width)
    noise = np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)
    pixels = {"black": np.zeros(shape, np.uint8), "blown out": np.full(shape, 255, np.uint8), "noise": noise}
    result = localizing.answer(picture(pixels[kind]), info())
    assert result.state == LocalizationResult.UNLOCALIZED and result.reason
    assert not result.base_pose_published


def test_retrieval_and_relative_poses_as_nodes_of_their_own(world, start, ros, make_probe, wait_for, info):
    retrieval = make_probe()
    lists: list[Neighbours] = []
    measured: list[RelativePoses] = []
    remap = retrieval.remap | {"neighbours": "retrieval/neighbours"}
    subscriptions = [
        ros.create_subscription(Neighbours, f"{retrieval.namespace}/retrieval/neighbours", lists.append, 10),
        ros.create_subscription(
            RelativePoses, f"{retrieval.namespace}/relative_pose/relative_poses", measured.append, 10
        ),
    ]
    for name in ("retrieval", "relative_pose"):
        start(("-m", f"relpose_ros.nodes.{name}_node"), remap=remap, map=str(world.map))
    query = world.queries[5]
    sent: list[Time] = []

    def measured_after_another_image() -> bool:
        sent.append(retrieval.send(picture(query.load()), info()))
        time.sleep(0.3)
        return bool(measured)

    wait_for(measured_after_another_image, 60.0)
    for subscription in subscriptions:
        ros.destroy_subscription(subscription)
    assert measured[0].header.stamp in sent
    listed = next(m for m in lists if m.header.stamp == measured[0].header.stamp)
    assert listed.map_id == measured[0].map_id and len(listed.neighbours) >= 3
    assert listed.neighbours[0].score >= listed.neighbours[-1].score
    references = {n.reference: rigid_from_pose(n.map_from_camera) for n in listed.neighbours}
    angles = [rotation_error(references[r.reference], r, query) for r in measured[0].relative_poses]
    assert len(angles) >= 1 and np.degrees(np.median(angles)) < 1.5


def rotation_error(map_from_reference: Rigid, measured, query) -> float:
    found = map_from_reference @ rigid_from_pose(measured.reference_from_camera.pose)
    return float(found.distance_to(query.map_from_camera)[1])


def test_replay_scores_what_the_node_publishes(world, ros_environment, tmp_path):
    before = hashlib.sha256(world.map.read_bytes()).hexdigest()
    command = ["replay", "--map", str(world.map), str(world.bag), "--out", str(tmp_path / "report")]
    done = subprocess.run(
        [sys.executable, "-m", "relpose_ros.cli", *command, "--base-frame", "base_link"],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "report.html" in done.stdout
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    figures = json.loads((tmp_path / "report" / "replay.json").read_text())
    assert results["queries"] == results["queries_with_truth"] >= 0.5 * len(world.queries)
    assert results["availability"] > 0.8 and results["median_translation_m"] < 0.05
    assert results["false_poses"] == 0
    assert figures["images_played"] == len(world.queries) and figures["node_exit_status"] == 0
    assert figures["poses_published"] > 0.8 * figures["images_answered"]  # mount from the bag's /tf_static
    for name in ("report.html", "estimate.tum", "ground_truth.tum", "localizer.log"):
        assert (tmp_path / "report" / name).stat().st_size > 0
    assert hashlib.sha256(world.map.read_bytes()).hexdigest() == before
    assert "Traceback" not in (tmp_path / "report" / "localizer.log").read_text()


def test_a_camera_faster_than_the_localizer(world, ros_environment, tmp_path):
    """30 Hz for eight seconds, the bag looping: ages stay bounded (test_soak.py runs longer)."""
    from relpose_ros.nodes.replay import ReplayOptions, replay

    figures = replay(ReplayOptions(world.map, world.fast_bag, tmp_path, minutes=0.13))
    assert figures["images_played"] > 150
    assert figures["image_age_s"]["p95"] < 1.0
    assert figures["node_memory_mb"]["last"] < figures["node_memory_mb"]["first"] + 150


def test_a_map_of_another_feature_type_is_refused(world, ros_environment, tmp_path):
    path = tmp_path / "other.relmap"
    dataclasses.replace(Map.open(world.map), feature="no_such_feature").save(path)
    assert_refused(tmp_path, path, "no_such_feature")


def test_a_truncated_map_is_refused(world, ros_environment, tmp_path):
    path = tmp_path / "cut.relmap"
    path.write_bytes(world.map.read_bytes()[:-2000])
    assert_refused(tmp_path, path, "cut.relmap")


def test_a_map_without_scale_is_refused(world, ros_environment, tmp_path):
    path = tmp_path / "unscaled.relmap"
    dataclasses.replace(Map.open(world.map), metric=False).save(path)
    assert_refused(tmp_path, path, "metres")


def test_a_node_with_a_pruner_and_a_matcher_answers(
    world, start, probe, info, ratio_pruner, nearest_matcher, onnx_cache
):
    Pruner(
        ratio_pruner, size_for(LocalizerOptions().max_keypoints)
    )  # makes the ONNX file that the node finds
    start(
        LOCALIZER,
        remap=probe.remap,
        map=str(world.map),
        base_frame_id="",
        **{
            "features.pruner": str(ratio_pruner),
            "features.matcher": str(nearest_matcher),
            "features.matcher_iterations": 2,
        },
    )
    probe.wait_for_node(timeout=60.0)
    result = probe.answer(picture(world.queries[4].load()), info())
    assert result.state != LocalizationResult.UNLOCALIZED


def test_a_node_with_a_scene_that_knows_nothing_answers_all_the_same(
    world, start, probe, info, scene_checkpoint, onnx_cache
):
    query = world.queries[4]
    ScenePredictor(scene_checkpoint).predict(query.load(), query.camera)  # makes the ONNX file
    start(
        LOCALIZER,
        remap=probe.remap,
        map=str(world.map),
        base_frame_id="",
        **{"scene.checkpoint": str(scene_checkpoint)},
    )
    probe.wait_for_node(timeout=60.0)
    result = probe.answer(picture(query.load()), info())
    assert result.state != LocalizationResult.UNLOCALIZED and result.method == "structure"
    assert "coordinates" in {stage.name for stage in result.stages}
    assert probe.diagnosed("scene checkpoint", "untrained.safetensors")


def test_what_is_no_pruner_is_refused(world, ros_environment, tmp_path, foreign_checkpoint):
    for words in ("one_to_one.ltfgc", "one_to_one.eot_21"):
        assert_refused(tmp_path, world.map, words, **{"features.pruner": str(foreign_checkpoint)})


def assert_refused(tmp_path, path, words: str, **parameters) -> None:
    process = NodeProcess(LOCALIZER, tmp_path / "log", parameters={"map": str(path), **parameters})
    assert process.wait(60.0) == 2, process.output()
    assert words in process.output() and "Traceback" not in process.output()
