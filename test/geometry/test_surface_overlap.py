"""Normalised surface overlap of depth images."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.surface_overlap import surface_from_depth, surface_overlap

CAMERA = Camera("pinhole", 20.0, 20.0, 15.5, 11.5, 32, 24)
WALL = np.full((24, 32), 2.0)  # 3.2 m wide, 2.4 m high
HERE = Rigid.identity()


def pose(turn=(0, 0, 0), at=(0, 0, 0)):
    return Rigid.from_rotation_vector(turn, at)


def test_a_view_overlaps_itself():
    surface = surface_from_depth(WALL, CAMERA, HERE)
    assert surface_overlap(surface, surface) == pytest.approx(1)
    np.testing.assert_allclose(surface.normals, np.broadcast_to([0, 0, 1], surface.normals.shape), atol=1e-9)


def test_a_view_moved_by_half_its_width_overlaps_by_half():
    here = surface_from_depth(WALL, CAMERA, HERE)
    there = surface_from_depth(WALL, CAMERA, pose(at=(1.6, 0, 0)))
    assert surface_overlap(here, there) == pytest.approx(0.5, abs=0.05)
    assert surface_overlap(here, surface_from_depth(WALL, CAMERA, pose(at=(9, 0, 0)))) == 0


def test_the_other_side_of_a_wall_is_no_overlap():
    front = surface_from_depth(WALL, CAMERA, HERE)
    back = surface_from_depth(WALL, CAMERA, pose((0, np.pi, 0), (0, 0, 4)))
    np.testing.assert_allclose(np.sort(front.points[:, 0]), np.sort(back.points[:, 0]), atol=1e-9)
    assert surface_overlap(front, back) == pytest.approx(0, abs=1e-9)


def test_it_does_not_depend_on_the_axes_of_the_map_but_compat_does():
    depth = WALL + 0.3 * np.sin(np.arange(32) / 5)
    moved, turn = pose((0, 0.2, 0), (0.3, 0, 0)), pose((0.4, -1.1, 0.7), (5, 6, 7))
    surfaces = [
        [surface_from_depth(depth, CAMERA, frame @ p, compat=compat) for p in (HERE, moved)]
        for compat in (False, True)
        for frame in (HERE, turn)
    ]
    plain, turned, compat, _ = (surface_overlap(first, second, radius=0.4) for first, second in surfaces)
    assert 0.3 < plain < 1 and turned == pytest.approx(plain)
    assert compat != pytest.approx(plain, abs=1e-3)


def test_a_camera_that_turns_sees_the_same_surface_the_same_way():
    """compat compares normals in two cameras' axes: a wall seen after a turn seems to face elsewhere."""
    roll = pose((0, 0.6, 0))
    y, x = np.mgrid[:24, :32]
    rays = np.concatenate([CAMERA.rays(np.stack([x.ravel(), y.ravel()], 1)), np.ones((768, 1))], axis=1)
    depth = (2.0 / (rays @ roll.rotation.T)[:, 2]).reshape(24, 32)  # the wall z = 2 from the turned camera
    for compat, cosine in ((False, 1.0), (True, np.cos(0.6))):
        here = surface_from_depth(WALL, CAMERA, HERE, compat=compat)
        there = surface_from_depth(depth, CAMERA, roll, compat=compat)
        assert surface_overlap(here, there, 0.3) / surface_overlap(here, here) == pytest.approx(
            (cosine + 1) / 2 * np.mean(here.points[:, 0] > there.points[:, 0].min() - 0.2), abs=0.06
        )


def test_unknown_depth_and_its_neighbours_are_left_out():
    depth = WALL.copy()
    depth[10, 10], depth[3, 3] = 0, np.nan
    surface = surface_from_depth(depth, CAMERA, HERE)
    assert len(surface.points) == 22 * 30 - 9 - 9
    assert np.isfinite(surface.points).all() and np.isfinite(surface.normals).all()


def test_pixels_that_see_nothing_through_the_lens_are_left_out():
    fisheye = Camera("plumb_bob", 8.0, 8.0, 15.5, 11.5, 32, 24, (-0.3, 0.0, 0.0, 0.0))
    lost = np.isnan(fisheye.rays([[0, 0]])).any()
    surface = surface_from_depth(WALL, fisheye, HERE)
    assert lost and 0 < len(surface.points) < 22 * 30
    assert np.isfinite(surface.points).all()


def test_points_are_drawn_by_a_seed():
    a, b, c = (surface_from_depth(WALL, CAMERA, HERE, limit=50, seed=s).points for s in (1, 1, 2))
    assert len(a) == 50 and np.array_equal(a, b) and not np.array_equal(a, c)


def test_nothing_to_see_is_said():
    nothing, wall = (surface_from_depth(d, CAMERA, HERE) for d in (np.zeros((24, 32)), WALL))
    assert np.isnan(surface_overlap(nothing, wall)) and surface_overlap(wall, nothing) == 0
    with pytest.raises(ConfigurationError, match="expected a depth image of 24 x 32"):
        surface_from_depth(WALL.T, CAMERA, HERE)
