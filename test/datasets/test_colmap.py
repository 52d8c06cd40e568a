"""COLMAP models, written by COLMAP itself, and broken ones."""

from __future__ import annotations

import shutil

import numpy as np
import pycolmap
import pytest

from relpose_ros.datasets.open import open_source
from relpose_ros.errors import CameraError, ConfigurationError, DatasetError

NAMES = ["b/second.png", "a first.png", "c.png"]


@pytest.fixture
def reconstruction(make_pose):
    """Two cameras, three images, one 3D point."""
    model = pycolmap.Reconstruction()
    for identity, kind, params in ((1, "SIMPLE_RADIAL", [30, 16, 12, 0.1]), (2, "PINHOLE", [30, 31, 16, 12])):
        camera = pycolmap.Camera(model=kind, width=32, height=24, params=params, camera_id=identity)
        model.add_camera_with_trivial_rig(camera)
    for index, name in enumerate(NAMES):
        points = [pycolmap.Point2D(np.array([3.0 * k, 2.0])) for k in range(index)]
        image = pycolmap.Image(name=name, camera_id=1 + index % 2, image_id=index + 1, points2D=points)
        pose = make_pose(index).inverse()
        cam_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(pose.rotation), pose.translation)
        model.add_image_with_trivial_frame(image, cam_from_world)
    return model


@pytest.fixture(params=["bin", "txt"])
def project(tmp_path, reconstruction, save_image, request):
    """A project folder: images/ and sparse/0."""
    model = tmp_path / "scene" / "sparse" / "0"
    model.mkdir(parents=True)
    (reconstruction.write_binary if request.param == "bin" else reconstruction.write_text)(model)
    for index, name in enumerate(NAMES):
        save_image(tmp_path / "scene" / "images" / name, index)
    return tmp_path / "scene"


@pytest.mark.parametrize("inside", [".", "sparse", "sparse/0"])
def test_reads_what_colmap_writes(project, make_pose, make_image, same_pose, inside):
    source = open_source(project / inside)
    assert not source.metric
    assert [i.name for i in source.images] == sorted(NAMES)
    assert len(source.references) == 3
    for image in source.images:
        index = NAMES.index(image.name)
        assert same_pose(image.map_from_camera, make_pose(index))
        assert np.array_equal(image.load(), make_image(index))
        assert image.camera.model == ("pinhole" if index % 2 else "plumb_bob")
        assert (image.camera.cx, image.camera.cy) == (15.5, 11.5)  # half a pixel less than COLMAP's


def test_options(project, tmp_path):
    assert [i.split for i in open_source(project, query_every=3).images] == ["map", "map", "query"]
    assert len(open_source(project, split="query").queries) == 3
    assert open_source(project, metric=True).metric
    (project / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(DatasetError, match="pass image_folder"):
        open_source(project)
    assert len(open_source(project, image_folder=tmp_path / "elsewhere").images) == 3
    with pytest.raises(ConfigurationError, match="query_every"):
        open_source(project, image_folder=tmp_path / "elsewhere", query_every=1)


def test_a_missing_image(project):
    (project / "images" / "c.png").unlink()
    with pytest.raises(DatasetError, match=r"c.png: no such image"):
        open_source(project)


@pytest.fixture
def binary(tmp_path, reconstruction):
    """Only the model; refused before images are looked for."""
    reconstruction.write_binary(tmp_path)
    (tmp_path / "images").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_every_truncation_is_refused(binary, name):
    data = (binary / name).read_bytes()
    for length in range(0, len(data), 7):
        (binary / name).write_bytes(data[:length])
        with pytest.raises(DatasetError, match="ends too early"):
            open_source(binary)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_hostile_counts_do_not_run_for_ever(binary, name):
    data = (binary / name).read_bytes()
    (binary / name).write_bytes(b"\xff" * 8 + data[8:])
    with pytest.raises(DatasetError, match="ends too early"):
        open_source(binary)


def text_model(path, cameras="1 PINHOLE 32 24 30 31 16 12\n", images="1 1 0 0 0 0 0 0 1 a.png\n\n"):
    (path / "images").mkdir(exist_ok=True)
    (path / "cameras.txt").write_text(cameras)
    (path / "images.txt").write_text(images)


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({"cameras": "1 PINHOLE 32\n"}, DatasetError, r"cameras.txt:1: expected CAMERA_ID"),
        ({"cameras": "1 FOV 32 24 30 31 16 12 1\n"}, CameraError, r"cameras.txt:1: .*FOV.* not supported"),
        ({"cameras": "1 PINHOLE 32 24 30\n"}, CameraError, "takes 4 parameters"),
        ({"images": "# c\n1 1 0 0 0 0 0 0 1\n\n"}, DatasetError, r"images.txt:2: expected IMAGE_ID"),
        ({"images": "1 0 0 0 0 0 0 0 1 a.png\n\n"}, DatasetError, "quaternion of norm 1"),
        ({"images": "1 nan 0 0 0 0 0 0 1 a.png\n\n"}, DatasetError, "expected finite"),
        ({"images": "1 1 0 0 0 0 0 0 7 a.png\n\n"}, DatasetError, "refers to camera 7"),
        ({"images": "1 1 0 0 0 0 0 0 1 ../a.png\n\n"}, DatasetError, "expected a name inside"),
        ({"images": "1 1 0 0 0 0 0 0 1 a.png\n\n2 1 0 0 0 0 0 0 1 a.png\n\n"}, DatasetError, "listed twice"),
        ({"images": "# none\n"}, DatasetError, "no registered image"),
    ],
)
def test_bad_text_models(tmp_path, files, error, message):
    text_model(tmp_path, **files)
    with pytest.raises(error, match=message):
        open_source(tmp_path)


def test_no_model(tmp_path):
    with pytest.raises(DatasetError, match=r"expected cameras.bin"):
        open_source(tmp_path, format="colmap")


def test_keypoint_lines_may_be_empty(tmp_path, save_image):
    text_model(tmp_path, images="1 1 0 0 0 0 0 0 1 a.png\n\n2 1 0 0 0 0 0 0 1 b.png\n1 2 -1\n")
    for name in ("a.png", "b.png"):
        save_image(tmp_path / "images" / name, 0)
    assert len(open_source(tmp_path).images) == 2
    shutil.rmtree(tmp_path / "images")
