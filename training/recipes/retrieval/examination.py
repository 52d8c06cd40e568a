"""Every way of describing images on every set: what comes first, and whether it is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.retrieval_recall import first_right
from relpose_ros.retrieval.pca import Pca
from relpose_training.recipes.retrieval.descriptions import Described
from relpose_training.recipes.retrieval.ranking import (
    NOTHING,
    Indices,
    Ranking,
    RankingOptions,
    rank_gallery,
)
from relpose_training.recipes.retrieval.subjects import ShowProgress, Subject
from relpose_training.recipes.retrieval.tested import Tested


@dataclass(frozen=True)
class Examined:
    """One row of the table: a subject, as it is or with a PCA, re-ranked or not, on one set.

    `right` (Q, K): which answers are; `ranks` (Q,): that of the first right one, or MISSED. `nearest_right`
    (Q,): of all right references the one with the greatest cosine, NOTHING where there is none, and that
    `nearest_cosine` (Q,).
    """

    subject: str
    variant: str
    tested: Tested
    dimension: int
    ranking: Ranking
    right: NDArray[np.bool_]
    ranks: Indices
    nearest_right: Indices
    nearest_cosine: NDArray[np.float32]
    image_ms: float

    @property
    def method(self) -> str:
        """Name of the row."""
        return f"{self.subject}, {self.variant}" if self.variant else self.subject

    @property
    def answerable(self) -> NDArray[np.bool_]:
        """Queries (Q,) that have a right reference."""
        return np.asarray(self.nearest_right != NOTHING)

    def query_path(self, query: int) -> Path:
        """Image file of a query."""
        return self.tested.dataset.path(self.tested.split.queries[query])

    def gallery_path(self, reference: int) -> Path:
        """Image file of a gallery image."""
        return self.tested.dataset.path(self.tested.split.gallery[reference])


def examine(
    subject: Subject, tested: Tested, pca: Pca | None, options: RankingOptions, show: ShowProgress
) -> Iterator[Examined]:
    """The rows of one subject on one set: as it is, then with the PCA; each plain, then re-ranked."""
    described = subject.describe(tested, show)
    yield from _rows(subject.name, "", described, tested, options, show)
    if pca is not None:
        label = f"PCA {pca.dimension}"
        yield from _rows(subject.name, label, described.reduced(pca), tested, options, show)


def _rows(
    name: str,
    variant: str,
    described: Described,
    tested: Tested,
    options: RankingOptions,
    show: ShowProgress,
) -> Iterator[Examined]:
    places = tested.split.gallery_places if tested.tokyo_rule else None
    rankings = {"": replace(options, rerank=None)}
    if options.rerank is not None:
        rankings["re-ranked as one set" if options.whole else "re-ranked"] = options
    nearest, cosine = nearest_positives(described, tested)
    for label, chosen in rankings.items():
        with show() as progress:
            ranking = rank_gallery(described.queries, described.gallery, chosen, places, progress)
        right, ranks = judge_answers(ranking.answers, tested.split.positives)
        yield Examined(
            name,
            ", ".join(filter(None, (variant, label))),
            tested,
            described.queries.shape[1],
            ranking,
            right,
            ranks,
            nearest,
            cosine,
            described.image_ms,
        )


def judge_answers(answers: Indices, positives: Sequence[Indices]) -> tuple[NDArray[np.bool_], Indices]:
    """Which answers (Q, K) are right (Q, K), and the rank of the first right one (Q,), or MISSED."""
    right = np.stack([np.isin(row, found) for row, found in zip(answers, positives, strict=True)])
    ranks = [first_right(row, found) for row, found in zip(answers, positives, strict=True)]
    return right, np.array(ranks, np.int64)


def nearest_positives(described: Described, tested: Tested) -> tuple[Indices, NDArray[np.float32]]:
    """Of each query's right references the most similar (Q,), or NOTHING; its cosine (Q,), or NaN."""
    best = np.full(len(described.queries), NOTHING, np.int64)
    cosine = np.full(len(best), np.nan, np.float32)
    for i, positives in enumerate(tested.split.positives):
        if len(positives):
            similarity = described.gallery[positives] @ described.queries[i]
            best[i], cosine[i] = positives[similarity.argmax()], similarity.max()
    return best, cosine


def by_set(rows: Sequence[Examined]) -> Mapping[str, list[Examined]]:
    """Rows of each set, by a name; two sets of one name are told apart by their folders."""
    folders: dict[str, list[str]] = {}
    for row in rows:
        seen = folders.setdefault(row.tested.name, [])
        if row.tested.folder not in seen:
            seen.append(row.tested.folder)
    groups: dict[str, list[Examined]] = {}
    for row in rows:
        alone = len(folders[row.tested.name]) == 1
        name = row.tested.name if alone else f"{row.tested.name} ({row.tested.folder})"
        groups.setdefault(name, []).append(row)
    return groups
