"""The benchmark of the estimator on scene coordinates compares two that solve the same problem."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.p3p_loop import P3PLoop
from benchmarks.scene_ransac import CAMERA, HEADER, RIGHT, make_problem, measure
from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.geometry.scene_coordinate_ransac import estimate_scene_pose
from relpose_ros.geometry.scene_targets import cell_targets


@pytest.fixture
def targets():
    whole, exist = cell_targets(CAMERA, 60, 80)
    assert exist.all() and len(whole) == 4800
    return whole[::8]


@pytest.mark.parametrize("outliers", [0.0, 0.5])
def test_the_loop_and_ours_find_the_same_pose(targets, outliers):
    """Least squares on the same inliers: they differ by far less than the noise."""
    problem, options = make_problem(targets, outliers, seed=4), SceneRansacOptions(hypotheses=8)
    theirs = P3PLoop(targets, options)(problem.points)
    ours = estimate_scene_pose(problem.points, targets, options).map_from_camera
    assert problem.is_right(theirs.map_from_camera) and problem.is_right(ours)
    distance, angle = ours.distance_to(theirs.map_from_camera)
    assert distance < 0.2 * RIGHT[0] and angle < 0.02 * RIGHT[1]
    assert theirs.tries >= 8 / (1 - outliers) ** 2


def test_problems_have_the_share_of_outliers_that_they_say(targets):
    problem = make_problem(targets, 0.8, seed=1)
    local = problem.truth.inverse().apply(problem.points)
    error = np.sqrt(targets.squared_errors(local.T, True))
    assert 0.75 < (error > 20).mean() <= 0.81


def test_every_map_is_right_flagged_or_wrong(targets):
    hopeless = measure(targets, 1.0, maps=3, patience=60, with_loop=False)
    assert (hopeless.ours_right, hopeless.ours_flagged, len(hopeless.ours)) == (0, 3, 3)
    assert len(hopeless.cells()) == len(HEADER)
    good = measure(targets, 0.3, maps=5, patience=0, with_loop=False)
    assert good.ours_right == len(good.ours) == 3, "without patience three are enough"
