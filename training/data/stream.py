"""Samples in an order that follows from the seed alone, whatever the number of loading processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from signal import SIG_IGN, SIGINT, SIGTERM, signal
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from relpose_ros.errors import DatasetError
from relpose_training.data.shards import Sample
from relpose_training.data.worker_processes import die_with_the_parent


class Ticket(NamedTuple):
    """One sample of one epoch: all that a loading process needs to know."""

    epoch: int
    group: int
    item: int


class Dataset(ABC):
    """Samples in groups (shards). Every sample of a dataset has the same keys, shapes and types."""

    @abstractmethod
    def group_sizes(self) -> list[int]:
        """How many samples each group has."""

    @abstractmethod
    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        """One sample. What is random about it is drawn from `generator`."""

    def kinds(self) -> NDArray[np.int64] | None:
        """Which kind each sample is of (N,), groups end to end; None where all are of one."""
        return None


@dataclass(frozen=True)
class Order(Sampler[list[Ticket]]):
    """Batches of tickets, endless: groups in random order, samples in random order within their group.

    An epoch's last batch is filled from the next epoch. `start` batches are left out, which costs nothing
    but arithmetic: a resumed run goes on where it was. With `shuffle` off there is one epoch, in order, and
    the last batch may be short.
    """

    sizes: tuple[int, ...]
    batch_size: int
    seed: int = 0
    start: int = 0
    shuffle: bool = True

    def __iter__(self) -> Iterator[list[Ticket]]:
        total = sum(self.sizes)
        skip = self.start * self.batch_size
        epoch = skip // total if self.shuffle else 0
        skip -= epoch * total
        batch: list[Ticket] = []
        while True:
            for ticket in self._epoch(epoch, skip):
                batch.append(ticket)
                if len(batch) == self.batch_size:
                    yield batch
                    batch = []
            if not self.shuffle:
                break
            epoch, skip = epoch + 1, 0
        if batch:
            yield batch

    def _epoch(self, epoch: int, skip: int) -> Iterator[Ticket]:
        """The tickets of an epoch without the first `skip`; groups that are skipped whole cost nothing."""
        groups = np.arange(len(self.sizes))
        if self.shuffle:
            np.random.default_rng([self.seed, epoch, 0, 1]).shuffle(groups)
        for group in groups.tolist():
            size = self.sizes[group]
            if skip >= size:
                skip -= size
                continue
            items = np.arange(size)
            if self.shuffle:
                np.random.default_rng([self.seed, epoch, group, 3]).shuffle(items)
            yield from map(partial(Ticket, epoch, group), items[skip:].tolist())
            skip = 0


class _Tickets(torch.utils.data.Dataset[dict[str, Tensor]]):
    """The view that DataLoader has of a dataset."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, ticket: Ticket) -> dict[str, Tensor]:
        generator = np.random.default_rng([self.seed, *ticket, 2])
        sample = self.dataset.sample(ticket.group, ticket.item, generator)
        return {name: torch.from_numpy(np.asarray(value, order="C")) for name, value in sample.items()}


def batches(
    dataset: Dataset, batch_size: int, seed: int, workers: int = 0, start: int = 0, shuffle: bool = True
) -> DataLoader[dict[str, Tensor]]:
    """Batches on the host, loaded ahead by `workers` processes. Any number of them gives the same batches.

    Raises DatasetError if there is no sample to shuffle.
    """
    order = Order(tuple(dataset.group_sizes()), batch_size, seed, start, shuffle)
    if shuffle and not sum(order.sizes):
        raise DatasetError(f"{type(dataset).__name__}: expected samples to train on, there are none")
    return load(dataset, order, seed, workers)


def load(
    dataset: Dataset, order: Sampler[list[Ticket]], seed: int, workers: int = 0, again: bool = False
) -> DataLoader[dict[str, Tensor]]:
    """The batches of tickets of an `order`, loaded ahead by `workers` processes.

    `again`: it will be gone through several times, and `order` give other batches then; the processes stay.
    """
    return DataLoader(
        _Tickets(dataset, seed),
        batch_sampler=order,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
        persistent_workers=again and workers > 0,
        generator=torch.Generator(),  # else it would draw from the global one, and a resumed run would differ
        multiprocessing_context="forkserver" if workers else None,
        worker_init_fn=_start_worker if workers else None,
    )


def _start_worker(_worker: int) -> None:
    """A scheduler signals the whole group; the trainer still needs batches to get to the next step."""
    signal(SIGTERM, SIG_IGN)
    signal(SIGINT, SIG_IGN)
    die_with_the_parent()
