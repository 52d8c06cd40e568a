"""The simulation as files: a folder that opens, whole or not at all."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from relpose_ros.datasets.camera_files import read_camera
from relpose_ros.datasets.open import open_source
from relpose_ros.datasets.simulate import dataset
from relpose_ros.datasets.simulate.dataset import simulate, write_simulation
from relpose_ros.datasets.simulate.folder import to_millimetres
from relpose_ros.datasets.simulate.options import SimulationOptions
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

FEW = SimulationOptions(width=320, height=240, map_frames=4, query_frames=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calls = []
    out = tmp_path_factory.mktemp("simulated") / "world"
    write_simulation(FEW, out, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(k, 7) for k in range(1, 8)]
    return out


def test_the_folder_opens_as_what_was_simulated(folder: Path):
    written, source = open_source(folder), simulate(FEW)
    assert (written.metric, written.licence) == (True, "CC0-1.0")
    assert (len(written.references), len(written.queries)) == (4, 3)
    for ours, theirs in zip(source.images, written.images, strict=True):
        assert (ours.name, ours.split) == (theirs.name, theirs.split)
        assert ours.stamp == pytest.approx(theirs.stamp, abs=1e-6)
        assert ours.map_from_camera.distance_to(theirs.map_from_camera)[0] < 1e-8
        assert ours.map_from_camera.distance_to(theirs.map_from_camera)[1] < 1e-7
        for name in ("fx", "fy", "cx", "cy"):
            assert getattr(theirs.camera, name) == pytest.approx(getattr(ours.camera, name), abs=1e-9)


def test_pictures_and_depths_are_those_of_the_simulation(folder: Path):
    written, source = open_source(folder).images[5], simulate(FEW).images[5]
    colour = cv2.imread(str(folder / "images" / written.name))
    assert np.abs(colour.astype(float) - source.load()).mean() < 4  # JPEG
    assert written.load_depth is not None and source.load_depth is not None
    depth = written.load_depth()
    np.testing.assert_allclose(depth, source.load_depth(), atol=0.00051)
    assert depth.min() > 0


def test_camera_and_mount_are_written_for_ros(folder: Path):
    camera = read_camera(folder / "camera.yaml")
    assert (camera.width, camera.height) == (320, 240)
    mount = yaml.safe_load((folder / "mount.yaml").read_text())["base_from_camera"]
    pose = Rigid.from_quaternion(mount["rotation_xyzw"], mount["translation"])
    assert max(pose.distance_to(FEW.base_from_camera)) < 1e-9
    assert yaml.safe_load((folder / "source.yaml").read_text())["simulation"]["world"] == "office"


@pytest.mark.parametrize("kind", ["plumb_bob", "equidistant"])
def test_other_cameras_come_back_as_they_were(tmp_path: Path, cameras: dict[str, Camera], kind: str):
    options = SimulationOptions(camera=cameras[kind], map_frames=1, query_frames=1, depth=False)
    image = open_source(write_simulation(options, tmp_path / "world")).images[0]
    assert image.camera.model == kind
    np.testing.assert_allclose(image.camera.distortion, cameras[kind].distortion, atol=1e-12)
    assert image.load_depth is None
    assert not (tmp_path / "world" / "depth").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    with pytest.raises(DatasetError, match="new or empty"):
        write_simulation(FEW, out)
    with pytest.raises(DatasetError, match="new or empty"):
        write_simulation(FEW, out / "thesis.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    assert (out / "thesis.txt").read_text() == "precious"


def test_an_empty_folder_is_filled(tmp_path: Path):
    out = tmp_path / "empty"
    out.mkdir()
    write_simulation(replace(FEW, map_frames=1, query_frames=0), out)
    assert len(open_source(out).images) == 1


def test_an_interrupted_simulation_leaves_nothing(tmp_path: Path):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_simulation(FEW, tmp_path / "world", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_bag_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise DatasetError("no space")

    monkeypatch.setattr(dataset, "write_bags", fail)
    with pytest.raises(DatasetError, match="no space"):
        write_simulation(replace(FEW, map_frames=1, query_frames=0, bags=True), tmp_path / "world")
    assert list(tmp_path.iterdir()) == []


def test_the_source_in_memory_needs_no_world_until_an_image_is_loaded(monkeypatch: pytest.MonkeyPatch):
    from relpose_ros.datasets.simulate import simulation

    monkeypatch.setattr(simulation, "build_world", lambda *_: pytest.fail("built too early"))
    source = simulate(replace(FEW, seed=99))
    assert len(source.references) == 4


def test_depth_that_millimetres_cannot_say_is_unknown():
    metres = np.array([[0.0, 1.2344, 65.5, 70.0]], np.float32)
    np.testing.assert_array_equal(to_millimetres(metres), [[0, 1234, 65500, 0]])


@pytest.mark.parametrize(
    "wrong",
    [
        {"world": "castle"}, {"appearance": "c"}, {"seed": -1}, {"width": 2}, {"map_frames": -1},
        {"rate": -1.0}, {"rate": float("nan")}, {"rate": float("inf")}, {"speed": 0.0},
        {"speed": float("nan")}, {"field_of_view_deg": 179.0}, {"map_frames": 0, "query_frames": 0},
    ],
)  # fmt: skip
def test_options_that_cannot_be_used_are_refused(wrong: dict):
    with pytest.raises(ConfigurationError):
        SimulationOptions(**wrong)


def test_a_given_camera_replaces_the_default():
    camera = Camera("pinhole", 300, 300, 100, 80, 200, 160)
    assert SimulationOptions(camera=camera).lens is camera
    lens = SimulationOptions(width=200, height=100, field_of_view_deg=90.0).lens
    assert lens.fx == pytest.approx(100.0)
    assert (lens.cx, lens.cy) == (99.5, 49.5)
    assert {f.name for f in fields(SimulationOptions)} >= {"seed", "world", "appearance", "rate", "bags"}
