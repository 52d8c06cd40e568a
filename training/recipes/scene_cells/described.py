"""Cells of all training images, described once: what does not learn is not computed again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.networks.scene_coordinates.oriented_gradients import CHANNELS, OrientedGradients
from relpose_ros.progress import Progress
from relpose_training.data.scene_views import SceneViews
from relpose_training.data.shards import Sample
from relpose_training.data.stream import Dataset

SEED_WORDS = 7
"""Sets these draws apart from those of the training loop."""

MAX_KEPT = 3
"""Described sets beside a new one: each has some hundred MB."""

FEWEST = 16
"""Images with fewer known cells are left out."""


class DescribedCells(Dataset):
    """Samples: `descriptors` (n, 320) uint8, 255 times the value, and `coordinates` (n, 3) of n cells.

    One group, a sample an image or copy of one; the cells are drawn anew each time.
    """

    def __init__(self, folder: Path, cells: int) -> None:
        self.folder, self.cells = folder, cells
        self._open()

    def _open(self) -> None:
        self.descriptors: NDArray[np.uint8] = np.load(self.folder / "descriptors.npy", mmap_mode="r")
        self.coordinates: NDArray[np.float32] = np.load(self.folder / "coordinates.npy", mmap_mode="r")

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "cells": self.cells}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def group_sizes(self) -> list[int]:
        return [len(self.coordinates)]

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        chosen = np.sort(generator.choice(self.coordinates.shape[1], self.cells, replace=False))
        return {
            "descriptors": np.array(self.descriptors[item][chosen]),
            "coordinates": np.array(self.coordinates[item][chosen]),
        }


def describe_views(
    plain: SceneViews,
    copied: SceneViews,
    copies: int,
    stored: int,
    seed: int,
    folder: Path,
    progress: Progress,
) -> Path:
    """Describe the images of `plain` once and those of `copied` `copies` times; returns the folder of it.

    It lies in `folder`, named by what went into it, and is used again if it is there; of others the last
    MAX_KEPT are kept. Raises DatasetError if
    no image has enough cells with a known coordinate.
    """
    what = {
        "shards": [vars(plain.shards.index.shards[n]) for n in plain.numbers],
        "views": [plain.canvas, plain.height, str(copied.augmentation), copies, stored, seed],
    }
    key = hashlib.sha256(json.dumps(what, default=str).encode()).hexdigest()[:16]
    there = folder / f"described-{key}"
    if there.is_dir():
        return there
    folder.mkdir(parents=True, exist_ok=True)
    _forget_old(folder)
    with tempfile.TemporaryDirectory(prefix=".described.", dir=folder) as name:
        part = Path(name) / "whole"
        part.mkdir()
        _write(part, plain, copied, copies, stored, seed, progress)
        os.replace(part, there)
    return there


def _forget_old(folder: Path) -> None:
    """Runs that still read them keep what they have open."""
    for old in sorted(folder.glob("described-*"), key=os.path.getmtime)[:-MAX_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _write(
    part: Path, plain: SceneViews, copied: SceneViews, copies: int, stored: int, seed: int, progress: Progress
) -> None:
    count = sum(plain.group_sizes()) * (1 + copies)
    shape = (count, stored)
    descriptors = np.lib.format.open_memmap(part / "all.npy", "w+", np.uint8, (*shape, CHANNELS))
    coordinates = np.zeros((*shape, 3), np.float32)
    kept = 0
    describe = OrientedGradients()
    for done, (sample, generator) in enumerate(_samples(plain, copied, copies, seed)):
        known = np.flatnonzero(sample["known"] & sample["inside"])
        progress(done, count, f"describing image {done + 1} of {count}, once")
        if len(known) < FEWEST:
            continue
        chosen = generator.choice(known, stored, replace=len(known) < stored)
        with torch.inference_mode():
            said = describe(torch.from_numpy(sample["image"])[None])[0].flatten(1).T.numpy()
        descriptors[kept] = np.rint(255 * said[chosen]).clip(0, 255).astype(np.uint8)
        coordinates[kept] = sample["coordinates"].reshape(3, -1).T[chosen]
        kept += 1
    if not kept:
        raise DatasetError(
            f"{plain.shards.url}: no image has {FEWEST} cells with a known coordinate, which this recipe "
            "learns from: prepare it with depth or --landmarks, or train scene_coordinates, supervision=rgb"
        )
    np.save(part / "descriptors.npy", descriptors[:kept])
    np.save(part / "coordinates.npy", coordinates[:kept])
    (part / "all.npy").unlink()


def _samples(
    plain: SceneViews, copied: SceneViews, copies: int, seed: int
) -> Iterator[tuple[Sample, np.random.Generator]]:
    """Every image as it is, then every copy."""
    for copy in range(1 + copies):
        views = copied if copy else plain
        for group, size in enumerate(views.group_sizes()):
            for item in range(size):
                generator = np.random.default_rng([seed, copy, group, item, SEED_WORDS])
                yield views.sample(group, item, generator), generator
