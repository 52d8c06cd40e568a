"""Signatures: recall against brute force, growth, determinism, and descriptors that stay in a file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_descriptors import brute_force, clustered, unit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from relpose_ros.errors import MapError
from relpose_ros.retrieval.index import DescriptorIndex
from relpose_ros.retrieval.signatures import BITS, Signatures, build_signatures

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


def recall_of(found: Indices, truth: Indices) -> float:
    return float(np.mean([len(set(a) & set(b)) / truth.shape[1] for a, b in zip(found, truth, strict=True)]))


def signatures_of(index: DescriptorIndex) -> Signatures:
    assert index.signatures is not None and not index.is_exact
    return index.signatures


def test_recall_on_clustered_descriptors() -> None:
    descriptors, queries = clustered(5000, 32, 0), clustered(100, 32, 0)
    indices, scores = DescriptorIndex(descriptors, exact_limit=1000).search(queries, 10)
    assert recall_of(indices, brute_force(descriptors, queries, 10)) > 0.97
    assert np.all(np.diff(scores, axis=1) <= 0)


def test_signatures_give_every_reference_when_asked_for_all() -> None:
    descriptors = clustered(120, 16, 0)
    indices, _ = DescriptorIndex(descriptors, exact_limit=10).search(descriptors[:3], 120)
    np.testing.assert_array_equal(np.sort(indices, axis=1), np.tile(np.arange(120), (3, 1)))


def test_a_featureless_reference_is_never_a_good_answer() -> None:
    descriptors = clustered(300, 16, 0)
    descriptors[7] = 0
    indices, scores = DescriptorIndex(descriptors, exact_limit=10).search(descriptors[5:9], 300)
    assert 7 not in indices[[0, 1, 3], 0]
    np.testing.assert_array_equal(scores[indices == 7], 0)


def test_signatures_do_not_depend_on_threads() -> None:
    """Descriptors without structure: some are missed, and other signatures miss others."""
    import faiss

    generator = np.random.default_rng(0)
    descriptors = unit(generator.standard_normal((4000, 96)))
    queries = unit(generator.standard_normal((100, 96)))
    answers = []
    before = faiss.omp_get_max_threads()
    try:
        for threads in (1, 4, 4):
            faiss.omp_set_num_threads(threads)
            with threadpool_limits(threads, "blas"):
                answers.append(DescriptorIndex(descriptors, exact_limit=100).search(queries, 10))
            assert faiss.omp_get_max_threads() == threads, "the caller's thread count must come back"
    finally:
        faiss.omp_set_num_threads(before)
    assert recall_of(answers[0][0], brute_force(descriptors, queries, 10)) < 1, "nothing missed: no test"
    for indices, scores in answers[1:]:
        np.testing.assert_array_equal(indices, answers[0][0])
        np.testing.assert_array_equal(scores, answers[0][1])


def test_answers_are_the_same_whether_queries_come_alone_or_together() -> None:
    index = DescriptorIndex(clustered(2000, 33, 0), exact_limit=100)
    queries = clustered(20, 33, 1)
    together = index.search(queries, 12)
    for row, query in enumerate(queries):
        for alone, several in zip(index.search(query, 12), together, strict=True):
            np.testing.assert_array_equal(alone[0], several[row])


def test_what_is_added_is_found_as_well_as_by_an_index_built_of_all() -> None:
    """Half of the places are added later: other places than those that the mean was taken of."""
    descriptors, queries = clustered(6000, 32, 0), clustered(200, 32, 0)
    truth = brute_force(descriptors, queries, 10)
    grown = DescriptorIndex(descriptors[:3000], exact_limit=1000)
    first = signatures_of(grown)
    grown.add(descriptors[3000:])
    np.testing.assert_array_equal(signatures_of(grown).words[:, :3000], first.words)
    built = DescriptorIndex(descriptors, exact_limit=1000)
    recalls = [recall_of(index.search(queries, 10)[0], truth) for index in (grown, built)]
    assert recalls[0] > 0.97 and recalls[0] > recalls[1] - 0.02


def test_an_index_grows_with_a_map_that_begins_with_the_old_references(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    descriptors = clustered(1500, 24, 0)
    old = DescriptorIndex(descriptors[:1000], exact_limit=100)
    built: list[int] = []
    monkeypatch.setattr(
        "relpose_ros.retrieval.index.build_signatures",
        lambda rows, count, dimension: built.append(count) or build_signatures(rows, count, dimension),
    )
    new = old.grown(descriptors)
    assert len(new) == 1500 and not built
    indices, _ = new.search(descriptors, 1)
    np.testing.assert_array_equal(indices[:, 0], np.arange(1500))
    for other in (descriptors[::-1].copy(), descriptors[:900], clustered(1500, 16, 0)):
        assert len(old.grown(other)) == len(other) == built[-1]


def test_signatures_of_other_descriptors_are_refused() -> None:
    descriptors = clustered(500, 24, 0)
    known = signatures_of(DescriptorIndex(descriptors, exact_limit=100))
    assert DescriptorIndex(descriptors, exact_limit=100, signatures=known).signatures is known
    for other, wrong in (
        (descriptors[:400], known),
        (clustered(500, 16, 0), known),
        (descriptors, replace(known, words=known.words[:-1])),
        (descriptors, replace(known, words=known.words.astype(np.int64))),
        (descriptors, replace(known, mean=known.mean[:-1])),
    ):
        with pytest.raises(MapError, match="not the signatures of the descriptors"):
            DescriptorIndex(other, exact_limit=100, signatures=wrong)


def test_descriptors_that_share_a_direction_are_told_apart() -> None:
    """Values of a pooling network are all positive: planes through the origin would see one side."""
    generator = np.random.default_rng(0)
    values = np.abs(np.repeat(generator.standard_normal((100, 48)), 20, axis=0)) + 3
    descriptors = unit(values + 0.2 * generator.standard_normal(values.shape))
    queries = descriptors[::13]
    indices, _ = DescriptorIndex(descriptors, exact_limit=100).search(queries, 10)
    assert recall_of(indices, brute_force(descriptors, queries, 10)) > 0.97


def test_distance_is_the_angle() -> None:
    """Charikar: the expected share of planes between two directions is their angle over pi."""
    generator = np.random.default_rng(0)
    descriptors = unit(generator.standard_normal((400, 256)))
    known = build_signatures(lambda a, b: descriptors[a:b], 400, 256)
    other = unit(descriptors[:1] + 0.5 * unit(generator.standard_normal((1, 256))))[0]
    share = known._differing(np.einsum("d,db->b", other - known.mean, known.planes)) / BITS
    angle = np.arccos(
        np.clip(
            (descriptors - known.mean)
            @ (other - known.mean)
            / (np.linalg.norm(descriptors - known.mean, axis=1) * np.linalg.norm(other - known.mean)),
            -1,
            1,
        )
    )
    assert np.abs(share - angle / np.pi).max() < 5 * 0.5 / np.sqrt(BITS)
    assert share.argmin() == 0


class Elsewhere:
    """Descriptors that are not in memory: how many rows were asked for."""

    def __init__(self, values: Floats) -> None:
        self.values, self.shape, self.asked = values, values.shape, 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Floats:
        rows = self.values[index]
        self.asked += len(rows)
        return rows


@pytest.mark.parametrize("held", [0, 1 << 20])
def test_stored_descriptors_are_searched_exactly(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relpose_ros.retrieval.index.HELD_BYTES", held)
    monkeypatch.setattr("relpose_ros.retrieval.index.BLOCK_VALUES", 1000)
    descriptors, queries = clustered(700, 20, 0), clustered(5, 20, 1)
    rows = Elsewhere(descriptors)
    index = DescriptorIndex(rows, stored=True)
    assert rows.asked == (700 if held else 0)
    found, expected = index.search(queries, 9), DescriptorIndex(descriptors).search(queries, 9)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_with_signatures_few_stored_descriptors_are_read() -> None:
    descriptors = clustered(4000, 20, 0)
    known = signatures_of(DescriptorIndex(descriptors, exact_limit=100))
    rows = Elsewhere(descriptors)
    index = DescriptorIndex(rows, 100, stored=True, signatures=known)
    assert rows.asked == 0
    assert index.search(descriptors[70], 5)[0][0, 0] == 70
    assert 0 < rows.asked <= 200


@pytest.mark.parametrize(("value", "message"), [(2.0, "L2-norm"), (np.nan, "finite")])
def test_bad_stored_descriptors_are_refused_when_they_are_read(
    value: float, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relpose_ros.retrieval.index.HELD_BYTES", 0)
    index = DescriptorIndex(Elsewhere(np.full((3, 4), value, np.float32)), stored=True)
    with pytest.raises(MapError, match=message):
        index.search(np.eye(4, dtype=np.float32)[0], 1)


def test_stored_descriptors_must_be_rows() -> None:
    with pytest.raises(MapError, match="shape"):
        DescriptorIndex(Elsewhere(np.zeros((3, 0), np.float32)), stored=True)
