"""Raw views of EPFL and comballaz: points in ECEF, poses in north-east-down."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.open import detect_format, open_source
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.geodetic import ecef_from_geodetic, ecef_from_ned

PLACE = (7.07, 46.37)
HEIGHT, GROUND = 1700.0, 1400.0
WIDTH, TALL = 72, 48
YAW, PITCH = 90.0, -50.0


@pytest.fixture
def folder(tmp_path):
    """Three views to the east and down, onto flat ground 300 m below."""
    camera = ecef_from_geodetic(*PLACE, HEIGHT)
    axes = ecef_from_ned(*PLACE)  # north, east, down
    y, x = np.mgrid[:TALL, :WIDTH]
    right, below = (x - WIDTH / 2) / 48.0, (y - TALL / 2) / 48.0  # f = 480 at 720 pixels
    dip = np.deg2rad(-PITCH)
    # Looking east and `dip` below the horizon: right is south.
    rays = np.stack([-right, np.cos(dip) - below * np.sin(dip), np.sin(dip) + below * np.cos(dip)], -1)
    points = camera + (rays * ((HEIGHT - GROUND) / rays[..., 2:])) @ axes.T
    points[3, 5] = -1
    root = tmp_path / "comballaz-LHS"
    root.mkdir()
    for k in range(3):
        cv2.imwrite(str(root / f"{k:05d}_img.png"), np.full((TALL, WIDTH, 3), k, np.uint8))
        np.save(root / f"{k:05d}_pc.npy", points)
    np.save(root / "LHS_poses.npy", np.tile([*camera, YAW, PITCH, 0.0], (3, 1)))
    return root


def test_every_point_lies_on_its_pixel(folder):
    assert detect_format(folder) == "lhs_sim"
    source = open_source(folder)
    image = source.images[1]
    assert len(source.references) == 3 and image.domain == "simulated" and image.load()[0, 0, 0] == 1
    coordinates = image.load_coordinates()
    known = np.isfinite(coordinates).all(axis=2)
    assert np.argwhere(~known).tolist() == [[3, 5]]
    y, x = np.nonzero(known)
    pixels = image.camera.project(image.map_from_camera.inverse().apply(coordinates[known]))
    np.testing.assert_allclose(pixels, np.stack([x, y], axis=1), atol=1e-5)
    assert np.abs(coordinates[known]).max() < 2000  # less the published origin of comballaz


def test_the_origin_is_a_choice_and_nothing_is_lost_to_it(folder):
    ecef = open_source(folder, origin="ecef").images[0]
    np.testing.assert_array_equal(ecef.map_from_camera.translation, ecef_from_geodetic(*PLACE, HEIGHT))
    local = open_source(folder, origin="7.0,46.0,100").images[0]
    moved = ecef.map_from_camera.translation - local.map_from_camera.translation
    np.testing.assert_allclose(moved, ecef_from_geodetic(7.0, 46.0, 100.0), atol=1e-8)
    np.testing.assert_allclose(
        ecef.load_coordinates() - local.load_coordinates(),
        np.broadcast_to(moved, (TALL, WIDTH, 3)) * np.where(np.isnan(local.load_coordinates()), np.nan, 1),
        atol=1e-8,
    )
    for wrong in ("mars", "1,2", "a,b,c"):
        with pytest.raises(DatasetError, match="origin"):
            open_source(folder, origin=wrong)


def test_photographs_are_real_and_translated_pictures_simulated(folder):
    for k in range(3):
        picture = cv2.imread(str(folder / f"{k:05d}_img.png"))
        cv2.imwrite(str(folder / f"{k:05d}_fake_B.png"), picture + 100)
    translated = open_source(folder, images="_fake_B.png").images
    assert (
        len(translated) == 3 and translated[0].domain == "simulated" and translated[0].load()[0, 0, 0] == 100
    )
    for k in range(3):
        picture = cv2.imread(str(folder / f"{k:05d}_img.png"))
        cv2.imwrite(str(folder / f"DJI_{k}.JPG"), picture)
    assert open_source(folder, images=".JPG").images[0].domain == "real"


def test_files_that_do_not_belong_together(folder):
    (folder / "00001_pc.npy").unlink()
    with pytest.raises(DatasetError, match=r"3 images .* 3 poses and 2 files"):
        open_source(folder)
    for k in (0, 2):
        (folder / f"{k:05d}_pc.npy").unlink()
    assert open_source(folder).images[0].load_coordinates is None
    np.save(folder / "LHS_poses.npy", np.full((3, 6), np.nan))
    with pytest.raises(DatasetError, match="not finite"):
        open_source(folder)
    np.save(folder / "LHS_poses.npy", np.zeros((3, 5)))
    with pytest.raises(DatasetError, match="expected an array of"):
        open_source(folder)
