"""Worlds: made anew from a seed, lit with shadows, rich enough for features, alike where they should be."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from relpose_ros.datasets.simulate.atlas import build_atlas
from relpose_ros.datasets.simulate.corridor import BAY
from relpose_ros.datasets.simulate.light_maps import AMBIENT, EMISSION, FIRST_LAMP, Light, bake
from relpose_ros.datasets.simulate.office import office as office_plan
from relpose_ros.datasets.simulate.options import SensorOptions, SimulationOptions
from relpose_ros.datasets.simulate.renderer import Renderer
from relpose_ros.datasets.simulate.rooms import rooms as rooms_plan
from relpose_ros.datasets.simulate.simulation import Simulation
from relpose_ros.datasets.simulate.surfaces import Label, Texture, box, level, upright
from relpose_ros.datasets.simulate.world import Plan, World, build_world
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

PLAIN = Texture("plaster", "test")


def test_boxes_face_outwards_and_are_as_large_as_said():
    faces = box((1.0, 2.0), (0.4, 0.6, 0.8), 0.7, {"side": PLAIN}, Label.CRATE, bottom=0.5)
    centre = np.array([1.0, 2.0, 0.9])
    assert len(faces) == 6
    for face in faces:
        middle = face.corner + 0.5 * face.along + 0.5 * face.down
        assert (middle - centre) @ face.normal > 0.19
        assert abs(face.along @ face.down) < 1e-12
    sizes = sorted(tuple(sorted(f.size)) for f in faces)
    np.testing.assert_allclose(sizes, [(0.4, 0.6)] * 2 + [(0.4, 0.8)] * 2 + [(0.6, 0.8)] * 2)


def test_walls_are_read_from_left_to_right():
    wall = upright((0.0, 5.0), (4.0, 5.0), 2.7, 0.0, PLAIN, Label.WALL)  # to the north, seen from the south
    np.testing.assert_allclose(wall.normal, [0, -1, 0])
    floor = level((0.0, 0.0), (2.0, 1.0), 0.0, PLAIN, Label.FLOOR)
    roof = level((0.0, 0.0), (2.0, 1.0), 2.7, PLAIN, Label.CEILING, faces_up=False)
    np.testing.assert_allclose([floor.normal, roof.normal], [[0, 0, 1], [0, 0, -1]])


def test_a_rebuilt_world_is_the_same_and_another_seed_is_not():
    first = build_world.__wrapped__("corridor", 3, "a")
    again = build_world.__wrapped__("corridor", 3, "a")
    np.testing.assert_array_equal(first.atlas.pixels, again.atlas.pixels)
    np.testing.assert_array_equal(first.light.maps, again.light.maps)
    np.testing.assert_array_equal(first.corners, again.corners)
    one, other = office_plan(3), office_plan(4)
    corners = [np.sort(np.stack([s.corner for s in p.surfaces])[:100], axis=0) for p in (one, other)]
    assert np.abs(corners[0] - corners[1]).max() > 0.01


def test_things_cast_shadows():
    floor = level((0.0, 0.0), (4.0, 4.0), 0.0, PLAIN, Label.FLOOR)
    lid = level((1.5, 1.5), (2.5, 2.5), 1.0, PLAIN, Label.TABLE)
    lamp = Light(np.array([2.0, 2.0, 2.5]), FIRST_LAMP)
    light = bake([floor, lid], [lamp])
    x, y, w, h = (int(v) for v in light.place[0])
    falling = light.maps[y : y + h + 1, x : x + w + 1, FIRST_LAMP]
    middle, corner = falling[h // 2, w // 2], falling[1, 1]
    assert middle == 0
    assert corner > 0.02
    open_floor = bake([floor], [lamp]).maps[y : y + h + 1, x : x + w + 1, FIRST_LAMP]
    assert open_floor[h // 2, w // 2] == open_floor.max()


def test_lamps_shine_and_nothing_shines_on_them():
    lamp = level((0.0, 0.0), (1.0, 1.0), 2.0, Texture("lamp", "l", emits=True), Label.LAMP, faces_up=False)
    light = bake([lamp], [])
    x, y, _, _ = (int(v) for v in light.place[0])
    assert light.maps[y, x, EMISSION] == 1
    assert light.maps[y, x, AMBIENT] == 0


def test_textures_keep_their_place_in_the_atlas():
    rng = np.random.default_rng(0)
    textures = [rng.integers(0, 255, (h, w, 3), dtype=np.uint8) for h, w in ((40, 70), (9, 300), (120, 5))]
    atlas = build_atlas(textures)
    for t, texture in enumerate(textures):
        x, y, w, h = (round(float(v) + 0.25) for v in atlas.place[t, 0])  # x and y lie half a pixel before
        np.testing.assert_array_equal(atlas.pixels[y : y + h, x : x + w], texture)
        deep = atlas.place[t, int(atlas.levels[t]) - 1]
        assert max(deep[2:]) <= 2


def keypoints(simulation: Simulation, every: int) -> np.ndarray:
    sift = cv2.SIFT_create(5000)
    shots = [s for s in simulation.shots if s.split == "map"][::every]
    return np.array([len(sift.detect(simulation.image(s))) for s in shots])


def test_the_office_is_rich_enough_for_sift(drive: Simulation):
    small = keypoints(drive, 8)
    assert np.median(small) > 300
    large = keypoints(Simulation(SimulationOptions(width=640, height=480)), 20)
    assert np.median(large) > 800


def test_the_store_has_little_to_hold_on_to(drive: Simulation):
    last = [s for s in drive.shots if s.split == "query"][-4:]
    sift = cv2.SIFT_create(5000)
    assert max(len(sift.detect(drive.image(s))) for s in last) < 60


def test_bays_of_the_corridor_look_alike(cameras: dict[str, Camera]):
    options = SimulationOptions(width=320, height=240, world="corridor", sensor=SensorOptions.ideal())
    world = Simulation(options).world
    facing = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # looks to the north wall
    views = [
        Renderer(world).render(cameras["pinhole"], Rigid(facing, np.array([x, 0.6, 1.2])))
        for x in (4.5 * BAY, 5.5 * BAY)
    ]
    wall = np.isin(views[0].labels, (Label.WALL, Label.DOOR, Label.POSTER))
    assert wall.mean() > 0.5
    assert np.abs(views[0].radiance - views[1].radiance)[wall].mean() < 0.5


def test_both_appearances_have_the_same_surfaces(office: World, office_b: World):
    np.testing.assert_array_equal(office_b.corners, office.corners)
    np.testing.assert_array_equal(office_b.labels, office.labels)
    assert office_b.atlas.pixels.shape == office.atlas.pixels.shape


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("plan", [office_plan, rooms_plan])
def test_things_do_not_stand_in_each_other(seed: int, plan: Callable[[int], Plan]):
    obstacles = plan(seed).obstacles
    assert len(obstacles) > 8
    for k, one in enumerate(obstacles):
        centre = one.mean(axis=0)
        for other in obstacles[k + 1 :]:
            assert not _inside(centre, other)
            assert not _inside(other.mean(axis=0), one)


def _inside(point: np.ndarray, corners: np.ndarray) -> bool:
    edges = np.roll(corners, -1, axis=0) - corners
    to = point - corners
    return bool(np.all(edges[:, 0] * to[:, 1] - edges[:, 1] * to[:, 0] > 0))


@pytest.mark.parametrize("seed", [34, 42, 1006])
def test_things_on_a_narrow_desk_are_narrow(seed: int):
    """In these offices a desk is so narrow that 0.8 of its share is less than the least width of a thing."""
    assert len(office_plan(seed).surfaces) > 100
