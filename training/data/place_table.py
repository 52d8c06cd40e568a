"""Places out of a table of image files with positions, place names, or both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.place_recognition.image_table import ImageTable, read_image_table
from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.splits import Indices, PlaceSplit, within
from relpose_ros.progress import Progress, silent
from relpose_training.data.place_parts import PlacePart
from relpose_training.data.place_sources import Gathered, PlaceOptions, roles


@dataclass(frozen=True)
class TablePlaces:
    """A CSV table (see `read_image_table`). Its split and role columns are kept to.

    Positives: images of the same place, if the table has places; otherwise those nearer than a distance that
    look, if it has headings, in a similar direction. Near: of the same place or nearer than the distance of
    tests, wherever they look.
    """

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem if self.path.stem != "images" else self.path.resolve().parent.name

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,)

    def gather(self, options: PlaceOptions, work: Path, progress: Progress = silent) -> Gathered:
        table = read_image_table(self.path)
        queries, gallery = _roles(table, options)
        images = _images(table)
        strict, loose = (_alike(table, queries, gallery, r, options.heading) for r in options.distances)
        near = _near(table, queries, gallery, options.distances[1])
        split = PlaceSplit(tuple(images[k] for k in queries), tuple(images[k] for k in gallery), strict, near)
        assigned = ((), ()) if not table.splits else tuple(
            tuple(table.splits[k] for k in side) for side in (queries, gallery)
        )  # fmt: skip
        loads = {file: ImageFile(table.folder / file) for file in table.files}
        part = PlacePart(self.name, split, loose, (assigned[0], assigned[1]))
        return Gathered(part, loads, "place names" if table.places else "distance on the ground")


def _roles(table: ImageTable, options: PlaceOptions) -> tuple[Indices, Indices]:
    if not table.roles:
        return roles(["map"] * len(table.files), options)
    role = np.array(table.roles)
    return np.flatnonzero(role != "gallery"), np.flatnonzero(role != "query")


def _images(table: ImageTable) -> list[PlaceImage]:
    """Numbered by place, or each for itself."""
    keys = table.places or table.files
    number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    ground = table.ground.tolist()
    return [PlaceImage(f, number[k], *at) for f, k, at in zip(table.files, keys, ground, strict=True)]


def _alike(
    table: ImageTable, queries: Indices, gallery: Indices, radius: float, heading: float
) -> tuple[Indices, ...]:
    """Positives: not the image itself."""
    if table.places:
        found = _same_place(table, queries, gallery)
    else:
        found = within(table.points[queries], table.points[gallery], radius)
    if table.headings is not None and not table.places:
        found = tuple(
            near[_turned(table.headings[gallery[near]] - table.headings[query]) <= np.deg2rad(heading)]
            for query, near in zip(queries, found, strict=True)
        )
    return tuple(near[gallery[near] != query] for query, near in zip(queries, found, strict=True))


def _near(table: ImageTable, queries: Indices, gallery: Indices, radius: float) -> tuple[Indices, ...]:
    lists = []
    if table.places:
        lists.append(_same_place(table, queries, gallery))
    if np.isfinite(table.points).all():
        lists.append(within(table.points[queries], table.points[gallery], radius))
    return tuple(np.unique(np.concatenate(near)).astype(np.int64) for near in zip(*lists, strict=True))


def _same_place(table: ImageTable, queries: Indices, gallery: Indices) -> tuple[Indices, ...]:
    members: dict[str, list[int]] = {}
    for at, image in enumerate(gallery.tolist()):
        members.setdefault(table.places[image], []).append(at)
    return tuple(np.array(members.get(table.places[k], ()), np.int64) for k in queries.tolist())


def _turned(angles: np.ndarray) -> np.ndarray:
    """How far apart, 0 to pi."""
    return np.asarray(np.abs((angles + np.pi) % (2 * np.pi) - np.pi))
