"""Checkpoints of a scene: what they say is refused where it cannot be, and cells mean the right pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from relpose_ros.checkpoints.format import CheckpointInfo, read_info, write_checkpoint
from relpose_ros.checkpoints.scene import SceneInfo, ScenePredictor, coordinate_map
from relpose_ros.checkpoints.scene_arrays import cell_rays, decode_outputs, network_input
from relpose_ros.errors import CheckpointError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

GOOD = SceneInfo(
    frame="office",
    origin=(1e6, 2e6, 30.0),
    bounds=((-3.0, -2.0, -1.0), (3.0, 2.0, 1.0)),
    height=64,
    views=((0.0, 0.0, 0.0, 0.0, 0.0, 1.0), (2.0, 0.0, 0.0, 1.0, 0.0, 0.0)),
    calibration={"scale": 2.0, "samples": 12, "coverage_95": None},
)


def of(**changes) -> SceneInfo:
    return SceneInfo.of(CheckpointInfo("net", scene={**GOOD.to_dict(), **changes}), "file.safetensors")


def test_what_is_written_is_read_back() -> None:
    through_json = json.loads(json.dumps(GOOD.to_dict()))
    assert SceneInfo.of(CheckpointInfo("net", scene=through_json)) == GOOD
    assert np.allclose(GOOD.corners, [[1e6 - 3, 2e6 - 2, 29], [1e6 + 3, 2e6 + 2, 31]])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"origin": [0, 0]}, "origin: expected a list of 3"),
        ({"origin": [0, 0, float("nan")]}, "origin: expected finite"),
        ({"origin": "abc"}, "origin"),
        ({"origin": [0, 0, True]}, "origin: expected a number"),
        ({"bounds": [[1, 0, 0], [0, 1, 1]]}, "low corner"),
        ({"bounds": [[0, 0, 0]]}, "bounds"),
        ({"bounds": None}, "bounds"),
        ({"height": 10**9}, "height: expected a whole number"),
        ({"height": 0}, "height"),
        ({"height": 480.5}, "height"),
        ({"cell": -8}, "cell"),
        ({"channels": 2, "mean": [0, 0], "spread": [1, 1]}, "channels"),
        ({"channels": 3}, "mean: expected a list of 3"),
        ({"mean": {}}, "mean"),
        ({"spread": [0.0]}, "spread: expected numbers above 0"),
        ({"frame": 7}, "frame"),
        ({"frame": " "}, "frame"),
        ({"metric": 1}, "metric"),
        ({"views": [[0, 0, 0]]}, "views"),
        ({"views": [[0] * 6] * 301}, "at most 300"),
        ({"views": 5}, "views"),
        ({"calibration": {"scale": "big"}}, "calibration.scale"),
        ({"calibration": {"scale": -1}}, "calibration.scale"),
        ({"calibration": []}, "calibration"),
    ],
)
def test_a_hostile_header_is_refused_in_words(changes, says) -> None:
    with pytest.raises(CheckpointError, match=r"file\.safetensors \(net\)") as refusal:
        of(**changes)
    assert says in str(refusal.value)


def test_a_network_for_any_scene_is_refused() -> None:
    with pytest.raises(CheckpointError, match="knows a scene"):
        SceneInfo.of(CheckpointInfo("imp.gm"))


def test_view_change_is_that_to_the_nearest_training_camera() -> None:
    at = np.asarray(GOOD.origin)
    ahead = Rigid.from_rotation_vector([0, 0, 0], at + np.array([0, 0, 0.5]))
    assert GOOD.view_change(ahead, depth=5.0) == pytest.approx(0.1)
    turned = Rigid.from_rotation_vector([0, 0.2, 0], at)
    assert GOOD.view_change(turned, depth=5.0) == pytest.approx(0.2)
    assert SceneInfo().view_change(turned, 5.0) == 0


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 640), (641, 357), (64, 64), (50, 40)])
def test_a_cell_speaks_of_the_ray_of_its_pixel(width, height) -> None:
    """Through a lens, with fx != fy, portrait or not, reduced or enlarged."""
    camera = Camera(
        "plumb_bob", width * 0.9, width * 0.8, width * 0.52, height * 0.47, width, height, (-0.1, 0.02, 0, 0)
    )
    given = network_input(np.zeros((height, width, 3), np.uint8), 64, 1, (0.4,), (0.25,))
    assert min(given.shape[2:]) == 64 and given.dtype == np.float32
    shape = (-(-given.shape[2] // 8), -(-given.shape[3] // 8))
    cells = coordinate_map(np.zeros((*shape, 3)), None, camera, given.shape[2:], GOOD)
    assert cells.shape == shape and len(cells.rays) == shape[0] * shape[1]
    inside = cells.usable
    assert np.allclose(cells.rays[inside], camera.rays(cells.pixels[inside]), atol=1e-12)
    scale = [width / given.shape[3], height / given.shape[2]]
    expected = (np.array([8 * 2 + 4, 8 * 1 + 4]) + 0.5) * scale - 0.5
    assert np.allclose(cells.pixels[1 * shape[1] + 2], expected)
    assert cells.focal == pytest.approx(camera.focal * 64 / min(width, height), rel=0.02)
    assert np.allclose(cells.points, GOOD.origin)


def test_cells_beyond_the_image_have_no_ray() -> None:
    camera = Camera("pinhole", 60, 60, 33, 33, 67, 67)
    pixels, rays = cell_rays(camera, (9, 9), 8)
    assert np.isnan(rays[pixels[:, 0] == 68]).all() and np.isfinite(rays[(pixels < 67).all(axis=1)]).all()


def test_images_are_fed_as_luma_or_rgb() -> None:
    blue = np.zeros((64, 64, 3), np.uint8)
    blue[..., 0] = 255
    assert np.allclose(network_input(blue, 64, 1, (0.0,), (1.0,)), round(0.114 * 255) / 255)
    rgb = network_input(blue, 64, 3, (0.0, 0.0, 0.5), (1.0, 1.0, 0.5))
    assert rgb.shape == (1, 3, 64, 64) and np.allclose(rgb[0, :, 0, 0], [0, 0, 1])
    assert np.allclose(network_input(blue[..., 0], 64, 3, (0.0,) * 3, (1.0,) * 3), 1)


def test_outputs_are_points_deviations_or_factors() -> None:
    generator = np.random.default_rng(0)
    points, deviation = generator.normal(size=(1, 3, 4, 5)), generator.uniform(0.1, 1, (1, 1, 4, 5))
    assert decode_outputs((points,), "net")[1] is None
    found, covariances = decode_outputs((points, deviation), "net")
    assert np.allclose(found[2, 3], points[0, :, 2, 3])
    assert np.allclose(covariances[2, 3], deviation[0, 0, 2, 3] ** 2 * np.eye(3))
    factor = np.tril(generator.normal(size=(3, 3))) + 3 * np.eye(3)
    rows = factor[[0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]]
    nine = np.concatenate([points, np.broadcast_to(rows[None, :, None, None], (1, 6, 4, 5))], axis=1)
    assert np.allclose(decode_outputs((nine,), "net")[1], factor @ factor.T)


@pytest.mark.parametrize("shape", [(1, 2, 4, 5), (1, 5, 4, 5), (2, 3, 4, 5), (1, 3)])
def test_outputs_that_are_no_coordinates_are_refused(shape) -> None:
    with pytest.raises(CheckpointError, match="net: expected scene coordinates"):
        decode_outputs((np.zeros(shape),), "net")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    from relpose_ros.networks.registry import build_network

    name = "scene_coordinates.dsacstar_tiny"
    scene = GOOD.to_dict()
    path = tmp_path_factory.mktemp("scene") / "untrained.safetensors"
    return write_checkpoint(path, build_network(name).state_dict(), CheckpointInfo(name, scene=scene))


def test_a_checkpoint_answers_for_any_size(untrained) -> None:
    predictor = ScenePredictor(untrained, "torch", threads=1)
    assert predictor.scene == GOOD and len(predictor.identity) == 64
    for height, width in ((64, 88), (88, 64)):
        camera = Camera("pinhole", 60, 60, width / 2, height / 2, width, height)
        cells = predictor.predict(np.zeros((height, width), np.uint8), camera)
        assert cells.shape == (height // 8, width // 8) and cells.usable.all() and cells.covariances is None
        assert np.linalg.norm(cells.points - GOOD.origin, axis=1).max() < 1e3


def test_the_image_of_another_camera_is_refused(untrained) -> None:
    with pytest.raises(ImageError, match="64x48"):
        ScenePredictor(untrained, "torch").predict(
            np.zeros((24, 32), np.uint8), Camera("pinhole", 60, 60, 32, 24, 64, 48)
        )


def test_a_new_calibration_leaves_the_weights_alone(untrained, tmp_path) -> None:
    from relpose_ros.checkpoints.containers import read_container
    from relpose_ros.localization.calibration import Calibration
    from relpose_ros.localization.scene_calibration import write_calibration

    out = tmp_path / "calibrated.safetensors"
    write_calibration(untrained, out, Calibration(scale=7.0, samples=40))
    assert SceneInfo.of(read_info(out)).calibration["scale"] == 7
    before, after = read_container(untrained), read_container(out)
    assert before.keys() == after.keys() and all((before[k] == after[k]).all() for k in before)
    write_calibration(out, out, Calibration(scale=8.0))
    assert SceneInfo.of(read_info(out)).calibration["scale"] == 8 and len(list(tmp_path.iterdir())) == 1
