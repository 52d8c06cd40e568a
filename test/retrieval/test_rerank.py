"""Re-ranking: the published results, and behaviour that a reader can follow by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.retrieval.rerank import (
    RerankOptions,
    k_reciprocal_distances,
    k_reciprocal_distances_within,
    rerank,
)

SETTINGS = [(20, 6, 0.3), (10, 1, 0.3), (7, 4, 0.0), (20, 6, 1.0)]


@pytest.mark.parametrize(("k1", "k2", "weight"), SETTINGS)
def test_matches_the_published_code(goldens: Path, k1: int, k2: int, weight: float) -> None:
    with np.load(goldens / "rerank" / "k_reciprocal.npz") as data:
        expected = data[f"ranklist_k{k1}_{k2}_l{weight}"]
        got = k_reciprocal_distances(data["q_g"], data["q_q"], data["g_g"], RerankOptions(k1, k2, weight))
    assert got.shape == expected.shape and got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_array_equal(np.argsort(got, axis=1)[:, :10], np.argsort(expected, axis=1)[:, :10])


def test_one_query_of_descriptors_agrees_with_distances(goldens: Path) -> None:
    with np.load(goldens / "rerank" / "k_reciprocal.npz") as data:
        query, gallery = data["query"][0], data["gallery"]
        expected = k_reciprocal_distances(data["q_g"][:1], data["q_q"][:1, :1], data["g_g"])[0]
    order, distances = rerank(query, gallery)
    np.testing.assert_array_equal(order, np.argsort(expected, kind="stable"))
    np.testing.assert_allclose(distances, expected[order], atol=1e-5)


def place(direction: np.ndarray, count: int, spread: float, seed: int) -> np.ndarray:
    rows = direction + spread * np.random.default_rng(seed).standard_normal((count, len(direction)))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_references_that_know_each_other_pass_a_lone_look_alike() -> None:
    """A stray reference is the nearest, but the query and eight others are neighbours of each other."""
    axes = np.eye(64)
    right = place(axes[0], 8, 0.05, 0)  # about 30 degrees from each other and from the query
    query = place(axes[0], 1, 0.05, 2)[0]
    away = axes[1] - query * query[1]
    away /= np.linalg.norm(away)
    stray = np.cos(0.42) * query + np.sin(0.42) * away  # 24 degrees from the query
    elsewhere = place(np.cos(0.77) * query + np.sin(0.77) * away, 12, 0.01, 1)  # 20 from the stray
    candidates = np.concatenate([stray[None], right, elsewhere])
    assert np.argmax(candidates @ query) == 0
    order, _ = rerank(query, candidates, RerankOptions(k1=8, k2=3, distance_weight=0.0))
    assert order[0] in range(1, 9)


def test_only_the_original_distance_keeps_the_order() -> None:
    rows = place(np.eye(16)[0], 30, 0.5, 0)
    order, distances = rerank(rows[0], rows[1:], RerankOptions(distance_weight=1.0))
    np.testing.assert_array_equal(order, np.argsort(-(rows[1:] @ rows[0])))
    assert np.all(np.diff(distances) >= 0)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shortlists_shorter_than_k1(count: int) -> None:
    rows = place(np.eye(8)[0], count + 1, 0.3, 4)
    order, distances = rerank(rows[0], rows[1:])
    assert sorted(order.tolist()) == list(range(count))
    assert np.all(np.isfinite(distances))


def test_identical_descriptors_are_finite_and_in_order() -> None:
    order, distances = rerank(np.eye(4)[0], np.tile(np.eye(4)[0], (6, 1)))
    assert np.all(np.isfinite(distances))
    assert sorted(order.tolist()) == list(range(6))


@pytest.mark.parametrize(
    "bad", [(0, 6, 0.3), (20, 0, 0.3), (20, 6, -0.1), (20, 6, 1.1), (20, 6, float("nan"))]
)
def test_bad_options_are_refused(bad: tuple[int, int, float]) -> None:
    with pytest.raises(ConfigurationError, match="k1 >= 1"):
        RerankOptions(*bad)


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (3, 3), (3, 3)), ((2, 3), (2, 2), (2, 2)), ((6,), (1, 1), (6, 6)), ((1, 0), (1, 1), (0, 0))],
)
def test_distances_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"\(Q, G\)"):
        k_reciprocal_distances(np.ones(shapes[0]), np.ones(shapes[1]), np.ones(shapes[2]))


def test_nan_distances_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="finite"):
        k_reciprocal_distances(np.full((1, 3), np.nan), np.zeros((1, 1)), np.ones((3, 3)))


def test_one_set_is_reranked_as_queries_and_gallery_together() -> None:
    points = np.random.default_rng(4).normal(size=(30, 5))
    distance = np.linalg.norm(points[:, None] - points, axis=2)
    options = RerankOptions(6, 3, 0.3)
    within = k_reciprocal_distances_within(distance, options)
    expected = k_reciprocal_distances(distance[:12, 12:], distance[:12, :12], distance[12:, 12:], options)
    np.testing.assert_allclose(within[:12, 12:], expected, atol=1e-6)
    for bad in (distance[:4], np.full((3, 3), np.nan), np.zeros((0, 0))):
        with pytest.raises(ConfigurationError):
            k_reciprocal_distances_within(bad)
