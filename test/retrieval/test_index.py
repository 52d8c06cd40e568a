"""The index against brute force, and against what it must refuse."""

from __future__ import annotations

import builtins
import sys

import numpy as np
import pytest
from made_descriptors import brute_force, clustered
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError, MapError
from relpose_ros.retrieval.index import DescriptorIndex

Floats = NDArray[np.float32]


@pytest.mark.parametrize("dimension", [3, 64, 1024])
@pytest.mark.parametrize("k", [1, 7, 300])
def test_exact_search_is_brute_force(dimension: int, k: int) -> None:
    descriptors, queries = clustered(300, dimension, 0), clustered(9, dimension, 1)
    index = DescriptorIndex(descriptors)
    indices, scores = index.search(queries, k)
    assert index.is_exact
    assert indices.dtype == np.int64 and scores.dtype == np.float32
    np.testing.assert_array_equal(indices, brute_force(descriptors, queries, k))
    expected = np.take_along_axis(queries.astype(float) @ descriptors.T.astype(float), indices, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_single_descriptor_is_one_query() -> None:
    descriptors = clustered(50, 16, 0)
    indices, scores = DescriptorIndex(descriptors).search(descriptors[7], 3)
    assert indices.shape == scores.shape == (1, 3)
    assert indices[0, 0] == 7 and scores[0, 0] == pytest.approx(1, abs=1e-6)


def test_fewer_references_than_k_gives_them_all() -> None:
    indices, _ = DescriptorIndex(clustered(4, 8, 0)).search(clustered(2, 8, 1), 10)
    assert indices.shape == (2, 4)
    assert sorted(indices[0].tolist()) == [0, 1, 2, 3]


def test_ties_go_to_the_lower_index() -> None:
    descriptors = np.tile(clustered(3, 32, 3, per_cluster=1), (500, 1))
    indices, _ = DescriptorIndex(descriptors).search(descriptors[1], 5)
    assert indices.tolist() == [[1, 4, 7, 10, 13]]


def test_a_featureless_reference_is_never_a_good_answer() -> None:
    descriptors = np.concatenate([np.zeros((1, 8), np.float32), clustered(5, 8, 0)])
    indices, scores = DescriptorIndex(descriptors).search(descriptors[3], 6)
    assert indices[0, 0] == 3
    assert scores[0][indices[0] == 0] == 0


@pytest.mark.parametrize("exact_limit", [1000, 50])
def test_add_continues_the_numbering(exact_limit: int) -> None:
    descriptors = clustered(400, 24, 0)
    index = DescriptorIndex(descriptors[:100], exact_limit)
    index.add(descriptors[100:])
    assert len(index) == 400
    indices, _ = index.search(descriptors, 1)
    assert np.mean(indices[:, 0] == np.arange(400)) > 0.99


def test_added_descriptors_can_cross_the_limit() -> None:
    descriptors = clustered(200, 24, 0)
    index = DescriptorIndex(descriptors[:100], exact_limit=150)
    before = index.is_exact
    index.add(descriptors[100:])
    assert (before, index.is_exact, len(index)) == (True, False, 200)


def test_exact_search_does_not_depend_on_how_queries_are_batched() -> None:
    """One query runs through another BLAS kernel than many: the answers must still be equal bits."""
    descriptors = clustered(500, 513, 0)
    queries = clustered(20, 513, 1)
    index = DescriptorIndex(descriptors)
    together = index.search(queries, 12)
    for row, query in enumerate(queries):
        alone = index.search(query, 12)
        np.testing.assert_array_equal(alone[0][0], together[0][row])
        np.testing.assert_array_equal(alone[1][0], together[1][row])


def test_an_index_does_not_import_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_faiss(name: str, *args: object, **kwargs: object) -> object:
        if name.split(".")[0] == "faiss":
            raise ImportError("no faiss here")
        return real_import(name, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.delitem(sys.modules, "faiss", raising=False)
    monkeypatch.setattr(builtins, "__import__", without_faiss)
    descriptors = clustered(200, 16, 0)
    for limit in (1000, 10):
        DescriptorIndex(descriptors, limit).search(descriptors, 3)


BAD = {
    "one axis": (np.ones(4, np.float32), "shape"),
    "three axes": (np.ones((2, 2, 2), np.float32), "shape"),
    "no columns": (np.ones((3, 0), np.float32), "shape"),
    "nan": (np.array([[1, 0], [np.nan, 0]], np.float32), "row 1"),
    "infinite": (np.array([[np.inf, 0]], np.float32), "finite"),
    "not normalised": (np.full((1, 2), 3, np.float32), "L2-normalised"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_references_are_refused(name: str) -> None:
    descriptors, message = BAD[name]
    with pytest.raises(MapError, match=message):
        DescriptorIndex(descriptors)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (np.eye(5, dtype=np.float32)[0], "dimension 4, got 5"),
        (np.full(4, np.nan, np.float32), "finite"),
        (np.full(4, 2, np.float32), "L2-normalised"),
        (np.zeros((1, 1, 4), np.float32), "shape"),
    ],
)
def test_bad_queries_are_refused(query: Floats, message: str) -> None:
    index = DescriptorIndex(np.eye(4, dtype=np.float32))
    with pytest.raises(MapError, match=message):
        index.search(query, 1)


def test_bad_additions_leave_the_index_as_it_was() -> None:
    index = DescriptorIndex(np.eye(4, dtype=np.float32))
    with pytest.raises(MapError, match="dimension 4, got 3"):
        index.add(np.eye(3, dtype=np.float32))
    assert len(index) == 4


def test_an_empty_index_says_so() -> None:
    with pytest.raises(MapError, match="empty"):
        DescriptorIndex(np.zeros((0, 4), np.float32)).search(np.eye(4, dtype=np.float32), 1)


def test_no_queries_give_no_rows() -> None:
    indices, scores = DescriptorIndex(np.eye(4, dtype=np.float32)).search(np.zeros((0, 4), np.float32), 2)
    assert indices.shape == scores.shape == (0, 2)


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_be_positive(k: int) -> None:
    with pytest.raises(ConfigurationError, match="k >= 1"):
        DescriptorIndex(np.eye(4, dtype=np.float32)).search(np.eye(4, dtype=np.float32), k)
