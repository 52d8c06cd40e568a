"""Rigid transforms: algebra as properties, perturbations up to half a turn, batches, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid, interpolate, skew

Array = NDArray[np.float64]

coordinates = st.floats(-1e3, 1e3)
vectors = st.tuples(coordinates, coordinates, coordinates).map(np.array)
units = st.tuples(*[st.floats(-1, 1)] * 3).map(np.array).filter(lambda v: np.linalg.norm(v) > 0.1)
units = units.map(lambda v: v / np.linalg.norm(v))
# Half a turn and the smallest turns are where logarithms of rotations go wrong: draw them on purpose.
angles = st.one_of(
    st.floats(0, np.pi),
    st.floats(0, 1e-6).map(lambda a: np.pi - a),
    st.floats(0, 1e-8),
    st.sampled_from([0.0, np.pi / 2, np.pi]),
)
turns = st.builds(lambda angle, axis: angle * axis, angles, units)
transforms = st.builds(Rigid.from_rotation_vector, turns, vectors)


def assert_same(a: Rigid, b: Rigid, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(a.rotation, b.rotation, atol=tolerance)
    np.testing.assert_allclose(a.translation, b.translation, atol=tolerance * 1e3)


@given(transforms, transforms, vectors)
def test_a_chain_moves_points_one_transform_at_a_time(a: Rigid, b: Rigid, point: Array) -> None:
    np.testing.assert_allclose((a @ b).apply(point), a.apply(b.apply(point)), atol=1e-8)


@given(transforms, transforms, transforms)
def test_chaining_is_associative(a: Rigid, b: Rigid, c: Rigid) -> None:
    assert_same((a @ b) @ c, a @ (b @ c))


@given(transforms)
def test_inverse_undoes_from_both_sides(a: Rigid) -> None:
    assert_same(a @ a.inverse(), Rigid.identity())
    assert_same(a.inverse() @ a, Rigid.identity())
    assert_same(a.inverse().inverse(), a)


@given(transforms, transforms)
def test_inverse_of_a_chain_is_the_chain_of_inverses_backwards(a: Rigid, b: Rigid) -> None:
    assert_same((a @ b).inverse(), b.inverse() @ a.inverse())


@given(transforms)
def test_chaining_is_the_product_of_homogeneous_matrices(a: Rigid) -> None:
    assert_same(Rigid.from_matrix(a.matrix), a, 0)
    np.testing.assert_allclose((a @ a).matrix, a.matrix @ a.matrix, atol=1e-9)
    np.testing.assert_array_equal(a.matrix[3], [0, 0, 0, 1])


@given(transforms)
def test_quaternion_round_trip(a: Rigid) -> None:
    quaternion = a.rotation_xyzw
    assert np.linalg.norm(quaternion) == pytest.approx(1, abs=1e-12)
    assert quaternion[3] >= 0
    assert_same(Rigid.from_quaternion(quaternion, a.translation), a)


@given(transforms, st.floats(1e-3, 1e3), st.sampled_from([-1, 1]))
def test_quaternions_are_normalised_and_have_two_signs(a: Rigid, scale: float, sign: int) -> None:
    assert_same(Rigid.from_quaternion(sign * scale * a.rotation_xyzw, a.translation), a)


@given(turns)
def test_rotation_vector_round_trip(vector: Array) -> None:
    a = Rigid.from_rotation_vector(vector, np.zeros(3))
    assert a.angle == pytest.approx(np.linalg.norm(vector), abs=1e-7)
    again = Rigid.from_rotation_vector(a.rotation_vector, np.zeros(3))
    np.testing.assert_allclose(again.rotation, a.rotation, atol=1e-9)
    if np.linalg.norm(vector) < np.pi - 1e-5:  # at half a turn both signs of the axis are right
        np.testing.assert_allclose(a.rotation_vector, vector, atol=1e-9)


@given(transforms, turns, vectors)
def test_error_to_finds_the_perturbation(a: Rigid, turn: Array, shift: Array) -> None:
    twist = np.concatenate([shift, turn])
    b = a.perturbed(twist)
    found = a.error_to(b)
    np.testing.assert_allclose(found[:3], shift, atol=1e-9)
    assert np.linalg.norm(found[3:]) <= np.pi + 1e-9
    if np.linalg.norm(turn) < np.pi - 1e-5:
        np.testing.assert_allclose(found[3:], turn, atol=1e-8)
    assert_same(a.perturbed(found), b)


@given(transforms, transforms)
def test_perturbed_by_the_error_arrives(a: Rigid, b: Rigid) -> None:
    assert_same(a.perturbed(a.error_to(b)), b)


@given(transforms, transforms)
def test_distance_is_symmetric_and_zero_to_itself(a: Rigid, b: Rigid) -> None:
    there, back = a.distance_to(b), b.distance_to(a)
    assert there[0] == pytest.approx(back[0], abs=1e-9)
    assert there[1] == pytest.approx(back[1], abs=1e-7)
    assert 0 <= there[1] <= np.pi + 1e-9
    assert a.distance_to(a)[0] == 0 and a.distance_to(a)[1] < 1e-7


@given(transforms, transforms, st.floats(0, 1))
def test_interpolation_goes_straight_and_at_constant_speed(a: Rigid, b: Rigid, fraction: float) -> None:
    between = interpolate(a, b, fraction)
    total, covered = a.distance_to(b), a.distance_to(between)
    assert covered[0] == pytest.approx(fraction * total[0], abs=1e-8)
    assert covered[1] == pytest.approx(fraction * total[1], abs=1e-7)
    assert between.distance_to(b)[1] == pytest.approx((1 - fraction) * total[1], abs=1e-6)


@given(transforms, transforms)
def test_interpolation_ends_where_it_should(a: Rigid, b: Rigid) -> None:
    assert_same(interpolate(a, b, 0.0), a)
    assert_same(interpolate(a, b, 1.0), b)


@given(vectors, vectors)
def test_skew_is_the_cross_product(a: Array, b: Array) -> None:
    np.testing.assert_allclose(skew(a) @ b, np.cross(a, b), atol=1e-9)
    np.testing.assert_array_equal(skew(a), -skew(a).T)


def random_batch(count: int, seed: int = 0) -> Rigid:
    generator = np.random.default_rng(seed)
    return Rigid.from_rotation_vector(generator.normal(size=(count, 3)), generator.normal(size=(count, 3)))


def test_a_batch_is_its_members() -> None:
    a, b = random_batch(7, 0), random_batch(7, 1)
    twists = np.random.default_rng(2).normal(size=(7, 6))
    for i in range(7):
        assert_same((a @ b)[i], a[i] @ b[i], 1e-14)
        assert_same(a.inverse()[i], a[i].inverse(), 1e-14)
        assert_same(a.perturbed(twists)[i], a[i].perturbed(twists[i]), 1e-14)
        np.testing.assert_allclose(a.error_to(b)[i], a[i].error_to(b[i]), atol=1e-13)
        np.testing.assert_allclose(a.rotation_xyzw[i], a[i].rotation_xyzw, atol=1e-14)
        np.testing.assert_allclose(a.matrix[i], a[i].matrix)
    assert len(a) == 7 and len(a[0]) == 1
    assert_same(Rigid.stack([a[i] for i in range(7)]), a, 0)


def test_one_against_many() -> None:
    one, many = random_batch(1)[0], random_batch(5, 3)
    for i in range(5):
        assert_same((one @ many)[i], one @ many[i], 1e-14)
        assert_same((many @ one)[i], many[i] @ one, 1e-14)
        np.testing.assert_allclose(one.error_to(many)[i], one.error_to(many[i]), atol=1e-13)
        np.testing.assert_allclose(many.error_to(one)[i], many[i].error_to(one), atol=1e-13)
    assert one.distance_to(many)[1].shape == (5,)
    assert one.perturbed(np.zeros((4, 6))).translation.shape == (4, 3)


def test_two_leading_axes() -> None:
    a = random_batch(6)
    grid = Rigid(a.rotation.reshape(2, 3, 3, 3), a.translation.reshape(2, 3, 3))
    assert grid.rotation_xyzw.shape == (2, 3, 4)
    assert grid.angle.shape == (2, 3)
    assert grid.matrix.shape == (2, 3, 4, 4)
    assert_same((grid @ grid.inverse())[1, 2], Rigid.identity(), 1e-14)


def test_an_empty_batch_stays_empty() -> None:
    none = Rigid(np.zeros((0, 3, 3)), np.zeros((0, 3)))
    assert len(none) == 0
    assert none.rotation_xyzw.shape == (0, 4)
    assert none.rotation_vector.shape == (0, 3)
    assert none.inverse().matrix.shape == (0, 4, 4)
    assert Rigid.identity().error_to(none).shape == (0, 6)
    assert Rigid.from_quaternion(np.zeros((0, 4)), np.zeros((0, 3))).translation.shape == (0, 3)
    assert none.perturbed(np.zeros((0, 6))).translation.shape == (0, 3)


def test_single_precision_becomes_double() -> None:
    a = Rigid(np.eye(3, dtype=np.float32), np.ones(3, np.float32))
    assert a.rotation.dtype == a.translation.dtype == np.float64


@settings(max_examples=20)
@given(turns)
def test_long_chains_stay_rotations(turn: Array) -> None:
    step = Rigid.from_rotation_vector(turn, np.ones(3))
    pose = Rigid.identity()
    for _ in range(1000):
        pose = pose @ step
    np.testing.assert_allclose(pose.rotation @ pose.rotation.T, np.eye(3), atol=1e-11)


def test_large_coordinates_keep_their_millimetres() -> None:
    """Metres in a projected frame: 5e6 m north, and still the millimetre after there and back."""
    pose = Rigid.from_rotation_vector([0.3, -0.2, 2.9], [4.5e5, 5.1e6, 300.0])
    point = np.array([[4.50012345e5, 5.10004321e6, 301.5]])
    np.testing.assert_allclose(pose.apply(pose.inverse().apply(point)), point, atol=1e-7)


@pytest.mark.parametrize(
    ("rotation", "translation"),
    [
        (np.eye(4), np.zeros(3)),
        (np.eye(3), np.zeros(4)),
        (np.zeros((2, 3, 3)), np.zeros(3)),
        (np.eye(3), np.zeros((2, 3))),
        (np.zeros(3), np.zeros(3)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(rotation: Array, translation: Array) -> None:
    with pytest.raises(ValueError, match="expected rotation"):
        Rigid(rotation, translation)


@pytest.mark.parametrize("quaternion", [[0, 0, 0, 0], [np.nan, 0, 0, 1], [np.inf, 0, 0, 1], [1e-12, 0, 0, 0]])
def test_quaternions_that_are_no_rotation_are_refused(quaternion: list[float]) -> None:
    with pytest.raises(ValueError, match="quaternion"):
        Rigid.from_quaternion(quaternion, np.zeros(3))
    with pytest.raises(ValueError, match="quaternion"):
        Rigid.from_quaternion(np.array([[0, 0, 0, 1.0], quaternion]), np.zeros((2, 3)))
