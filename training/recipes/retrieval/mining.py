"""Tuples of a chunk of queries, mined with the network as it is: the same ones in every process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.place_recognition.splits import PlaceSplit
from relpose_training.data.hard_negatives import HardNegatives, MiningOptions, TrainingTuple
from relpose_training.data.reciprocal_pairs import ReciprocalPairs
from relpose_training.data.reranked_distances import SFRS
from relpose_training.recipes.retrieval.plan import Chunk
from relpose_training.recipes.retrieval.shared_descriptors import BLOCK, Describe, SharedDescriptors

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ChunkMining:
    """`options` of the tuples; `gallery` images are looked at, beside those that must be (0: all).

    `compat`: re-rank as OpenIBL does, by distances that are squared twice.
    """

    options: MiningOptions
    gallery: int = 0
    compat: bool = False


class ChunkMiner:
    """Mines tuples of a split. Images are counted through queries and then the gallery."""

    def __init__(self, split: PlaceSplit, mining: ChunkMining) -> None:
        self.split, self.mining = split, mining
        self.negatives = HardNegatives(split.positives, split.near, mining.options)

    def mine(self, chunk: Chunk, describe: Describe) -> list[TrainingTuple]:
        """A tuple for each query. Raises DatasetError where there are too few negatives.

        In later stages (generations of SFRS) difficult positives are found by re-ranking, among the
        neighbours of all images; else they are the nearest.
        """
        rerank = chunk.stage > 0 and self.mining.options.difficult > 0
        images = self._looked_at(chunk, all_queries=rerank and not self.mining.gallery)
        place = {number: k for k, number in enumerate(images.tolist())}
        described = describe(images.tolist())
        total, among = len(self.split.queries), images >= len(self.split.queries)
        gallery = images[among] - total
        pairs = self._pairs(described) if rerank else None
        found: list[TrainingTuple] = []
        for start in range(0, len(chunk.queries), BLOCK):
            queries = chunk.queries[start : start + BLOCK]
            distances = np.full((len(queries), len(self.split.gallery)), np.inf, np.float32)
            distances[:, gallery] = described.distances([place[q] for q in queries])[:, among]
            others = None if pairs is None else self._reranked(pairs, queries, distances, place)
            found += self.negatives.mine(queries, distances, others)
        return found

    def _looked_at(self, chunk: Chunk, all_queries: bool) -> NDArray[np.int64]:
        """Numbers of the images that are described, ascending."""
        total, size = len(self.split.queries), len(self.split.gallery)
        queries = np.arange(total) if all_queries else np.unique(chunk.queries)
        gallery = np.arange(size)
        if self.mining.gallery and self.mining.gallery < size:
            rng = np.random.default_rng([self.mining.options.seed, chunk.steps.start, 5])
            drawn = rng.choice(size, self.mining.gallery, replace=False)
            known = [self.negatives.positives(q) for q in chunk.queries]
            known += [self.negatives.last_negatives(q) for q in chunk.queries]
            gallery = np.unique(np.concatenate([drawn, *known]))
        return np.concatenate([queries, gallery + total]).astype(np.int64)

    def _pairs(self, described: SharedDescriptors) -> ReciprocalPairs:
        options = replace(SFRS, k1=min(SFRS.k1, described.count - 1))
        nearest = described.neighbours(options.k1 + 1)
        power = 2 if self.mining.compat else 1
        return ReciprocalPairs(nearest.ranking, nearest.largest, described.distances, options, power)

    def _reranked(
        self, pairs: ReciprocalPairs, queries: Sequence[int], distances: Floats, place: dict[int, int]
    ) -> Floats:
        """Distances (n, G) after re-ranking, of the nearest positives alone; others stay."""
        total = len(self.split.queries)
        near = [self.negatives.nearest_positives(q, row) for q, row in zip(queries, distances, strict=True)]
        wanted = [
            (place[query], np.array([place[total + int(g)] for g in positives], np.int64))
            for query, positives in zip(queries, near, strict=True)
        ]
        reranked = distances.copy()
        for row, positives, values in zip(reranked, near, pairs.rerank(wanted), strict=True):
            row[positives] = values
        return reranked

    def state_dict(self) -> dict[str, Any]:
        """For a saved state."""
        return self.negatives.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a saved state."""
        self.negatives.load_state_dict(state)
