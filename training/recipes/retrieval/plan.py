"""When queries are trained with: epochs of chunks, each chunk a round of steps, in the stages of a run."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate, pairwise

from relpose_training.data.query_chunks import query_chunks


@dataclass(frozen=True)
class Chunk:
    """The queries of one round, in their order; its steps, and the stage they are in."""

    queries: tuple[int, ...]
    steps: range
    stage: int


@dataclass(frozen=True)
class QueryPlan:
    """Of `queries` in all, `chunk` in a round, `step_tuples` of all processes in a step.

    `starts`: first step of each stage, where a new epoch begins. An epoch has every query once; a step that
    the last queries of a chunk do not fill has some of the chunk's twice. `first_epochs`: number of each
    stage's first epoch, which its order follows from, with the seed; unset: they are counted through.
    """

    queries: int
    chunk: int
    step_tuples: int
    starts: tuple[int, ...] = (0,)
    seed: int = 0
    first_epochs: tuple[int, ...] | None = None

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        whole, rest = divmod(self.queries, self.chunk)
        return whole * self._steps_of(self.chunk) + self._steps_of(rest)

    def chunk_at(self, step: int) -> Chunk:
        """The round that a step is in. A stage's last one may be cut off by the next stage."""
        stage = bisect_right(self.starts, step) - 1
        start = self.starts[stage]
        epoch, within = divmod(step - start, self.epoch_steps)
        number = within // self._steps_of(self.chunk)
        first = start + epoch * self.epoch_steps + number * self._steps_of(self.chunk)
        order = query_chunks(self.queries, self.chunk, self._first_epoch(stage) + epoch, self.seed)
        queries = order[number]
        stop = first + self._steps_of(len(queries))
        if stage + 1 < len(self.starts):
            stop = min(stop, self.starts[stage + 1])
        used = queries[: (stop - first) * self.step_tuples]
        return Chunk(tuple(used), range(first, stop), stage)

    def _steps_of(self, queries: int) -> int:
        return -(-queries // self.step_tuples)

    def _first_epoch(self, stage: int) -> int:
        if self.first_epochs is not None:
            return self.first_epochs[stage]
        lengths = (-(-(b - a) // self.epoch_steps) for a, b in pairwise(self.starts))
        return [0, *accumulate(lengths)][stage]
