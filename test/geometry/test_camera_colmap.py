"""COLMAP's cameras against COLMAP's own projection."""

from __future__ import annotations

import numpy as np
import pycolmap
import pytest

from relpose_ros.errors import CameraError
from relpose_ros.geometry.camera_colmap import MODEL_NAMES, PARAMETER_COUNTS, camera_from_colmap

MODELS = {
    "SIMPLE_PINHOLE": [400.0, 322.0, 239.0],
    "PINHOLE": [400.0, 410.0, 322.0, 239.0],
    "SIMPLE_RADIAL": [400.0, 322.0, 239.0, 0.05],
    "RADIAL": [400.0, 322.0, 239.0, 0.05, -0.02],
    "OPENCV": [400.0, 410.0, 322.0, 239.0, 0.05, -0.02, 0.003, -0.002],
    "FULL_OPENCV": [400.0, 410.0, 322.0, 239.0, 0.05, -0.02, 0.003, -0.002, 0.01, 0.02, 0.003, 0.001],
    "OPENCV_FISHEYE": [400.0, 410.0, 322.0, 239.0, 0.05, -0.02, 0.003, -0.002],
    "SIMPLE_RADIAL_FISHEYE": [400.0, 322.0, 239.0, 0.05],
    "RADIAL_FISHEYE": [400.0, 322.0, 239.0, 0.05, -0.02],
}


@pytest.mark.parametrize("model", MODELS)
def test_projects_as_colmap_does_half_a_pixel_aside(model):
    theirs = pycolmap.Camera(model=model, width=640, height=480, params=MODELS[model])
    ours = camera_from_colmap(model, 640, 480, MODELS[model])
    points = np.random.default_rng(0).uniform([-0.6, -0.45, 1], [0.6, 0.45, 1], (50, 3)) * 3.0
    assert ours.project(points) == pytest.approx(np.asarray(theirs.img_from_cam(points)) - 0.5, abs=1e-9)
    assert ours.rays(ours.project(points)) == pytest.approx(points[:, :2] / points[:, 2:], abs=1e-7)


@pytest.mark.parametrize("model", MODELS)
def test_numbers_and_counts_are_colmaps(model):
    number = int(getattr(pycolmap.CameraModelId, model).value)
    assert MODEL_NAMES[number] == model
    assert PARAMETER_COUNTS[model] == len(MODELS[model])


def test_no_distortion_is_a_pinhole():
    assert camera_from_colmap("SIMPLE_RADIAL", 640, 480, [400, 320, 240, 0]).model == "pinhole"


@pytest.mark.parametrize(
    ("model", "parameters", "message"),
    [
        ("FOV", [1.0] * 5, "'FOV' is not supported"),
        ("OPENCV", [1.0] * 4, "takes 8 parameters, got 4"),
        ("PINHOLE", [0.0, 1, 2, 3], "must be positive"),
        ("PINHOLE", [float("nan"), 1, 2, 3], "not finite"),
    ],
)
def test_refused(model, parameters, message):
    with pytest.raises(CameraError, match=message):
        camera_from_colmap(model, 640, 480, parameters)
