"""Recall@N, rankings, one answer a place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.retrieval_recall import (
    first_of_each_place,
    nearest_first,
    recalls,
    squared_distances,
)

DISTANCES = np.array([[0.4, 0.1, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4]])


def test_the_first_right_answer_counts():
    np.testing.assert_array_equal(recalls(DISTANCES, [[3], [0, 3]], (1, 2, 3)), [0.5, 1.0, 1.0])
    np.testing.assert_array_equal(recalls(DISTANCES, [[0], [3]], (1, 3, 10)), [0.0, 0.0, 1.0])


def test_a_query_without_positives_is_missed():
    np.testing.assert_array_equal(recalls(DISTANCES, [[], [0]], (1, 10)), [0.5, 0.5])


def test_one_answer_a_place_lets_later_places_move_up():
    views = np.repeat(np.arange(5), 6)
    distances = np.arange(30.0)[None]
    right = [[12]]
    np.testing.assert_array_equal(recalls(distances, right, (1, 3)), [0, 0])
    np.testing.assert_array_equal(recalls(distances, right, (1, 3), places=views), [0, 1])
    # Of a place, only the view that is found first is an answer.
    np.testing.assert_array_equal(recalls(distances, [[13]], (1, 3), places=views), [0, 0])


def test_first_of_each_place_keeps_the_order():
    assert first_of_each_place([3, 1, 2, 0], [7, 7, 5, 5]).tolist() == [3, 1]
    assert first_of_each_place(np.zeros(0, int), [7, 7]).tolist() == []


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(0, 45))
def test_the_nearest_are_those_of_a_stable_sort(values, count):
    row = np.array(values, np.float32)
    np.testing.assert_array_equal(nearest_first(row[None], count)[0], np.argsort(row, kind="stable")[:count])


def test_squared_distances():
    generator = np.random.default_rng(0)
    q, g = generator.normal(size=(5, 8)), 3 * generator.normal(size=(7, 8))
    direct = np.square(q[:, None] - g).sum(axis=2)
    np.testing.assert_allclose(squared_distances(q, g), direct, rtol=1e-5)
    assert (squared_distances(q, q) >= 0).all()


@pytest.mark.parametrize(
    ("distances", "positives", "at", "places"),
    [
        (np.zeros((2, 3)), [[0]], (1,), None),
        (np.zeros((0, 3)), [], (1,), None),
        (np.zeros(3), [[0]], (1,), None),
        (np.full((1, 3), np.nan), [[0]], (1,), None),
        (np.zeros((1, 3)), [[0]], (), None),
        (np.zeros((1, 3)), [[0]], (0,), None),
        (np.zeros((1, 3)), [[0]], (1,), [1, 2]),
    ],
)
def test_what_does_not_fit_is_refused(distances, positives, at, places):
    with pytest.raises(ConfigurationError):
        recalls(distances, positives, at, places)


def test_descriptors_of_two_networks_are_refused():
    with pytest.raises(ConfigurationError, match=r"\(2, 3\) and \(2, 4\)"):
        squared_distances(np.zeros((2, 3)), np.zeros((2, 4)))
