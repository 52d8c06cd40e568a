"""Matching against a loop that does what the definition says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from relpose_ros.features.matching import match, nearest_neighbours

Descriptors = NDArray[np.float32]


def unit(rows: NDArray[np.floating]) -> Descriptors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def descriptors(seed: int, count: int, dimension: int = 8) -> Descriptors:
    rows = np.random.default_rng(seed).normal(size=(count, dimension))
    return unit(rows) if count else np.zeros((0, dimension), np.float32)


def by_loop(query: Descriptors, reference: Descriptors, ratio: float) -> set[tuple[int, int]]:
    """Mutual nearest neighbours that pass Lowe's test, one by one, in float64."""
    found = set()
    distance = np.linalg.norm(query[:, None].astype(float) - reference[None].astype(float), axis=2)
    for i in range(len(query)):
        order = np.argsort(distance[i])
        j = int(order[0])
        mutual = int(np.argmin(distance[:, j])) == i
        second = distance[i, order[1]] if len(order) > 1 else distance[i, j]
        if mutual and distance[i, j] < ratio * second:
            found.add((i, j))
    return found


@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(2, 30), st.sampled_from([0.6, 0.85, 0.95]))
@settings(max_examples=80, deadline=None)
def test_agrees_with_the_loop(seed: int, queries: int, references: int, ratio: float) -> None:
    query, reference = descriptors(seed, queries), descriptors(seed + 1, references)
    reference[: min(queries, references) // 2] = (
        unit(
            query[: min(queries, references) // 2]
            + 0.05 * descriptors(seed + 2, 30)[: min(queries, references) // 2]
        )
        if min(queries, references) // 2
        else reference[:0]
    )
    matches = match(query, reference, ratio)
    assert {tuple(p) for p in matches.pairs.tolist()} == by_loop(query, reference, ratio)


def test_distances_are_euclidean_and_pairs_sorted_by_query() -> None:
    query = descriptors(0, 40)
    reference = unit(query[::-1] + 0.02 * descriptors(1, 40))
    pairs, distances = match(query, reference)
    assert len(pairs) > 30
    np.testing.assert_array_equal(pairs[:, 0], np.sort(pairs[:, 0]))
    expected = np.linalg.norm(query[pairs[:, 0]] - reference[pairs[:, 1]], axis=1)
    np.testing.assert_allclose(distances, expected, atol=1e-3)


def test_a_match_is_one_to_one() -> None:
    """Two queries that want the same reference: only the nearer one has it."""
    reference = descriptors(0, 10)
    query = unit(np.stack([reference[3] + 0.01 * reference[5], reference[3] + 0.1 * reference[5]]))
    np.testing.assert_array_equal(match(query, reference, 0.99).pairs, [[0, 3]])


def test_ratio_rejects_what_could_as_well_be_something_else() -> None:
    first, second = np.eye(8, dtype=np.float32)[:2]
    between = unit((first + 0.9 * second)[None])
    pair = np.stack([first, second])
    assert len(match(between, pair, 0.85).pairs) == 0
    assert len(match(between, pair, 0.999).pairs) == 1


def test_ratio_is_that_of_the_distances() -> None:
    query = np.array([[1.0, 0]], np.float32)
    angles = np.array([0.3, 0.5])
    reference = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    nearest = nearest_neighbours(query, reference)
    assert nearest.ratio[0] == pytest.approx(np.sin(0.15) / np.sin(0.25), rel=1e-3)
    assert nearest.distance[0] == pytest.approx(2 * np.sin(0.15), rel=1e-3)
    assert nearest.mutual[0] and nearest.index[0] == 0


def test_a_single_reference_has_no_second_and_no_ratio() -> None:
    """Nothing to compare with: not a match, however near."""
    one = descriptors(0, 1)
    assert nearest_neighbours(one, one).ratio[0] == 1.0
    assert len(match(one, one, 0.85).pairs) == 0


def test_identical_references_are_ambiguous() -> None:
    twice = np.repeat(descriptors(0, 1), 2, axis=0)
    assert len(match(twice[:1], twice).pairs) == 0


@pytest.mark.parametrize(("queries", "references"), [(0, 5), (5, 0), (0, 0)])
def test_nothing_matches_nothing(queries: int, references: int) -> None:
    pairs, distances = match(descriptors(0, queries), descriptors(1, references))
    assert pairs.shape == (0, 2) and distances.shape == (0,)


def test_inputs_are_not_changed() -> None:
    query, reference = descriptors(0, 20), descriptors(1, 20)
    before = query.copy(), reference.copy()
    match(query, reference)
    np.testing.assert_array_equal(query, before[0])
    np.testing.assert_array_equal(reference, before[1])
