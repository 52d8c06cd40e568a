"""Every posed scene of the shared data opens, and its geometry holds."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from relpose_ros.datasets.open import open_source

DATA = Path(os.environ.get("RELPOSE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
EXPECTED = {
    "indoor_7scenes_redkitchen": (208, 86, True),
    "indoor_tum_fr3_office_sparse": (13, 6, True),
    "outdoor_herzjesu_p25": (19, 6, True),
    "outdoor_fountain_p11": (8, 3, True),
    "outdoor_lund_door": (8, 4, False),
    "outdoor_sacre_coeur10_phototourism": (7, 3, False),
    "room_fox": (38, 12, False),
    "driving_kitti06_start": (13, 38, True),
    "aerial_brighton_strips12": (8, 4, True),
    "object_middlebury_templering": (31, 16, True),
}


def scene(name: str) -> Path:
    path = DATA / name
    if not path.is_dir():
        pytest.skip(f"real scene NOT checked: no {path}; set RELPOSE_DATA to the folder of scenes")
    return path


@pytest.mark.parametrize("name", EXPECTED)
def test_opens(name):
    source = open_source(scene(name))
    assert (len(source.references), len(source.queries), source.metric) == EXPECTED[name]
    for image in (source.images[0], source.images[-1]):
        frame = image.frame()  # checks the size against the camera
        assert frame.image.std() > 5
    cameras = {image.camera for image in source.images}
    assert len(cameras) == (10 if "sacre_coeur" in name else 1)


def test_every_other_scene_that_has_poses_opens_too():
    if not DATA.is_dir():
        pytest.skip(f"real scenes NOT checked: no {DATA}; set RELPOSE_DATA")
    for path in sorted(DATA.iterdir()):
        if (path / "poses.txt").is_file():
            assert open_source(path).images


def test_depth_agrees_with_the_poses():
    """A pixel with depth, carried by the poses into the next image, meets a similar depth there."""
    source = open_source(scene("indoor_7scenes_redkitchen"))
    first, second = source.references[0], source.references[1]
    assert first.load_depth and second.load_depth and first.map_from_camera and second.map_from_camera
    depth, other = first.load_depth(), second.load_depth()
    y, x = np.mgrid[20:460:20, 20:620:20].reshape(2, -1)
    y, x = y[depth[y, x] > 0], x[depth[y, x] > 0]
    rays = first.camera.rays(np.stack([x, y], 1))
    points = np.concatenate([rays, np.ones((len(rays), 1))], 1) * depth[y, x, None]
    moved = (second.map_from_camera.inverse() @ first.map_from_camera).apply(points)
    pixels = np.rint(second.camera.project(moved)).astype(int)
    inside = second.camera.contains(pixels)
    seen = other[pixels[inside, 1], pixels[inside, 0]]
    error = np.abs(seen - moved[inside, 2])[seen > 0]
    assert len(error) > 200
    assert np.median(error) < 0.02
