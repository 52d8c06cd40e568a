"""The renderer against a plain ray caster, and against the geometry it claims."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.simulate.renderer import Renderer, Rendering
from relpose_ros.datasets.simulate.simulation import Simulation
from relpose_ros.datasets.simulate.surfaces import Label
from relpose_ros.datasets.simulate.world import World
from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

KINDS = ("pinhole", "plumb_bob", "equidistant")

Cameras = dict[str, Camera]
Offset = Callable[[np.ndarray, np.ndarray], np.ndarray]


def cast(world: World, camera: Camera, pose: Rigid, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth along the optical axis and surface of each pixel (N, 2): every ray against every rectangle."""
    rays = np.concatenate([camera.rays(pixels), np.ones((len(pixels), 1))], axis=1) @ pose.rotation.T
    slope = rays @ world.normals.T
    with np.errstate(divide="ignore"):
        depth = np.einsum("ij,ij->i", world.normals, world.corners - pose.translation) / slope
    inside = slope < 0
    hits = pose.translation + depth[..., None] * rays[:, None] - world.corners
    for edge in (world.alongs, world.downs):
        share = np.einsum("nsi,si->ns", hits, edge) / np.square(edge).sum(axis=1)
        inside &= (share >= 0) & (share <= 1)
    depth = np.where(inside & (depth > 0), depth, np.inf)
    return depth.min(axis=1), depth.argmin(axis=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time", [4.0, 31.0])
def test_depth_and_surface_equal_a_plain_ray_caster(
    office: World, bare: Simulation, cameras: Cameras, kind: str, time: float
):
    camera, pose = cameras[kind], bare.map_from_camera("map", time)
    rendering = Renderer(office).render(camera, pose)
    rng = np.random.default_rng(7)
    x, y = rng.integers(0, camera.width, 400), rng.integers(0, camera.height, 400)
    seen = np.isfinite(camera.rays(np.stack([x, y], axis=1))).all(axis=1)
    x, y = x[seen], y[seen]
    depth, surface = cast(office, camera, pose, np.stack([x, y], axis=1).astype(float))
    agrees = rendering.surface[y, x] == surface
    # Rays through an edge within rounding may go either way.
    assert np.mean(~agrees) < 0.005
    np.testing.assert_allclose(rendering.depth[y, x][agrees], depth[agrees], rtol=2e-5)
    assert len(np.unique(surface)) > 10


def test_nothing_is_seen_outside_and_holes_are_marked(office: World, cameras: Cameras):
    away = Rigid.from_rotation_vector([0.0, 0.0, 0.0], [4.0, 3.0, 50.0])  # looks up from above the roof
    rendering = Renderer(office).render(cameras["pinhole"], away)
    assert np.all(rendering.surface == -1)
    assert np.all(rendering.depth == 0)
    assert np.all(rendering.image == 0)
    assert np.all(rendering.labels == Label.NOTHING)
    assert np.all(rendering.normals == 0)


def test_inside_the_rooms_there_are_no_holes(office: World, bare: Simulation, cameras: Cameras):
    for split, time in (("map", 3.0), ("map", 40.0), ("query", 20.0), ("query", 50.0)):
        rendering = Renderer(office).render(cameras["pinhole"], bare.map_from_camera(split, time))
        assert rendering.depth.min() > 0.1
        assert rendering.surface.min() >= 0


def view_of(rendering: Rendering, other: Rendering) -> tuple[np.ndarray, np.ndarray]:
    """`other`'s picture as `rendering` would see it, by depth and poses, and where that is known."""
    camera = rendering.camera
    y, x = np.indices(rendering.depth.shape)
    rays = camera.rays(np.stack([x.ravel(), y.ravel()], axis=1))
    points = np.concatenate([rays, np.ones((len(rays), 1))], axis=1) * rendering.depth.reshape(-1, 1)
    there = (other.map_from_camera.inverse() @ rendering.map_from_camera).apply(np.nan_to_num(points))
    pixels = other.camera.project(there).astype(np.float32).reshape(*rendering.depth.shape, 2)
    pixels = np.nan_to_num(pixels, nan=-1e3)
    maps = np.ascontiguousarray(pixels[..., 0]), np.ascontiguousarray(pixels[..., 1])
    warped = cv2.remap(other.image, *maps, cv2.INTER_CUBIC)
    surface = cv2.remap(other.surface.astype(np.float32), *maps, cv2.INTER_NEAREST, borderValue=-9)
    return warped, surface == rendering.surface


def displacements(first: Rendering, second: Rendering, offset: Offset, side: int = 41) -> np.ndarray:
    """How far (N, 2) patches of `second`, seen through the geometry, lie from those of `first`."""
    warped, same = view_of(first, second)
    found = []
    for y in range(0, first.depth.shape[0] - side, side // 2):
        for x in range(0, first.depth.shape[1] - side, side // 2):
            window = slice(y, y + side), slice(x, x + side)
            ours, theirs = (cv2.cvtColor(p[window], cv2.COLOR_BGR2GRAY) for p in (first.image, warped))
            if same[window].all() and np.ptp(first.surface[window]) == 0 and ours.std() > 12:
                found.append(offset(ours, theirs))
    return np.array(found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_hits_the_same_texel_in_two_views(
    office: World, bare: Simulation, cameras: Cameras, offset: Offset, kind: str
):
    found = []
    for time in (2.0, 12.0, 30.0, 47.0, 60.0):
        first, second = (
            Renderer(office).render(cameras[kind], bare.map_from_camera("map", time + dt))
            for dt in (0.0, 0.4)
        )
        found += list(displacements(first, second, offset))
    errors = np.linalg.norm(found, axis=1)
    assert len(errors) > 40
    assert np.median(errors) < 0.03
    assert np.linalg.norm(np.median(found, axis=0)) < 0.01  # a shift of half a pixel would show here


def test_the_distorted_view_is_the_pinhole_view_distorted(
    office: World, bare: Simulation, cameras: Cameras, offset: Offset
):
    pose = bare.map_from_camera("map", 30.0)
    distorted, ideal = (Renderer(office).render(cameras[k], pose) for k in ("plumb_bob", "pinhole"))
    errors = np.linalg.norm(displacements(ideal, distorted, offset), axis=1)
    assert len(errors) > 10
    assert np.median(errors) < 0.05


def test_edges_are_smooth(office: World, bare: Simulation, cameras: Cameras):
    """A pixel that two surfaces share is a mixture, as the mean of a finer picture is."""
    camera, pose = cameras["pinhole"], bare.map_from_camera("map", 30.0)
    fine = Renderer(office).render(camera.resized(4 * camera.width, 4 * camera.height), pose)
    mean = cv2.resize(fine.radiance, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    picture = Renderer(office).render(camera, pose)
    edge = np.zeros(picture.surface.shape, bool)
    edge[:, 1:] |= picture.surface[:, 1:] != picture.surface[:, :-1]
    nearest = fine.radiance[2::4, 2::4]
    ours, jagged = (np.abs(p - mean)[edge].mean() for p in (picture.radiance, nearest))
    assert ours < 0.6 * jagged


def test_a_finer_picture_shows_the_same_at_the_same_place(
    office: World, bare: Simulation, cameras: Cameras, offset: Offset
):
    """Colours a fraction of a pixel off would be off by another fraction in a picture of another size."""
    camera, pose = cameras["pinhole"], bare.map_from_camera("map", 30.0)
    picture = Renderer(office).render(camera, pose).radiance.mean(axis=2)
    fine = Renderer(office).render(camera.resized(3 * camera.width, 3 * camera.height), pose)
    mean = cv2.resize(fine.radiance.mean(axis=2), (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    assert np.linalg.norm(offset(picture, mean)) < 0.05


def test_labels_normals_and_instances_belong_to_the_surfaces(
    office: World, bare: Simulation, cameras: Cameras
):
    rendering = Renderer(office).render(cameras["pinhole"], bare.map_from_camera("map", 30.0))
    y, x = 200, 100
    surface = office.surfaces[rendering.surface[y, x]]
    assert rendering.labels[y, x] == surface.label
    assert rendering.instances[y, x] == surface.instance
    turned = rendering.map_from_camera.rotation @ rendering.normals[y, x]
    np.testing.assert_allclose(turned, surface.normal, atol=1e-6)
    assert set(np.unique(rendering.labels)) > {Label.FLOOR, Label.WALL, Label.CEILING}


def test_depth_alone_is_the_depth_of_the_picture(office: World, bare: Simulation, cameras: Cameras):
    for kind in KINDS:
        pose = bare.map_from_camera("query", 11.0)
        depth = Renderer(office).depth(cameras[kind], pose)
        np.testing.assert_array_equal(depth, Renderer(office).render(cameras[kind], pose).depth)


def test_two_appearances_share_their_geometry(
    office: World, office_b: World, bare: Simulation, cameras: Cameras
):
    pose = bare.map_from_camera("map", 21.0)
    first, second = (Renderer(world).render(cameras["plumb_bob"], pose) for world in (office, office_b))
    np.testing.assert_array_equal(first.depth, second.depth)
    np.testing.assert_array_equal(first.surface, second.surface)
    assert np.abs(first.radiance - second.radiance).mean() > 25


def test_too_wide_a_camera_is_refused(office: World):
    wide = Camera("equidistant", 400.0, 400.0, 640.0, 480.0, 1280, 960, (0.0,) * 4)
    with pytest.raises(ConfigurationError, match="too wide"):
        Renderer(office).render(wide, Rigid.identity())
