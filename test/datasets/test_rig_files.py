"""Rigs in files: read as written, and refused by name where something is wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from relpose_ros.datasets.rig_files import read_mask, read_rig
from relpose_ros.errors import CameraError, ConfigurationError, ImageError
from relpose_ros.types import MOUNT_SIGMA

CAMERA = "model: pinhole\nfx: 60\nfy: 61\ncx: 31.5\ncy: 23.5\nwidth: 64\nheight: 48\n"
FORWARD = [0.3, 0.0, 0.5, -0.5, 0.5, -0.5, 0.5]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two images, a camera, a mask and one of another size."""
    (tmp_path / "sub").mkdir()
    for name, grey in (("front.png", 90), ("sub/left.png", 120)):
        cv2.imwrite(str(tmp_path / name), np.full((48, 64, 3), grey, np.uint8))
    mask = np.full((48, 64), 255, np.uint8)
    mask[40:] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    cv2.imwrite(str(tmp_path / "small.png"), mask[:4])
    (tmp_path / "camera.yaml").write_text(CAMERA)
    return tmp_path


def content() -> dict:
    front = {"image": "front.png", "camera": "camera.yaml", "base_from_camera": FORWARD, "mask": "mask.png"}
    left = {"image": "sub/left.png", "camera": "camera.yaml", "base_from_camera": [0, 0.2, 0.5, 0, 0, 0, 2]}
    return {"cameras": {"front": {**front, "stamp": 12.5}, "left": {**left, "stamp": 12.503}}}


def written(folder: Path, what: object) -> Path:
    path = folder / "rig.yaml"
    path.write_text(what if isinstance(what, str) else yaml.safe_dump(what))
    return path


def test_a_rig_is_read_as_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = read_rig(written(folder, content()))
    assert rig.names == ("front", "left") and rig.stamp == 12.5
    np.testing.assert_allclose(rig.base_from_camera.translation, [[0.3, 0, 0.5], [0, 0.2, 0.5]])
    # The optical axis of the front camera is the base's x axis, its x axis points right (-y).
    np.testing.assert_allclose(rig.base_from_camera.rotation[0] @ [0, 0, 1], [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(rig.base_from_camera.rotation[0] @ [1, 0, 0], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(rig.base_from_camera.rotation[1], np.eye(3))
    front, left = rig.frames
    assert front.image[0, 0, 0] == 90 and left.image[0, 0, 0] == 120 and front.camera.fy == 61
    assert front.mask is not None and front.mask[39, 0] and not front.mask[40, 0]
    assert left.mask is None


def test_the_tolerance_is_used(folder: Path) -> None:
    rig = content()
    with pytest.raises(ImageError, match=r"0\.003 s apart"):
        read_rig(written(folder, {**rig, "tolerance": 0.001}))
    rig["cameras"]["left"]["stamp"] = 13.0
    assert len(read_rig(written(folder, {**rig, "tolerance": 1})).frames) == 2


def test_how_well_mounts_are_known_is_used(folder: Path) -> None:
    """Of all but the first camera, which says where the base is; a camera's own goes before."""
    rig = content()
    assert read_rig(written(folder, rig)).mounts.sigma.tolist() == [[0, 0], list(MOUNT_SIGMA)]
    rig["mount_sigma"] = [0.02, 0]
    assert read_rig(written(folder, rig)).mounts.sigma.tolist() == [[0, 0], [0.02, 0]]
    rig["cameras"]["front"]["mount_sigma"] = [0.001, 0.002]
    rig["cameras"]["left"]["mount_sigma"] = [0, 0]
    assert read_rig(written(folder, rig)).mounts.sigma.tolist() == [[0.001, 0.002], [0, 0]]


def changed(**entries: object) -> dict:
    rig = content()
    rig["cameras"]["left"].update(entries)
    return rig


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("", "expected a mapping with `cameras`"),
        ("[1, 2]", "expected a mapping with `cameras`"),
        ("{cameras: 3}", "expected `cameras`, one entry a camera"),
        ("{cameras: {}}", "expected `cameras`"),
        ("{cameras: {left: 3}}", "mapping for camera left"),
        ("cameras: [", "not YAML"),
        ({**content(), "camera": 1}, "expected `cameras`, .*, got camera, cameras"),
        ({**content(), "mount_sigma": 0.01}, "mount_sigma: expected two standard deviations"),
        ({**content(), "mount_sigma": [0.01, -1]}, "mount_sigma: expected two standard deviations"),
        (changed(mount_sigma=[0.01, float("nan")]), "camera left: mount_sigma: expected two"),
        ({**content(), "tolerance": "soon"}, "expected seconds, got 'soon'"),
        (changed(stamp=[1]), "expected seconds"),
        (changed(maks="mask.png"), "camera left: .*unknown: maks"),
        ({"cameras": {"left": {"image": "front.png"}}}, "missing: base_from_camera, camera"),
        (changed(base_from_camera=[0, 0, 0]), "camera left: base_from_camera: expected x y z qx qy qz qw"),
        (changed(base_from_camera=[0, 0, 0, 0, 0, 0, 0]), "unit quaternion"),
        (changed(base_from_camera=[float("nan"), 0, 0, 0, 0, 0, 1]), "base_from_camera"),
        (changed(base_from_camera="forward"), "base_from_camera"),
        (changed(base_from_camera=None), "base_from_camera"),
    ],
)
def test_what_is_no_rig_is_refused_by_name(folder: Path, what: object, match: str) -> None:
    path = written(folder, what)
    with pytest.raises(ConfigurationError, match=match) as error:
        read_rig(path)
    assert str(path) in str(error.value)


def test_files_that_are_missing_or_do_not_fit(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml"):
        read_rig(folder / "none.yaml")
    with pytest.raises(ImageError, match=r"nowhere\.png"):
        read_rig(written(folder, changed(image="nowhere.png")))
    with pytest.raises(CameraError, match=r"nowhere\.yaml"):
        read_rig(written(folder, changed(camera="nowhere.yaml")))
    with pytest.raises(ImageError, match=r"mask of uint8 \(48, 64\)"):
        read_rig(written(folder, changed(mask="small.png")))
    with pytest.raises(ImageError, match=r"camera\.yaml"):
        read_mask(folder / "camera.yaml")
