"""Rounds of retrieval: before each, descriptors are made anew and tuples mined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_training.data.hard_negatives import TrainingTuple
from relpose_training.data.query_chunks import interleaved_share
from relpose_training.data.stream import Ticket
from relpose_training.engine.rounds import Rounds, Run
from relpose_training.recipes.retrieval.mining import ChunkMiner
from relpose_training.recipes.retrieval.plan import Chunk, QueryPlan
from relpose_training.recipes.retrieval.shared_descriptors import Describe

VALID = "valid"
"""Key of a batch: which difficult positives (T, n) are not padding."""

USABLE = "usable"
"""Key of a batch: which gallery images (T * m) of its tuples are negatives of each query, (T, T * m)."""


class MinedRounds(Rounds):
    """Batches of `run.batch_size` tuples of images of `run.data`, whose groups are queries and gallery.

    All processes mine the whole chunk, each takes every so-manieth tuple. A tuple has its query, its
    positive, the negatives and `difficult` difficult positives, of which those that are missing are the
    positive once more. `share`: batches say which images of other tuples are negatives. `say` is told the
    step and what goes on.
    """

    def __init__(
        self,
        run: Run,
        plan: QueryPlan,
        miner: ChunkMiner,
        describe: Describe,
        say: Callable[[int, str], None] = lambda *_: None,
        share: bool = False,
    ) -> None:
        self.run, self.plan, self.miner, self.describe, self.say = run, plan, miner, describe, say
        self.share = share
        self.difficult = miner.mining.options.difficult
        self.images = 2 + miner.mining.options.negatives + self.difficult
        self.start = -1
        self.tuples = np.zeros((0, self.images), np.int64)
        """Of the round (n, images): gallery numbers after the query's; -1 where a difficult positive is
        missing."""

    def begin(self, batch: int) -> range:
        chunk = self.plan.chunk_at(batch // self.run.accumulate)
        if chunk.steps.start != self.start:
            self.say(chunk.steps.start, f"mining tuples of {len(chunk.queries)} queries")
            self.tuples = self._padded(self._mine(chunk))
            self.start = chunk.steps.start
        self._share = self._share_of(chunk)
        return range(batch, chunk.steps.stop * self.run.accumulate)

    def _mine(self, chunk: Chunk) -> list[TrainingTuple]:
        return self.miner.mine(chunk, self.describe)

    def _padded(self, tuples: list[TrainingTuple]) -> NDArray[np.int64]:
        rows = np.full((len(tuples), self.images), -1, np.int64)
        for row, (query, positive, negatives, difficult) in zip(rows, tuples, strict=True):
            known = (query, positive, *negatives, *difficult)
            row[: len(known)] = known
        return rows

    def _share_of(self, chunk: Chunk) -> NDArray[np.int64]:
        """Rows of `tuples` (batches, batch_size) of this process."""
        place, run = self.run.device.place, self.run
        batches = len(chunk.steps) * run.accumulate
        wanted = batches * run.batch_size * place.world
        rows = [k % len(self.tuples) for k in range(wanted)]
        return np.array(interleaved_share(rows, place.rank, place.world)).reshape(batches, -1)

    def _tuples_of(self, batch: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.tuples[self._share[batch - self.start * self.run.accumulate]]
        return found

    def tickets(self, batch: int) -> list[Ticket]:
        found = self._tuples_of(batch)
        filled = np.where(found < 0, found[:, 1:2], found)
        groups = np.minimum(np.arange(self.images), 1)
        first = batch * filled.size
        return [
            Ticket(first + k, int(groups[k % self.images]), int(item))
            for k, item in enumerate(filled.ravel())
        ]

    def extras(self, batch: int) -> dict[str, Tensor]:
        tuples, found = self._tuples_of(batch), {}
        if self.difficult:
            found[VALID] = tuples[:, -self.difficult :] >= 0
        if self.share:
            shown = tuples[:, 1:].ravel()
            found[USABLE] = np.stack([self.miner.negatives.are_negative(row[0], shown) for row in tuples])
        return {key: torch.from_numpy(value) for key, value in found.items()}

    def state_dict(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "tuples": torch.from_numpy(self.tuples),
            "miner": self.miner.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.start, self.tuples = int(state["start"]), state["tuples"].numpy().copy()
        self.miner.load_state_dict(state["miner"])
