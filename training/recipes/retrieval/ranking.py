"""The first answers to every query, without ever holding all distances; re-ranked, if wanted."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.retrieval_recall import VIEWS_OF_PLACE, first_of_each_place, nearest_first
from relpose_ros.progress import Progress, silent
from relpose_ros.retrieval.index import DescriptorIndex
from relpose_ros.retrieval.rerank import RerankOptions, rerank
from relpose_training.data.reranked_distances import reranked_distances
from relpose_training.recipes.retrieval.descriptions import Floats

Indices = NDArray[np.int64]

NOTHING = -1
"""Stands where a query has fewer answers than asked for."""

QUERIES_AT_ONCE = 64
LARGEST_WHOLE = 20_000
"""Images, queries and gallery together, that are re-ranked as one set: three matrices of 1.6 GB."""


@dataclass(frozen=True)
class RankingOptions:
    """`count` answers a query. `rerank`: k-reciprocal, of the nearest `shortlist`, or with `whole` of queries
    and gallery as one set, as published (`compat`: of distances that OpenIBL squares twice)."""

    count: int = 20
    rerank: RerankOptions | None = None
    shortlist: int = 100
    whole: bool = False
    compat: bool = False


@dataclass(frozen=True)
class Ranking:
    """`answers` (Q, K) gallery indices, best first, NOTHING where there is none; their `scores` (Q, K).

    A score is the cosine, or 1 less the re-ranked distance. `query_ms`: mean time of a search.
    """

    answers: Indices
    scores: Floats
    query_ms: float


def rank_gallery(
    queries: Floats,
    gallery: Floats,
    options: RankingOptions,
    places: Indices | None = None,
    progress: Progress = silent,
) -> Ranking:
    """Rank the gallery (G, D) for queries (Q, D); with `places` (G,), one answer a place.

    Exact. Raises ConfigurationError if whole sets too large for it are to be re-ranked, MapError if the
    descriptors do not fit together or are not of norm 1.
    """
    looked_at = options.count if places is None else options.count * VIEWS_OF_PLACE
    began = time.perf_counter()
    if options.rerank is not None and options.whole:
        found, scores = _whole(queries, gallery, options.rerank, options.compat, looked_at)
    else:
        found, scores = _searched(queries, gallery, options, looked_at, progress)
    answers = np.full((len(queries), options.count), NOTHING, np.int64)
    kept_scores = np.full(answers.shape, np.nan, np.float32)
    for row in range(len(queries)):
        kept = _kept(found[row], places)[: options.count]
        answers[row, : len(kept)] = found[row, kept]
        kept_scores[row, : len(kept)] = scores[row, kept]
    return Ranking(answers, kept_scores, 1000 * (time.perf_counter() - began) / len(queries))


def _searched(
    queries: Floats, gallery: Floats, options: RankingOptions, looked_at: int, progress: Progress
) -> tuple[Indices, Floats]:
    index = DescriptorIndex(gallery, exact_limit=len(gallery))
    count = looked_at if options.rerank is None else max(looked_at, options.shortlist)
    found, scores = [], []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        progress(start, len(queries), "ranking")
        part = queries[start : start + QUERIES_AT_ONCE]
        indices, similarities = index.search(part, count)
        if options.rerank is not None:
            indices, similarities = _reranked(part, gallery, indices, similarities, options)
        found.append(indices[:, :looked_at])
        scores.append(similarities[:, :looked_at])
    return np.concatenate(found), np.concatenate(scores)


def _reranked(
    queries: Floats, gallery: Floats, indices: Indices, scores: Floats, options: RankingOptions
) -> tuple[Indices, Floats]:
    """The shortlist in its new order; what lies behind it stays there, with scores below."""
    indices, scores = indices.copy(), scores.copy()
    short = min(options.shortlist, indices.shape[1])
    for row, query in enumerate(queries):
        order, distances = rerank(query, gallery[indices[row, :short]], options.rerank)
        indices[row, :short] = indices[row, order]
        scores[row, :short] = 1 - distances
        scores[row, short:] = np.minimum(scores[row, short:], 1 - distances.max())
    return indices, scores


def _whole(
    queries: Floats, gallery: Floats, options: RerankOptions, compat: bool, count: int
) -> tuple[Indices, Floats]:
    total = len(queries) + len(gallery)
    if total > LARGEST_WHOLE:
        raise ConfigurationError(
            f"expected at most {LARGEST_WHOLE} images to re-rank as one set, got {total}; re-rank shortlists"
        )
    distances = reranked_distances(queries, gallery, options, compat)
    found = nearest_first(distances, count)
    return found, np.asarray(1 - np.take_along_axis(distances, found, axis=1), np.float32)


def _kept(found: Indices, places: Indices | None) -> Indices:
    """Columns of the answers that count: all, or the first of each place."""
    if places is None:
        return np.arange(len(found))
    return np.flatnonzero(np.isin(found, first_of_each_place(found, places)))
