"""Queries, gallery, and which gallery images show a query's place: by distance on the ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.place_recognition.places import PlaceImage, PlaceTable
from relpose_ros.errors import DatasetError

Indices = NDArray[np.int64]
Positions = NDArray[np.float64]

SPLITS = ("train", "val", "test")
TRAIN_RADIUS, RADIUS = 10.0, 25.0
"""Metres, inclusive: to train with, and to count as found. What is within RADIUS is no negative either."""


@dataclass(frozen=True)
class PlaceSplit:
    """Images of one split; gallery indices, ascending, for each query.

    `positives`: of the same position but another place (panorama); `near`: all too near to be negatives,
    the query's own place included. (OpenIBL calls the latter `train_neg`, though it lists what is not.)
    """

    queries: tuple[PlaceImage, ...]
    gallery: tuple[PlaceImage, ...]
    positives: tuple[Indices, ...]
    near: tuple[Indices, ...]

    @property
    def gallery_places(self) -> Indices:
        """Numbers (G,) of the gallery's places, for recall with one answer a place."""
        return np.array([image.place for image in self.gallery], np.int64)


@dataclass(frozen=True)
class PlaceDataset:
    """Train, validation and test split; image files are below the folder `images`.

    A split may be empty: `split()` gives those that are not. `dropped`: how many queries of each split were
    left out because no gallery image shows their place.
    """

    name: str
    images: Path
    train: PlaceSplit
    val: PlaceSplit
    test: PlaceSplit
    dropped: Mapping[str, int] = field(default_factory=dict)

    def path(self, image: PlaceImage) -> Path:
        """Where the file of an image is."""
        return self.images / image.file

    def split(self, name: str) -> PlaceSplit:
        """The split of that name. Raises DatasetError, saying what to do, if it has no queries."""
        splits: dict[str, PlaceSplit] = {split: getattr(self, split) for split in SPLITS}
        if name not in splits:
            raise DatasetError(f"expected a split of {', '.join(SPLITS)}, got {name!r}")
        if not splits[name].queries:
            there = [other for other, split in splits.items() if split.queries]
            lost = self.dropped.get(name, 0)
            raise DatasetError(
                f"{self.name}: its {name} split has no queries"
                f"{f' ({lost} were left out: no gallery image shows their place)' if lost else ''}, only "
                f"{', '.join(there) or 'nothing'} has; take another set, or divide this one with "
                f"`relpose prepare places ... --split train=0.7,val=0.1,test=0.2`"
            )
        return splits[name]

    def check_images(self, *splits: str) -> None:
        """Raises DatasetError naming the first files of these splits (default: all) that are missing."""
        chosen: list[PlaceSplit] = [getattr(self, name) for name in splits or SPLITS]
        images = sorted({image for split in chosen for image in (*split.queries, *split.gallery)})
        missing = [image.file for image in images if not self.path(image).is_file()]
        if missing:
            raise DatasetError(
                f"{self.images}: {len(missing)} of {len(images)} images of {self.name} are missing: "
                f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}; unpack all archives there"
            )

    def summary(self) -> str:
        """A table of how many places and images there are, and how many queries were left out."""
        lines = [
            f"{self.name}",
            "  subset        | # pids | # images",
            "  ---------------------------------",
        ]
        for name in SPLITS:
            split = getattr(self, name)
            for side, images in (("query", split.queries), ("gallery", split.gallery)):
                places = len({image.place for image in images})
                lines.append(f"  {f'{name}_{side}':<13} | {places:5d}  | {len(images):8d}")
        for name, count in self.dropped.items():
            if count:
                lines.append(f"  left out: {count} queries of {name}, whose place no gallery image shows")
        return "\n".join(lines) + "\n"


EMPTY = PlaceSplit((), (), (), ())


def place_dataset(table: PlaceTable, images: Path) -> PlaceDataset:
    """The splits of a table. Queries without a positive are left out and counted: nothing could find them."""
    splits = {name: place_split(table, name, TRAIN_RADIUS if name == "train" else RADIUS) for name in SPLITS}
    return matched_dataset(table.name, images, splits)


def matched_dataset(name: str, images: Path, splits: Mapping[str, PlaceSplit]) -> PlaceDataset:
    """A dataset of these splits (those that are not given are empty), without unmatched queries."""
    kept = {split: without_unmatched(splits.get(split, EMPTY)) for split in SPLITS}
    dropped = {
        split: len(whole.queries) - len(kept[split].queries)
        for split, whole in splits.items()
        if len(kept[split].queries) < len(whole.queries)
    }
    return PlaceDataset(name, images, kept["train"], kept["val"], kept["test"], dropped)


def place_split(table: PlaceTable, name: str, radius: float) -> PlaceSplit:
    """Split `name` (train, val, test) with positives up to `radius` metres away."""
    queries, gallery = table.images(f"q_{name}"), table.images(f"db_{name}")
    places = np.array([image.place for image in gallery], np.int64)
    at = _positions(queries), _positions(gallery)
    positives = tuple(
        found[places[found] != query.place] for query, found in zip(queries, within(*at, radius), strict=True)
    )
    return PlaceSplit(queries, gallery, positives, within(*at, RADIUS))


def within(queries: Positions, gallery: Positions, radius: float) -> tuple[Indices, ...]:
    """For each query (Q, D) the numbers, ascending, of gallery positions (G, D) up to `radius` away."""
    from scipy.spatial import KDTree

    if not len(gallery):
        return tuple(np.zeros(0, np.int64) for _ in queries)
    found = KDTree(gallery).query_ball_point(queries, radius, return_sorted=True)
    return tuple(np.array(indices, np.int64) for indices in found)


def _positions(images: Sequence[PlaceImage]) -> Positions:
    return np.array([(image.x, image.y) for image in images], np.float64).reshape(-1, 2)


def without_unmatched(split: PlaceSplit) -> PlaceSplit:
    """The split without the queries that have no positive."""
    kept = [i for i, positives in enumerate(split.positives) if len(positives)]
    return PlaceSplit(
        tuple(split.queries[i] for i in kept),
        split.gallery,
        tuple(split.positives[i] for i in kept),
        tuple(split.near[i] for i in kept),
    )
