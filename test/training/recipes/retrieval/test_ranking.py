"""Rankings without the whole matrix say what the whole matrix says."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.retrieval_recall import recalls, recalls_of_ranks, squared_distances
from relpose_ros.retrieval.rerank import RerankOptions
from relpose_training.data.reranked_distances import reranked_distances
from relpose_training.recipes.retrieval import ranking
from relpose_training.recipes.retrieval.examination import judge_answers
from relpose_training.recipes.retrieval.ranking import NOTHING, RankingOptions, rank_gallery

K_RECIPROCAL = RerankOptions(6, 3, 0.3)


def unit(shape, seed):
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.fixture
def descriptors():
    return unit((70, 8), 0), unit((150, 8), 1)


def test_in_parts_as_in_one_matrix(descriptors, monkeypatch):
    monkeypatch.setattr(ranking, "QUERIES_AT_ONCE", 9)
    queries, gallery = descriptors
    found = rank_gallery(queries, gallery, RankingOptions(10))
    cosines = queries.astype(float) @ gallery.T.astype(float)
    np.testing.assert_array_equal(found.answers, np.argsort(-cosines, axis=1)[:, :10])
    np.testing.assert_allclose(found.scores, np.take_along_axis(cosines, found.answers, 1), atol=1e-6)


@pytest.mark.parametrize("places", [None, np.repeat(np.arange(50), 3)])
def test_recall_is_that_of_all_distances(descriptors, places):
    queries, gallery = descriptors
    positives = tuple(np.sort(np.random.default_rng(i).choice(150, 3)) for i in range(len(queries)))
    found = rank_gallery(queries, gallery, RankingOptions(10), places)
    _, ranks = judge_answers(found.answers, positives)
    whole = recalls(squared_distances(queries, gallery), positives, (1, 5, 10), places)
    np.testing.assert_array_equal(recalls_of_ranks(ranks, (1, 5, 10)), whole)


def test_one_answer_a_place(descriptors):
    places = np.repeat(np.arange(3), 50)
    found = rank_gallery(*descriptors, options=RankingOptions(5), places=places)
    for answers in found.answers:
        kept = answers[answers != NOTHING]
        assert len(set(places[kept])) == len(kept) <= 3
    assert np.isnan(found.scores[found.answers == NOTHING]).all()


def test_a_shortlist_of_everything_is_the_published_re_ranking_of_one_query(descriptors):
    queries, gallery = descriptors
    options = RankingOptions(20, K_RECIPROCAL, shortlist=len(gallery))
    for query in queries[:4]:
        found = rank_gallery(query[None], gallery, options)
        whole = reranked_distances(query[None], gallery, K_RECIPROCAL)[0]
        np.testing.assert_allclose(1 - found.scores[0], np.sort(whole)[:20], atol=1e-5)


def test_what_lies_behind_the_shortlist_stays_there(descriptors):
    plain = rank_gallery(*descriptors, options=RankingOptions(20))
    found = rank_gallery(*descriptors, options=RankingOptions(20, K_RECIPROCAL, shortlist=8))
    np.testing.assert_array_equal(found.answers[:, 8:], plain.answers[:, 8:])
    np.testing.assert_array_equal(np.sort(found.answers[:, :8]), np.sort(plain.answers[:, :8]))
    assert (found.answers[:, :8] != plain.answers[:, :8]).any() and (np.diff(found.scores) <= 0).all()


def test_one_set_as_published_and_its_limit(descriptors, monkeypatch):
    for compat in (False, True):
        options = RankingOptions(20, K_RECIPROCAL, whole=True, compat=compat)
        distances = reranked_distances(*descriptors, options=K_RECIPROCAL, compat=compat)
        found = rank_gallery(*descriptors, options=options)
        np.testing.assert_array_equal(found.answers, np.argsort(distances, axis=1, kind="stable")[:, :20])
    monkeypatch.setattr(ranking, "LARGEST_WHOLE", 219)
    with pytest.raises(ConfigurationError, match="220; re-rank shortlists"):
        rank_gallery(*descriptors, options=options)
