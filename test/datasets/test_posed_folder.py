"""The posed-image folder, and what is refused in one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.camera_files import write_camera
from relpose_ros.datasets.open import open_source
from relpose_ros.errors import CameraError, ConfigurationError, DatasetError, ImageError, RelposeError
from relpose_ros.geometry.cameras import Camera

INTRINSICS = "# fx fy ...\n30 31 15 12.5 32 24 0.1 -0.02 0.001 0.002\n"


@pytest.fixture
def folder(tmp_path, make_pose, save_image, pose_line):
    """Three images, of which the second is a query, with geo-referenced coordinates."""
    root = tmp_path / "scene"
    lines = []
    for index in range(3):
        save_image(root / "images" / f"{index:06d}.png", index)
        lines.append(f"{index:06d}.png {pose_line(make_pose(index))}")
    (root / "poses.txt").write_text("# name tx ty tz qx qy qz qw\n" + "\n".join(lines) + "\n")
    (root / "intrinsics.txt").write_text(INTRINSICS)
    (root / "split.txt").write_text("000000.png map\n000001.png query\n000002.png map\n")
    return root


def test_reads_what_was_written(folder, make_pose, make_image, camera, same_pose):
    source = open_source(folder)
    assert (source.name, source.metric, source.licence) == ("scene", True, "")
    assert [i.name for i in source.references] == ["000000.png", "000002.png"]
    assert [i.name for i in source.queries] == ["000001.png"]
    for index, image in enumerate(source.images):
        assert same_pose(image.map_from_camera, make_pose(index))
        assert image.camera == camera
        assert np.array_equal(image.load(), make_image(index))
        assert image.load_depth is None
    assert source.images[0].frame().camera == camera


def test_large_coordinates_keep_their_digits(folder):
    (folder / "poses.txt").write_text("000000.png 500000.123456 5400000.654321 312.5 0 0 0 1\n")
    (folder / "split.txt").unlink()
    (image,) = open_source(folder).references
    assert image.map_from_camera is not None
    assert image.map_from_camera.translation.tolist() == [500000.123456, 5400000.654321, 312.5]


def test_without_a_split_all_are_map(folder):
    (folder / "split.txt").unlink()
    assert len(open_source(folder).references) == 3


def test_a_query_may_have_no_pose(folder, save_image):
    save_image(folder / "images" / "new.png", 9)
    with (folder / "split.txt").open("a") as file:
        file.write("new.png query\n")
    assert open_source(folder).queries[-1].map_from_camera is None


def test_cameras_may_differ_per_image(folder):
    lines = [f"{i:06d}.png {30 + i} 31 15 12.5 32 24" for i in range(3)]
    (folder / "intrinsics.txt").write_text("# cameras differ per image, see intrinsics_per_image.txt\n")
    (folder / "intrinsics_per_image.txt").write_text("\n".join(lines))
    assert [i.camera.fx for i in open_source(folder).images] == [30, 31, 32]
    (folder / "intrinsics_per_image.txt").write_text("\n".join(lines[:2]))
    with pytest.raises(DatasetError, match=r"no camera for '000002.png'"):
        open_source(folder)


def test_a_camera_yaml_carries_a_fisheye(folder):
    fisheye = Camera("equidistant", 20.0, 20.0, 15.5, 11.5, 32, 24, (0.1, 0.01, 0.0, 0.0))
    (folder / "intrinsics.txt").unlink()
    write_camera(fisheye, folder / "camera.yaml")
    assert open_source(folder).images[0].camera == fisheye


def test_depth_is_metres_and_zero_where_unknown(folder):
    depth = np.full((24, 32), 1500, np.uint16)
    depth[0, 0] = 0
    (folder / "depth").mkdir()
    cv2.imwrite(str(folder / "depth" / "000000.png"), depth)
    load_depth = open_source(folder).images[0].load_depth
    assert load_depth is not None
    loaded = load_depth()
    assert loaded.dtype == np.float32
    assert loaded[0, 0] == 0 and loaded[5, 5] == np.float32(1.5)


def test_stamps_are_read(folder):
    (folder / "stamps.txt").write_text("000000.png 12.5\n")
    assert [i.stamp for i in open_source(folder).images] == [12.5, 0, 0]


def test_conditions_are_read(folder):
    (folder / "conditions.txt").write_text("000001.png night\n")
    assert [i.condition for i in open_source(folder).images] == ["", "night", ""]


@pytest.mark.parametrize(
    ("notes", "metric"),
    [
        ("- poses: COLMAP, SCALE ARBITRARY", False),
        ("SCALE IS ARBITRARY (COLMAP)", False),
        ("of arbitrary scale", False),
        ("Units metres. Scale 1.00 checked", True),
    ],
)
def test_words_say_whether_the_unit_is_the_metre(folder, notes, metric):
    (folder / "SOURCE.md").write_text(f"# scene\n{notes}\n- licence: CC0\n")
    source = open_source(folder)
    assert source.metric is metric
    assert source.licence == "CC0"


def test_source_yaml_wins_over_words(folder):
    (folder / "SOURCE.md").write_text("SCALE ARBITRARY\n")
    (folder / "source.yaml").write_text("{metric: true, licence: Apache-2.0}\n")
    source = open_source(folder)
    assert source.metric and source.licence == "Apache-2.0"


BAD_POSES = {
    "short line": ("000000.png 1 2 3 0 0 0", r"poses.txt:1: expected 8 fields"),
    "not a number": ("000000.png 1 2 x 0 0 0 1", r"poses.txt:1: expected numbers"),
    "NaN": ("000000.png nan 2 3 0 0 0 1", r"poses.txt:1: expected finite"),
    "infinite": ("000000.png 1 2 3 0 0 0 inf", r"poses.txt:1: expected finite"),
    "zero quaternion": ("000000.png 1 2 3 0 0 0 0", r"poses.txt:1: expected a quaternion of norm 1"),
    "no quaternion": ("000000.png 1 2 3 5 5 5 5", r"poses.txt:1: expected a quaternion of norm 1"),
    "twice": ("a.png 1 2 3 0 0 0 1\na.png 1 2 3 0 0 0 1", r"poses.txt:2: .a.png. is listed twice"),
    "leaves the folder": ("../../secret.png 1 2 3 0 0 0 1", r"poses.txt:1: expected a name inside"),
    "leaves by backslash": ("..\\secret.png 1 2 3 0 0 0 1", r"poses.txt:1: expected a name inside"),
    "absolute": ("/etc/passwd 1 2 3 0 0 0 1", r"poses.txt:1: expected a name inside"),
    "no such image": ("nothing.png 1 2 3 0 0 0 1", r"nothing.png: no such image"),
    "empty": ("# nothing\n", r"at least one image"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_POSES)
def test_bad_poses_are_refused_with_their_line(folder, case):
    text, message = BAD_POSES[case]
    (folder / "poses.txt").write_text(text)
    (folder / "split.txt").unlink()
    with pytest.raises(DatasetError, match=message):
        open_source(folder)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("intrinsics.txt", "30 31 15 12.5 32\n", r"intrinsics.txt: expected 6, 10 or 11 numbers"),
        ("intrinsics.txt", "0 31 15 12.5 32 24\n", r"intrinsics.txt: .*not calibrated"),
        ("intrinsics.txt", "nan 31 15 12.5 32 24\n", r"intrinsics.txt: expected finite"),
        ("intrinsics.txt", "", r"intrinsics.txt: expected a ROS camera-info"),
        ("intrinsics_per_image.txt", "000000.png 30 31\n", r"intrinsics_per_image.txt:1: expected 6"),
        ("split.txt", "000000.png train\n", r"split.txt:1: expected 'map' or 'query'"),
        ("split.txt", "000000.png\n", r"split.txt:1: expected 2 fields"),
        ("conditions.txt", "000000.png\n", r"conditions.txt:1: expected 2 fields"),
        ("conditions.txt", "000000.png a\n000000.png b\n", r"conditions.txt:2"),
        ("stamps.txt", "000000.png x\n", r"stamps.txt:1: expected numbers"),
        ("source.yaml", "metric: maybe\n", r"source.yaml: expected a mapping"),
        ("source.yaml", "{", r"source.yaml: not YAML"),
    ],
)
def test_other_bad_files_are_refused_by_name(folder, file, text, message):
    (folder / file).write_text(text)
    with pytest.raises(RelposeError, match=message):
        open_source(folder)


def test_no_camera_at_all(folder):
    (folder / "intrinsics.txt").unlink()
    with pytest.raises(DatasetError, match="no camera; expected intrinsics"):
        open_source(folder)


def test_bytes_that_are_no_text(folder):
    (folder / "split.txt").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DatasetError, match="expected a text file"):
        open_source(folder)


def test_an_image_of_another_size_than_its_camera(folder, save_image):
    save_image(folder / "images" / "000000.png", 0, width=16)
    source = open_source(folder)  # pixels are read when they are wanted
    with pytest.raises(ImageError, match="expected 32x24 pixels as its camera says, got 16x24"):
        source.images[0].load()


def test_what_is_no_source(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        open_source(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="not a posed-image source") as caught:
        open_source(tmp_path)
    assert "rosbag" in str(caught.value)


def test_the_images_alone_in_place_of_their_folder(folder):
    with pytest.raises(DatasetError, match="a part of a posed-image source; give the whole of it"):
        open_source(folder / "images")


def test_a_map_in_the_place_of_a_source(tmp_path):
    (tmp_path / "office.relmap").write_bytes(b"relmap 2")
    with pytest.raises(DatasetError, match="a map, where posed images were expected"):
        open_source(tmp_path / "office.relmap")


def test_options_and_formats_that_do_not_exist(folder):
    with pytest.raises(ConfigurationError, match="unknown dataset format 'nerf'"):
        open_source(folder, format="nerf")
    with pytest.raises(ConfigurationError, match="has no option 'every_nth'"):
        open_source(folder, every_nth=3)
    assert len(open_source(folder, format="folder", every_nth=None).images) == 3


def test_camera_errors_are_camera_errors(folder):
    (folder / "intrinsics.txt").write_text("0 0 0 0 32 24")
    with pytest.raises(CameraError):
        open_source(folder)
