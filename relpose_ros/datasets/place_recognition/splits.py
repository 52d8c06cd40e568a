"""Queries, gallery, and which gallery images show a query's place: by distance on the ground."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.place_recognition.places import PlaceImage, PlaceTable
from relpose_ros.errors import DatasetError

Indices = NDArray[np.int64]

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
    """Train, validation and test split; image files are below the folder `images`."""

    name: str
    images: Path
    train: PlaceSplit
    val: PlaceSplit
    test: PlaceSplit

    def path(self, image: PlaceImage) -> Path:
        """Where the file of an image is."""
        return self.images / image.file

    def summary(self) -> str:
        """A table of how many places and images there are."""
        lines = [
            f"{self.name}",
            "  subset        | # pids | # images",
            "  ---------------------------------",
        ]
        for name, split in (("train", self.train), ("val", self.val), ("test", self.test)):
            for side, images in (("query", split.queries), ("gallery", split.gallery)):
                places = len({image.place for image in images})
                lines.append(f"  {f'{name}_{side}':<13} | {places:5d}  | {len(images):8d}")
        return "\n".join(lines) + "\n"


def place_dataset(table: PlaceTable, images: Path, drop_unmatched: bool = False) -> PlaceDataset:
    """The splits of a table.

    Training queries without a positive are left out. In validation and test they are an error, or left
    out with `drop_unmatched`: no retrieval could ever find them. Raises DatasetError.
    """
    train = _without_unmatched(place_split(table, "train", TRAIN_RADIUS))
    others = {name: place_split(table, name, RADIUS) for name in ("val", "test")}
    for name, split in others.items():
        if drop_unmatched:
            others[name] = _without_unmatched(split)
        _check_matched(others[name], f"{table.name}, {name}")
    return PlaceDataset(table.name, images, train, others["val"], others["test"])


def place_split(table: PlaceTable, name: str, radius: float) -> PlaceSplit:
    """Split `name` (train, val, test) with positives up to `radius` metres away."""
    queries, gallery = table.images(f"q_{name}"), table.images(f"db_{name}")
    places = np.array([image.place for image in gallery], np.int64)
    positives = tuple(
        found[places[found] != query.place]
        for query, found in zip(queries, _within(queries, gallery, radius), strict=True)
    )
    return PlaceSplit(queries, gallery, positives, _within(queries, gallery, RADIUS))


def _within(
    queries: Sequence[PlaceImage], gallery: Sequence[PlaceImage], radius: float
) -> tuple[Indices, ...]:
    """Gallery indices, ascending, of what is at most `radius` away from each query."""
    from scipy.spatial import KDTree

    if not gallery:
        return tuple(np.zeros(0, np.int64) for _ in queries)
    tree = KDTree([(image.x, image.y) for image in gallery])
    found = (tree.query_ball_point((query.x, query.y), radius, return_sorted=True) for query in queries)
    return tuple(np.array(indices, np.int64) for indices in found)


def _without_unmatched(split: PlaceSplit) -> PlaceSplit:
    kept = [i for i, positives in enumerate(split.positives) if len(positives)]
    return PlaceSplit(
        tuple(split.queries[i] for i in kept),
        split.gallery,
        tuple(split.positives[i] for i in kept),
        tuple(split.near[i] for i in kept),
    )


def _check_matched(split: PlaceSplit, origin: str) -> None:
    unmatched = [q.file for q, p in zip(split.queries, split.positives, strict=True) if not len(p)]
    if unmatched:
        raise DatasetError(
            f"{origin}: expected a gallery image of another place within {RADIUS:g} m of each query, "
            f"{len(unmatched)} of {len(split.queries)} have none, the first is {unmatched[0]!r}; "
            "leave them out, or pass drop_unmatched"
        )
