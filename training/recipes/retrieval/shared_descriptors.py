"""Descriptors of many images, each process holding its share, and distances between them for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.evaluation.retrieval_recall import nearest_first, squared_distances
from relpose_training.engine.device import Device

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

BLOCK = 256
"""Images that are compared with all others at once: what goes between processes, and is held, is of them."""


class Neighbours(NamedTuple):
    """The nearest (N, k) to each of N images, itself among them, and its largest squared distance (N,)."""

    ranking: Indices
    largest: Floats


class SharedDescriptors:
    """Descriptors of `count` images, `share` (ceil(count / processes), D) of them in this process.

    Shares follow each other by rank; what the last has beyond `count` (`contiguous_share`) is not used. All
    methods are called by all processes with the same arguments, and give all of them the same.
    """

    def __init__(self, share: Floats, count: int, device: Device) -> None:
        self.count, self.device = count, device
        self._share, self._first = share, len(share) * device.place.rank
        self._used = max(min(len(share), count - self._first), 0)

    def rows(self, images: Sequence[int]) -> Floats:
        """Descriptors (n, D) of some images."""
        if self.device.place.world == 1:
            return self._share[np.asarray(images, np.int64)]
        numbers = np.asarray(images, np.int64) - self._first
        mine = np.flatnonzero((numbers >= 0) & (numbers < self._used))
        own = torch.from_numpy(self._share[numbers[mine]])
        found = np.empty((len(images), self._share.shape[1]), np.float32)
        for places, rows in self.device.gather([torch.from_numpy(mine), own]):
            found[places.numpy()] = rows.numpy()
        return found

    def distances(self, images: Sequence[int]) -> Floats:
        """Squared distances (n, count) of some images to all."""
        own = self._own_distances(images)
        parts = self.device.gather(torch.from_numpy(own))
        return np.concatenate([part.numpy() for part in parts], axis=1)

    def neighbours(self, count: int) -> Neighbours:
        """The `count` nearest to each image."""
        rankings, largest = [], []
        for start in range(0, self.count, BLOCK):
            own = self._own_distances(range(start, min(start + BLOCK, self.count)))
            nearest = nearest_first(own, count)
            values = np.take_along_axis(own, nearest, axis=1)
            most = own.max(axis=1, initial=0)
            parts = self.device.gather([torch.from_numpy(a) for a in (nearest + self._first, values, most)])
            numbers, found, furthest = (_joined(parts, k) for k in range(3))
            rankings.append(np.take_along_axis(numbers, nearest_first(found, count), axis=1))
            largest.append(furthest.reshape(len(parts), -1).max(axis=0))
        return Neighbours(np.concatenate(rankings), np.concatenate(largest))

    def _own_distances(self, images: Sequence[int]) -> Floats:
        """Squared distances (n, share); that of an image to itself is 0, without rounding."""
        rows, share = self.rows(images), self._share[: self._used]
        compare = _compare_on_gpu if self.device.torch_device.type == "cuda" else squared_distances
        own = compare(rows, share)
        numbers = np.asarray(images, np.int64) - self._first
        mine = np.flatnonzero((numbers >= 0) & (numbers < self._used))
        own[mine, numbers[mine]] = 0
        return own


def _joined(parts: list[list[torch.Tensor]], which: int) -> NDArray[np.generic]:
    """One array of each process's, side by side."""
    return np.concatenate([part[which].numpy() for part in parts], axis=-1)


def _compare_on_gpu(rows: Floats, share: Floats) -> Floats:
    """`squared_distances` on a GPU, to which the share goes in parts."""
    left = torch.from_numpy(rows).cuda()
    parts = []
    for start in range(0, len(share), 16 * BLOCK):
        right = torch.from_numpy(share[start : start + 16 * BLOCK]).cuda()
        norms = left.square().sum(dim=1)[:, None] + right.square().sum(dim=1)
        parts.append((norms - 2 * (left @ right.T)).clamp(min=0).cpu().numpy())
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(rows), 0), np.float32)


Describe = Callable[[Sequence[int]], SharedDescriptors]
"""Describes images by their numbers, with the network as it is: all processes together."""
