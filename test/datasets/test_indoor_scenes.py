"""7-Scenes and 12-Scenes trees, and the registration of their depth."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.depth_registration import register
from relpose_ros.datasets.open import open_source
from relpose_ros.errors import DatasetError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

LOST = "-1.#IND -1.#IND -1.#IND -1.#IND\n" * 4


def depth_of(image):
    """The depth of an image that must have one."""
    assert image.load_depth is not None
    return image.load_depth()


def save_pose(path, pose):
    np.savetxt(path, pose.matrix, fmt="%.8e", delimiter="\t ")


@pytest.fixture
def seven(tmp_path, make_pose, save_image):
    """Two sequences of two frames, 640x480."""
    root = tmp_path / "chess"
    for sequence in (1, 12):
        for frame in range(2):
            stem = root / f"seq-{sequence:02d}" / f"frame-{frame:06d}"
            save_image(stem.with_name(f"{stem.name}.color.png"), sequence + frame, width=640, height=480)
            depth = np.full((480, 640), 2000, np.uint16)
            depth[:10] = 65535
            cv2.imwrite(f"{stem}.depth.png", depth)
            save_pose(f"{stem}.pose.txt", make_pose(sequence + frame))
    (root / "TrainSplit.txt").write_text("sequence1\n")
    (root / "TestSplit.txt").write_text("sequence12\n")
    return root


def test_seven_scenes(seven, make_pose, same_pose, make_image):
    source = open_source(seven)
    assert (source.name, source.metric) == ("chess", True) and "non-commercial" in source.licence
    assert [i.name for i in source.references] == [f"seq-01/frame-00000{n}.color.png" for n in (0, 1)]
    assert [i.name for i in source.queries] == [f"seq-12/frame-00000{n}.color.png" for n in (0, 1)]
    first = source.references[0]
    assert same_pose(first.map_from_camera, make_pose(1), 1e-6)
    rotation = first.map_from_camera.rotation if first.map_from_camera else np.zeros((3, 3))
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-12)
    assert first.camera.fx == 525
    assert np.array_equal(first.load(), make_image(1, width=640, height=480))


def test_seven_scenes_depth_is_seen_by_the_colour_camera(seven):
    depth = depth_of(open_source(seven).images[0])
    assert depth.shape == (480, 640) and depth.dtype == np.float32
    middle = depth[100:400, 100:550]
    assert np.median(middle) == pytest.approx(2.0, abs=0.05)
    assert (middle > 0).mean() > 0.99  # 525 is coarser than 585: hardly any holes
    assert depth.max() < 2.1  # 65535 is nothing, not 65 m


def test_seven_scenes_depth_is_moved_by_the_baseline(seven):
    """The point 1 m before the depth camera, carried over by hand with the published calibration."""
    depth = np.zeros((480, 640), np.uint16)
    depth[240, 320] = 1000
    cv2.imwrite(str(seven / "seq-01" / "frame-000000.depth.png"), depth)
    moved = depth_of(open_source(seven).images[0])
    x, y, z = -0.0079041 - 0.0255589, -0.0081505 + 0.0001011, 0.9999355 + 0.0020318
    assert np.argwhere(moved).tolist() == [[round(240 + 525 * y / z), round(320 + 525 * x / z)]]
    assert moved.max() == pytest.approx(z, abs=1e-6)


def test_seven_scenes_options_and_lost_tracking(seven):
    (seven / "seq-01" / "frame-000000.pose.txt").write_text(LOST)
    assert [i.name for i in open_source(seven).references] == ["seq-01/frame-000001.color.png"]
    assert len(open_source(seven, every=2).images) == 1
    camera = Camera("pinhole", 585, 585, 320, 240, 640, 480)
    assert open_source(seven, camera=camera).images[0].camera.fx == 585


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("TrainSplit.txt", "train\n", r"TrainSplit.txt:1: expected a line like 'sequence3'"),
        ("TrainSplit.txt", "sequence7\n", r"seq-07: the sequence is not there"),
        ("seq-01/frame-000000.pose.txt", "1 0 0 0\n", r"pose.txt: expected a 4x4 matrix"),
        ("seq-01/frame-000000.pose.txt", "1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 0\n", "expected a rigid"),
        ("seq-01/frame-000000.pose.txt", "1 0 0 0\n0 1 0 0\n0 0 -1 0\n0 0 0 1\n", "expected a rigid"),
        ("seq-01/frame-000000.pose.txt", "1 0 0 x\n0 1 0 0\n0 0 1 0\n0 0 0 1\n", "expected numbers"),
        ("seq-01/frame-000000.pose.txt", "", "expected a 4x4 matrix"),
    ],
)
def test_bad_seven_scenes(seven, name, text, message):
    (seven / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_source(seven)


def test_seven_scenes_that_are_not_unpacked(seven):
    for file in (seven / "seq-12").iterdir():
        file.unlink()
    (seven / "seq-12").rmdir()
    (seven / "seq-12.zip").touch()
    with pytest.raises(DatasetError, match=r"unpack seq-12.zip"):
        open_source(seven)


def test_a_frame_without_its_image(seven):
    (seven / "seq-01" / "frame-000000.color.png").unlink()
    with pytest.raises(DatasetError, match=r"frame-000000.color.png: no such image"):
        open_source(seven)


INFO = """\
m_versionNumber = 4
m_sensorName = StructureSensor
m_colorWidth = 64
m_colorHeight = 48
m_depthWidth = 32
m_depthHeight = 24
m_depthShift = 1000
m_calibrationColorIntrinsic = 58 0 31 0 0 57 23.5 0 0 0 1 0 0 0 0 1
m_calibrationColorExtrinsic = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1
m_calibrationDepthIntrinsic = 28.6 0 15.5 0 0 28.6 11.5 0 0 0 1 0 0 0 0 1
m_calibrationDepthExtrinsic = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1
m_frames.size = 5
"""


@pytest.fixture
def twelve(tmp_path, make_pose, save_image):
    """Five frames, of which the first sequence has two."""
    root = tmp_path / "kitchen"
    for frame in range(5):
        save_image(root / "data" / f"frame-{frame:06d}.color.jpg", frame, width=64, height=48)
        cv2.imwrite(str(root / "data" / f"frame-{frame:06d}.depth.png"), np.full((24, 32), 1500, np.uint16))
        save_pose(root / "data" / f"frame-{frame:06d}.pose.txt", make_pose(frame))
    (root / "info.txt").write_text(INFO)
    (root / "split.txt").write_text(
        "sequence0 [frames=2] [start=0 ; end=1]\nsequence1 [frames=3] [start=2 ; end=4]\n"
    )
    return root


def test_twelve_scenes(twelve, make_pose, same_pose):
    (twelve / "data" / "frame-000003.pose.txt").write_text("-1.#INF -1.#INF -1.#INF -1.#INF\n" * 4)
    source = open_source(twelve)
    assert [i.name[:12] for i in source.queries] == ["frame-000000", "frame-000001"]
    assert [i.name[:12] for i in source.references] == ["frame-000002", "frame-000004"]
    assert source.images[0].camera == Camera("pinhole", 58, 57, 31, 23.5, 64, 48)
    assert same_pose(source.images[0].map_from_camera, make_pose(0), 1e-6)
    assert source.images[0].frame().image.shape == (48, 64, 3)


def test_twelve_scenes_depth_has_the_size_of_the_picture(twelve):
    depth = depth_of(open_source(twelve).images[0])
    assert depth.shape == (48, 64)
    assert np.median(depth) == pytest.approx(1.5)
    assert (depth[8:40, 8:56] > 0).mean() > 0.95


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("split.txt", "", r"split.txt:1: expected 'sequence0"),
        (
            "info.txt",
            INFO.replace("m_calibrationColorIntrinsic", "m_other"),
            "expected 16 numbers in m_calibrationColor",
        ),
        ("info.txt", INFO.replace("58 0 31", "58 31"), "expected 16 numbers"),
        ("info.txt", INFO.replace("m_depthWidth = 32", ""), "expected a number in m_depthWidth"),
        ("data/frame-xyz.pose.txt", "1", r"frame-xyz.color.jpg: no such image"),
    ],
)
def test_bad_twelve_scenes(twelve, name, text, message):
    (twelve / name).write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_source(twelve)


DEPTH = Camera("pinhole", 40, 40, 31.5, 23.5, 64, 48)


def test_registration_by_the_same_camera_changes_nothing():
    depth = np.random.default_rng(0).uniform(0.5, 4, (48, 64)).astype(np.float32)
    depth[3, 4] = 0
    assert register(depth, DEPTH, DEPTH, Rigid.identity()) == pytest.approx(depth, abs=1e-6)


def test_registration_of_a_tilted_plane():
    """Depth of a known plane, seen from elsewhere, is the plane's depth there."""
    colour = Camera("pinhole", 36, 37, 30, 25, 64, 48)
    pose = Rigid.from_rotation_vector([0.02, -0.03, 0.01], [0.05, 0.01, -0.1])
    normal, offset = np.array([0.2, -0.1, 1.0]), 2.0  # normal . point = offset, in the depth camera

    def plane(camera, n, d):
        y, x = np.mgrid[: camera.height, : camera.width].reshape(2, -1)
        rays = np.c_[camera.rays(np.stack([x, y], 1)), np.ones(x.size)]
        return (d / (rays @ n)).reshape(camera.height, camera.width)

    registered = register(plane(DEPTH, normal, offset).astype(np.float32), DEPTH, colour, pose)
    turned = pose.rotation @ normal
    expected = plane(colour, turned, offset + turned @ pose.translation)
    seen = registered > 0
    assert seen[10:38, 10:54].mean() > 0.95
    assert np.abs(registered - expected)[seen].max() < 0.02


def test_the_nearer_surface_wins():
    depth = np.full((48, 64), 4, np.float32)
    depth[:, 30:34] = 1
    seen = register(depth, DEPTH, DEPTH, Rigid(np.eye(3), np.array([0.1, 0, 0])))
    assert seen[24, 34:38].tolist() == [1, 1, 1, 1]


def test_depth_of_another_size(seven):
    cv2.imwrite(str(seven / "seq-01" / "frame-000000.depth.png"), np.zeros((24, 32), np.uint16))
    with pytest.raises(ImageError, match="expected a depth image of 640x480, got 32x24"):
        depth_of(open_source(seven).images[0])
