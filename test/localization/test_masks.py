"""What a mask ignores is never used: features on it, and cells of scene coordinates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from analytic_room import CAMERA, RoomPredictor, viewpoint  # type: ignore[import-not-found]

from relpose_ros.errors import ImageError
from relpose_ros.features.base import Features
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.scene_coordinates import SceneLocalizer
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Frame, State

BODY = np.full((240, 320), 255, np.uint8)
BODY[180:] = 0
"""The robot's own body in the lower quarter of the image."""


def textured(seed: int) -> np.ndarray:
    """An image full of features."""
    noise = np.random.default_rng(seed).integers(0, 255, (30, 40)).astype(np.uint8)
    return np.kron(noise, np.ones((8, 8), np.uint8))


@pytest.fixture(scope="module")
def localizer(hall: Map) -> Localizer:
    return Localizer(hall)


def test_no_feature_lies_where_the_mask_ignores_it(localizer: Localizer) -> None:
    frame = Frame(textured(0), CAMERA)
    plain, masked = (localizer.extract(f) for f in (frame, replace(frame, mask=BODY)))
    below = plain.keypoints[:, 1] >= 179.5
    assert below.sum() > 20 and (~below).sum() > 20, "or the test says nothing"
    np.testing.assert_array_equal(masked.keypoints, plain.keypoints[~below])
    np.testing.assert_array_equal(masked.descriptors, plain.descriptors[~below])
    np.testing.assert_array_equal(masked.scores, plain.scores[~below])


@pytest.mark.parametrize("value", [1, 127, 255])
def test_all_but_zero_is_used(localizer: Localizer, value: int) -> None:
    frame = Frame(textured(0), CAMERA)
    mask = np.full((240, 320), value, np.uint8)
    assert len(localizer.extract(replace(frame, mask=mask))) == len(localizer.extract(frame))


def test_where_all_is_masked_the_answer_says_that_nothing_is_left(localizer: Localizer) -> None:
    answer = localizer.localize(Frame(textured(0), CAMERA, mask=np.zeros((240, 320), np.uint8)))
    assert answer.state is State.UNLOCALIZED and "only 0 features" in answer.reason
    assert "masked" in answer.reason


def test_pixels_at_the_border_of_the_image_and_of_the_mask() -> None:
    frame = Frame(np.zeros((240, 320), np.uint8), CAMERA, mask=BODY)
    pixels = np.array(
        [[0, 179.49], [0, 179.51], [-0.5, 0], [319.49, 0], [319.5, 0], [0, 239.4], [np.nan, 3], [5, -0.6]]
    )
    expected = [True, False, True, True, False, False, False, False]
    assert frame.shows(pixels).tolist() == expected
    assert frame.shows(np.float32(np.nextafter(np.float32(319.5), 0)) * np.ones((1, 2)))[0] in (True, False)
    assert replace(frame, mask=None).shows(pixels).tolist() == [
        *expected[:1],
        True,
        *expected[2:5],
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "mask", [np.zeros((240, 319), np.uint8), np.ones((240, 320), bool), np.ones((240, 320, 3), np.uint8)]
)
def test_a_mask_that_does_not_fit_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"expected a mask of uint8 \(240, 320\)"):
        Frame(np.zeros((240, 320), np.uint8), CAMERA, mask=mask)


def test_what_moves_with_the_robot_is_taken_out(hall: Map, point_world, monkeypatch) -> None:
    """Landmarks of another place on the robot's body: they are a rival, unless they are masked."""
    pose, elsewhere = point_world.pose(0.3, 0.5, 1.6), point_world.pose(2.9, 0.3, -1.7)
    here, there = (point_world.features(p, seed=5, clutter=0) for p in (pose, elsewhere))
    above, below = here.keypoints[:, 1] < 120, there.keypoints[:, 1] >= 120
    both = Features(
        *(
            np.concatenate([getattr(here, n)[above], getattr(there, n)[below]])
            for n in ("keypoints", "scales", "descriptors")
        )
    )
    localizer = Localizer(hall)
    monkeypatch.setattr(localizer._extractor, "extract", lambda image: both)
    mask = np.full((240, 320), 255, np.uint8)
    mask[120:] = 0
    frame = Frame(np.zeros((240, 320), np.uint8), point_world.camera)
    confused, clear = localizer.localize(frame), localizer.localize(replace(frame, mask=mask))
    assert "ambiguous" in confused.reason
    assert clear.state is State.LOCALIZED and clear.map_from_camera is not None
    assert clear.map_from_camera.distance_to(pose)[0] < 0.03


def test_cells_of_scene_coordinates_are_taken_out() -> None:
    """A network that errs on the robot's body, a third of the image."""
    truth = viewpoint(3)
    body = np.full((240, 320), 255, np.uint8)
    body[:, :110] = 0
    localizer = SceneLocalizer(RoomPredictor(truth))
    frame = Frame(np.zeros((240, 320), np.uint8), CAMERA, mask=body)
    cells = localizer.coordinates(frame)
    ignored = cells.pixels[:, 0] < 110
    assert not np.isfinite(cells.rays[ignored]).any() and np.isfinite(cells.rays[~ignored]).all()
    assert not cells.usable[ignored].any()
    answer = localizer.localize(frame)
    assert answer.has_pose and answer.matches is not None
    assert (answer.matches.pixels[:, 0] >= 110).all()
    assert answer.map_from_camera.distance_to(truth)[0] < 0.05
