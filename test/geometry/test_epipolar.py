"""Epipolar geometry against its definition, and lines that meet in a point."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.geometry.epipolar import (
    epipolar_line_distances,
    essential_matrix,
    fundamental_matrix,
    nearest_point_to_lines,
    sampson_distance,
    sampson_residual,
)
from relpose_ros.geometry.rigid import Rigid


def pair(seed: int, count: int = 50) -> tuple[Rigid, np.ndarray, np.ndarray]:
    """`second_from_first` and the rays of points that both cameras see."""
    generator = np.random.default_rng(seed)
    second_from_first = Rigid.from_rotation_vector(generator.normal(0, 0.2, 3), generator.normal(0, 0.5, 3))
    points = generator.uniform([-2, -2, 4], [2, 2, 9], (count, 3))
    moved = second_from_first.apply(points)
    return second_from_first, points[:, :2] / points[:, 2:], moved[:, :2] / moved[:, 2:]


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_corresponding_rays_satisfy_the_constraint(seed: int) -> None:
    second_from_first, first, second = pair(seed)
    assert sampson_distance(essential_matrix(second_from_first), first, second).max() < 1e-9


def test_essential_matrix_has_two_equal_singular_values() -> None:
    values = np.linalg.svd(essential_matrix(pair(1)[0]))[1]
    assert values[0] == pytest.approx(values[1]) and values[2] == pytest.approx(0, abs=1e-12)


def test_sampson_distance_is_the_distance_to_the_epipolar_line_for_a_pure_shift() -> None:
    """Cameras side by side: the lines are image rows, and a vertical offset is shared by both images."""
    essential = essential_matrix(Rigid(np.eye(3), np.array([-1.0, 0, 0])))
    first = np.array([[0.1, 0.2], [0.3, -0.1]])
    distance = sampson_distance(essential, first, first + np.array([[0.05, 0.004], [-0.2, -0.006]]))
    np.testing.assert_allclose(distance, np.array([0.004, 0.006]) / np.sqrt(2))


def test_sampson_is_the_geometric_distance_to_first_order() -> None:
    """Moving a ray pair perpendicular to the constraint by d in R^4 gives |residual| = d."""
    second_from_first, first, second = pair(3)
    essential = essential_matrix(second_from_first)
    stacked = np.concatenate([first, second], axis=1)
    gradient = np.empty_like(stacked)
    for axis, move in enumerate(1e-7 * np.eye(4)):
        there, back = ((stacked + s * move) for s in (1, -1))
        homogeneous = [
            np.pad(a, ((0, 0), (0, 1)), constant_values=1)
            for a in (there[:, :2], there[:, 2:], back[:, :2], back[:, 2:])
        ]
        value = [
            np.einsum("ni,ij,nj->n", y, essential, x)
            for x, y in ((homogeneous[0], homogeneous[1]), (homogeneous[2], homogeneous[3]))
        ]
        gradient[:, axis] = (value[0] - value[1]) / 2e-7
    moved = stacked + 1e-4 * gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    residual = sampson_residual(essential, moved[:, :2], moved[:, 2:])
    np.testing.assert_allclose(residual, 1e-4, rtol=1e-2)


def test_sign_changes_side() -> None:
    second_from_first, first, second = pair(2)
    essential = essential_matrix(second_from_first)
    above = sampson_residual(essential, first, second + np.array([0, 0.01]))
    below = sampson_residual(essential, first, second - np.array([0, 0.01]))
    assert (np.sign(above) == -np.sign(below)).all()


def test_scale_of_the_translation_does_not_matter() -> None:
    second_from_first, first, second = pair(4)
    longer = Rigid(second_from_first.rotation, 7 * second_from_first.translation)
    np.testing.assert_allclose(
        sampson_residual(essential_matrix(second_from_first), first, second + 0.01),
        sampson_residual(essential_matrix(longer), first, second + 0.01),
    )


def test_no_translation_gives_zero_and_not_nan() -> None:
    residual = sampson_residual(essential_matrix(Rigid.identity()), np.ones((3, 2)), np.zeros((3, 2)))
    np.testing.assert_array_equal(residual, 0)


def lines(seed: int, count: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    point = generator.normal(size=3)
    origins = point + generator.normal(0, 3, (count, 3))
    directions = point - origins
    return point, origins, directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_lines_through_a_point_meet_in_it() -> None:
    point, origins, directions = lines(0)
    np.testing.assert_allclose(nearest_point_to_lines(origins, directions, np.ones(6)), point, atol=1e-9)


def test_weights_pull_the_meeting_point() -> None:
    point, origins, directions = lines(1)
    origins[0] += 0.3
    weights = np.ones(6)
    near = nearest_point_to_lines(origins, directions, weights)
    weights[0] = 1e-9
    assert np.linalg.norm(nearest_point_to_lines(origins, directions, weights) - point) < 1e-6
    assert np.linalg.norm(near - point) > 1e-3


def test_parallel_lines_are_refused() -> None:
    directions = np.tile([0.0, 0, 1], (3, 1))
    with pytest.raises(np.linalg.LinAlgError):
        nearest_point_to_lines(np.eye(3), directions, np.ones(3))


def test_distances_to_epipolar_lines_are_perpendicular_and_in_the_right_image():
    generator = np.random.default_rng(4)
    pose = Rigid.from_rotation_vector([0.1, -0.2, 0.05], [1.0, 0.2, 0.1])
    local = generator.uniform([-2, -1, 3], [2, 1, 8], (20, 3))
    moved = pose.apply(local)
    first, second = local[:, :2] / local[:, 2:], moved[:, :2] / moved[:, 2:]
    essential = essential_matrix(pose)
    assert max(d.max() for d in epipolar_line_distances(essential, first, second)) < 1e-12
    line = np.concatenate([first, np.ones((20, 1))], axis=1) @ essential.T
    normal = line[:, :2] / np.linalg.norm(line[:, :2], axis=1, keepdims=True)
    _, in_second = epipolar_line_distances(essential, first, second + 0.03 * normal)
    assert np.allclose(in_second, 0.03)
    in_first, in_second = epipolar_line_distances(essential, first, second + 0.03)
    back = epipolar_line_distances(essential.T, second + 0.03, first)
    assert np.allclose(back, (in_second, in_first))


def test_the_fundamental_matrix_holds_for_pixels():
    pose = Rigid.from_rotation_vector([0.1, -0.2, 0.05], [1.0, 0.2, 0.1])
    first, second = np.diag([500.0, 510, 1]), np.array([[300.0, 0, 100], [0, 310, 90], [0, 0, 1]])
    point = np.array([0.4, -0.3, 5.0])
    x1, x2 = first @ point, second @ pose.apply(point[None])[0]
    assert abs(x2 / x2[2] @ fundamental_matrix(pose, first, second) @ x1 / x1[2]) < 1e-12
