"""Worlds to learn from: everything follows from their number, and they differ in everything."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_training.data.simulated_worlds import STILL, SimulatedWorld, Wandering


def poses(world):
    return np.stack([image.map_from_camera.matrix for image in world.images()])


def test_a_number_is_a_world():
    assert np.array_equal(poses(SimulatedWorld(3, views=8)), poses(SimulatedWorld(3, views=8)))
    assert SimulatedWorld(3).images()[0].camera == SimulatedWorld(3).images()[0].camera
    assert not np.array_equal(poses(SimulatedWorld(3, "office")), poses(SimulatedWorld(4, "office")))
    assert pickle.loads(pickle.dumps(SimulatedWorld(3))) == SimulatedWorld(3)  # noqa: S301


def test_worlds_are_of_every_sort():
    worlds = [SimulatedWorld(seed, views=8) for seed in range(40)]
    images = [world.images() for world in worlds]
    cameras = [made[0].camera for made in images]
    assert {world.name.split(":")[1] for world in worlds} == {"office", "corridor"}
    assert {camera.model for camera in cameras} == {"pinhole", "plumb_bob"}
    assert len({(camera.width, camera.height) for camera in cameras}) >= 4
    assert len({camera.fx for camera in cameras}) == 40
    looks = [{image.name[0] for image in made} for made in images]
    assert looks.count({"a", "b"}) > 8 and {"a"} in looks and {"b"} in looks
    assert all(len(made) == 8 for made in images)


@pytest.mark.parametrize(("night", "looks"), [(0.0, 1), (1.0, 2)])
def test_night_is_the_same_place_from_elsewhere(night, looks):
    images = SimulatedWorld(5, "office", 8, night).images()
    by_look = {name: [i.map_from_camera for i in images if i.name[0] == name] for name in "ab"}
    assert sum(map(bool, by_look.values())) == looks
    if looks == 2:
        distances = [float(a.distance_to(b)[0]) for a, b in zip(*by_look.values(), strict=True)]
        assert 0 < max(distances) < 1.0


def test_the_hand_is_unsteady_but_does_not_jump():
    wandering = Wandering((0.1, 0.5, 0.2, 0.2), (4.0, 5.0, 6.0, 7.0), (0.0, 1.0, 2.0, 3.0))
    steps = [wandering.at(0.1 * k) for k in range(100)]
    moved = np.array([a.distance_to(b) for a, b in itertools.pairwise(steps)])
    assert moved[:, 0].max() < 0.02 and moved[:, 1].max() < 0.1 and moved[:, 1].min() >= 0
    assert steps[0].distance_to(steps[20])[1] > 0.1
    assert float(STILL.at(3.0).angle) == 0


def test_images_and_depths_fit_their_camera():
    image = SimulatedWorld(1, "corridor", 4, night=0.0).images()[1]
    assert image.load_depth is not None
    size = (image.camera.height, image.camera.width)
    assert image.load().shape == (*size, 3) and image.load_depth().shape == size


@pytest.mark.parametrize("wrong", [{"kind": "moon"}, {"seed": -1}, {"views": 3}])
def test_worlds_that_cannot_be(wrong):
    with pytest.raises(ConfigurationError, match="any, office, rooms, corridor"):
        SimulatedWorld(**{"seed": 0, **wrong})
