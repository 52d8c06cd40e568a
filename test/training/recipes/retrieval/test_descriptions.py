"""Descriptors in memory or in a file: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import CheckpointError
from relpose_ros.progress import silent
from relpose_ros.retrieval.pca import Pca
from relpose_training.recipes.retrieval import descriptions
from relpose_training.recipes.retrieval.descriptions import Described, collect_rows, empty_rows
from relpose_training.recipes.retrieval.ranking import RankingOptions, rank_gallery


def unit(count, seed):
    values = np.random.default_rng(seed).normal(size=(count, 12)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_a_file_holds_what_memory_holds(monkeypatch):
    gallery, queries = unit(50, 0), unit(7, 1)
    plain = rank_gallery(queries, gallery, RankingOptions(5))
    pca = Pca.fit(gallery, 6)
    reduced = pca.apply(gallery)
    monkeypatch.setattr(descriptions, "IN_MEMORY", 0)
    monkeypatch.setattr(descriptions, "BLOCK", 8)
    rows, seconds = collect_rows(iter(np.array_split(gallery, 6)), 50, 12, silent, "", "net")
    assert isinstance(rows, np.memmap) and seconds >= 0
    np.testing.assert_array_equal(rows, gallery)
    found = rank_gallery(queries, rows, RankingOptions(5))
    np.testing.assert_array_equal(found.answers, plain.answers)
    small = Described(queries, rows, 1.0).reduced(pca)
    assert isinstance(small.gallery, np.memmap) and small.queries.shape == (7, 6)
    np.testing.assert_allclose(small.gallery, reduced, atol=1e-5)


def test_small_sets_stay_in_memory():
    assert not isinstance(empty_rows(1000, 256), np.memmap)


def test_another_dimension_than_the_header_says_is_refused():
    with pytest.raises(CheckpointError, match=r"net: its header says descriptors of dimension 13, .* 12"):
        collect_rows(iter([unit(4, 0)]), 4, 13, silent, "", "net")
