"""Noise, blur, exposure: each as large as said, and the same for the same seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relpose_ros.datasets.simulate.options import SensorOptions, SimulationOptions
from relpose_ros.datasets.simulate.sensing import (
    READ_NOISE,
    SHOT_NOISE,
    auto_exposed,
    blurred,
    expose,
    image_motion,
)
from relpose_ros.datasets.simulate.simulation import Simulation
from relpose_ros.geometry.rigid import Rigid

IDEAL = SensorOptions.ideal()


def test_the_ideal_sensor_delivers_the_ideal_picture(bare: Simulation):
    shot = bare.shots[5]
    np.testing.assert_array_equal(bare.image(shot), bare.render(shot).image)


@pytest.mark.parametrize("amount", [1.0, 3.0])
def test_noise_is_as_strong_as_said(bare: Simulation, amount: float):
    rendering = bare.render(bare.shots[5])
    options = replace(IDEAL, noise=amount)
    noisy = expose(rendering, lambda dt: Rigid.identity(), options, np.random.default_rng(1)).astype(float)
    mid = (rendering.radiance > 60) & (rendering.radiance < 190)
    error = (noisy - rendering.image)[mid]
    expected = amount * np.sqrt(READ_NOISE**2 + SHOT_NOISE * rendering.radiance[mid].mean())
    assert abs(error.mean()) < 0.1
    assert error.std() == pytest.approx(expected, rel=0.1)


def test_image_motion_is_that_of_the_points(bare: Simulation):
    rendering = bare.render(bare.shots[8])
    camera, now = rendering.camera, rendering.map_from_camera
    end = now @ Rigid.from_rotation_vector([0.001, 0.004, -0.002], [0.003, -0.001, 0.004])
    flow = image_motion(rendering, now, end)
    for y, x in ((40, 60), (120, 160), (200, 280)):
        ray = np.append(camera.rays([[x, y]])[0], 1.0)
        point = now.apply((rendering.depth[y, x] * ray)[None])
        moved = camera.project(end.inverse().apply(point))[0] - [x, y]
        np.testing.assert_allclose(flow[y, x], moved, atol=0.05)


def test_blur_smears_along_the_motion_and_moves_nothing(bare: Simulation, offset):
    rendering = bare.render(bare.shots[8])
    now = rendering.map_from_camera
    start, end = (now @ Rigid.from_rotation_vector([0.0, s * 0.012, 0.0], np.zeros(3)) for s in (-1, 1))
    picture = blurred(rendering.image, rendering, start, end).astype(float)
    grey, sharp = picture.mean(axis=2), rendering.image.mean(axis=2)
    window = (slice(60, 180), slice(80, 240))
    across, down = (np.abs(np.diff(grey, axis=a))[window].mean() for a in (1, 0))
    before = [np.abs(np.diff(sharp, axis=a))[window].mean() for a in (1, 0)]
    assert across / before[0] < 0.75 * down / before[1]
    assert np.linalg.norm(offset(sharp[window], grey[window])) < 0.05


def test_a_still_camera_does_not_blur(bare: Simulation):
    rendering = bare.render(bare.shots[8])
    here = rendering.map_from_camera
    assert blurred(rendering.image, rendering, here, here) is not None
    np.testing.assert_array_equal(blurred(rendering.image, rendering, here, here), rendering.image)


def test_exposure_brings_pictures_towards_grey():
    dark, bright = (np.full((32, 32, 3), level, np.float32) for level in (40, 220))
    assert 40 < auto_exposed(dark, 0.7).mean() < 118
    assert 118 < auto_exposed(bright, 0.7).mean() < 220
    assert auto_exposed(dark, 0.0).mean() == 40


def test_corners_are_darker(bare: Simulation):
    rendering = bare.render(bare.shots[8])
    still = expose(
        rendering, lambda dt: Rigid.identity(), replace(IDEAL, vignetting=0.4), np.random.default_rng(0)
    )
    ratio = still.astype(float) / np.maximum(rendering.image, 1)
    bright = rendering.image.min(axis=2) > 80
    assert ratio[115:125, 155:165][bright[115:125, 155:165]].mean() == pytest.approx(1.0, abs=0.02)
    corner = np.zeros_like(bright)
    corner[:12, :12] = corner[-12:, -12:] = corner[:12, -12:] = corner[-12:, :12] = True
    assert ratio[corner & bright].mean() == pytest.approx(0.6, abs=0.06)


def test_jpeg_changes_little_but_something(bare: Simulation):
    rendering = bare.render(bare.shots[8])
    options = replace(IDEAL, jpeg_quality=80)
    sent = expose(rendering, lambda dt: Rigid.identity(), options, np.random.default_rng(0))
    assert 0.1 < np.abs(sent.astype(float) - rendering.image).mean() < 8


def test_the_light_changes_along_the_drive_but_not_if_told_to_stay(drive: Simulation):
    weather = drive.weather("map")
    channels = drive.world.channels
    early, late = weather.light(channels, 0.0), weather.light(channels, 20.0)
    assert np.abs(late / np.maximum(early, 1e-6) - 1).max() > 0.1
    steady = Simulation(SimulationOptions(width=320, height=240, sensor=SensorOptions(light=0.0))).weather(
        "map"
    )
    np.testing.assert_array_equal(steady.light(channels, 0.0), steady.light(channels, 20.0))


def test_same_seed_same_pixels_in_any_order(drive: Simulation):
    again = Simulation(drive.options)
    first = {k: drive.image(drive.shots[k]) for k in (3, 150)}
    for k in (150, 3):
        np.testing.assert_array_equal(again.image(again.shots[k]), first[k])


def test_noise_differs_from_frame_to_frame(drive: Simulation):
    rendering = drive.render(drive.shots[3])
    one, other = (drive.expose(s, rendering).astype(int) for s in drive.shots[3:5])
    assert np.abs(one - other).mean() > 1
