"""Batches in rounds of steps: at a round's start it is decided which samples its batches are of.

Prioritised replay looks at the errors of the rounds before, retrieval mines tuples with the network as it is.
Within a round nothing is decided, so that batches can be loaded ahead by any number of processes, and a run
that was stopped goes on with the same ones.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils.data import Sampler

from relpose_training.data.stream import Dataset, Ticket
from relpose_training.engine.device import Batch, Device

if TYPE_CHECKING:
    from relpose_training.engine.recipe import TrainingModule


@dataclass(frozen=True)
class Run:
    """What rounds may look at: the module with the weights as they are at the time, and what trains it.

    `batch_size` samples are in a batch of this process, `accumulate` batches in a step; `seed` is this
    process's own.
    """

    module: TrainingModule
    device: Device
    data: Dataset
    batch_size: int
    accumulate: int
    seed: int


class Rounds(ABC):
    """Which samples each batch of this process has. Batches are numbered from 0, all through the run."""

    @abstractmethod
    def begin(self, batch: int) -> range:
        """The batches of the round that `batch` is in, from this one on.

        Decides on the round, unless it has done so before: also before the run was stopped (`state_dict`).
        Called between two steps, by all processes alike, which may exchange things here. A round is of whole
        steps, and begins and ends with a recipe's stages.
        """

    @abstractmethod
    def tickets(self, batch: int) -> list[Ticket]:
        """The samples of a batch of this round. No two tickets of a run are equal."""

    def extras(self, batch: int) -> dict[str, Tensor]:
        """What a batch of this round has beside its samples."""
        return {}

    def visited(self, errors: Tensor | None) -> None:  # noqa: B027 (not all rounds look at errors)
        """Told, batch after batch, the `errors` (B,) that the module gave; still on the device."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors for a saved state: what was decided, and what the next rounds need."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From a saved state."""


@dataclass
class RoundOrder(Sampler[list[Ticket]]):
    """The batches of one round, each time it is gone through: of the round that `rounds` has begun.

    `seconds` is how long the last beginning took.
    """

    rounds: Rounds
    batches: range = range(0)
    seconds: float = 0.0

    def __iter__(self) -> Iterator[list[Ticket]]:
        return map(self.rounds.tickets, self.batches)

    def begin(self, batch: int) -> None:
        """Go to the round that `batch` is in."""
        started = time.monotonic()
        self.batches = self.rounds.begin(batch)
        self.seconds = time.monotonic() - started


def batches_in_rounds(
    loader: Iterable[Batch],
    order: RoundOrder,
    start: int,
    feed: Callable[[Iterator[Batch]], Generator[Batch, None, None]],
) -> Generator[Batch, None, None]:
    """Batches on the device without end, from number `start` on, with their extras.

    `loader` reads what `order` says; `feed` brings batches to the device, and is called for every round:
    nothing of the next one is loaded before this one's last step is done.
    """
    while True:
        order.begin(start)
        yield from feed(_whole(loader, order))
        start = order.batches.stop


def _whole(loader: Iterable[Batch], order: RoundOrder) -> Iterator[Batch]:
    for number, batch in zip(order.batches, loader, strict=True):
        yield {**batch, **order.rounds.extras(number)}
