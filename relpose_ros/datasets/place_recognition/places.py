"""Places and the images that were taken there: what every place recognition dataset comes down to."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from relpose_ros.errors import DatasetError

SUBSETS = ("q_train", "db_train", "q_val", "db_val", "q_test", "db_test")
"""Queries and gallery of the three splits, by the names that OpenIBL gave them."""


class PlaceImage(NamedTuple):
    """`file` below the image folder, `place` its number in the table, `x` and `y` UTM metres.

    Images sort by file, and so do all lists of them.
    """

    file: str
    place: int
    x: float
    y: float


class Place(NamedTuple):
    """One position (UTM metres) and the files of its images, in the order in which they were listed."""

    images: tuple[str, ...]
    x: float
    y: float


class Located(NamedTuple):
    """An image file as a dataset lists it; images of one place have the same `key`."""

    key: Hashable
    file: str
    x: float
    y: float


@dataclass(frozen=True)
class PlaceTable:
    """All places of a dataset, and which of them (by number) each of SUBSETS has."""

    name: str
    places: tuple[Place, ...]
    subsets: Mapping[str, tuple[int, ...]]

    def images(self, subset: str) -> tuple[PlaceImage, ...]:
        """The images of one of SUBSETS, sorted."""
        found = (
            PlaceImage(file, number, self.places[number].x, self.places[number].y)
            for number in self.subsets[subset]
            for file in self.places[number].images
        )
        return tuple(sorted(found))


def group_places(images: Iterable[Located], origin: str) -> list[Place]:
    """Places by key, in order of appearance. Raises DatasetError if one key has two positions."""
    files: dict[Hashable, list[str]] = {}
    positions: dict[Hashable, tuple[float, float]] = {}
    for image in images:
        first = positions.setdefault(image.key, (image.x, image.y))
        if first != (image.x, image.y):
            raise DatasetError(
                f"{origin}: expected one position for all images of place {image.key!r}, got {first} and "
                f"{(image.x, image.y)} of {image.file!r}; is this the published file?"
            )
        files.setdefault(image.key, []).append(image.file)
    return [Place(tuple(names), *positions[key]) for key, names in files.items()]


class PlaceNumbers:
    """Gives places their numbers: subset after subset, in the order in which they are added."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.subsets: dict[str, list[int]] = {subset: [] for subset in SUBSETS}

    def add(self, place: Place, *subsets: str) -> None:
        """The next number goes to `place`, and into each of `subsets`."""
        for subset in subsets:
            self.subsets[subset].append(len(self.places))
        self.places.append(place)

    def table(self, name: str) -> PlaceTable:
        """Everything that was added."""
        subsets = {subset: tuple(numbers) for subset, numbers in self.subsets.items()}
        return PlaceTable(name, tuple(self.places), subsets)
