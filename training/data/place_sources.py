"""What place recognition sets are made of: posed images, simulated worlds, labelled places, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.place_recognition.labelled import labelled_split
from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.splits import Indices, PlaceSplit
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.progress import Progress, silent
from relpose_training.data.place_images import ImageOptions, Load
from relpose_training.data.place_overlap import OverlapOptions, image_overlaps
from relpose_training.data.place_parts import PlacePart
from relpose_training.data.sequences import PosedSequence, SourceSequence

Roles = Literal["auto", "split", "every", "all"]


@dataclass(frozen=True)
class PlaceOptions:
    """How a set is made.

    `queries`: images of the query split ("split"), every `query_every`-th ("every"), each image, which then
    is query and gallery ("all"), or the first where there are any and else the second ("auto"). `limit`:
    images of a source at most, evenly. `refer`: image files stay where they are. `distances`: of tables,
    metres up to which images are positives in training, and in a test, where nothing nearer is a negative
    either; `heading`: degrees by which they may look apart. Raises ConfigurationError out of range.
    """

    overlap: OverlapOptions = field(default_factory=OverlapOptions)
    images: ImageOptions = field(default_factory=ImageOptions)
    queries: Roles = "auto"
    query_every: int = 4
    limit: int = 500
    refer: bool = False
    distances: tuple[float, float] = (10.0, 25.0)
    heading: float = 40.0

    def __post_init__(self) -> None:
        near, far = self.distances
        if self.queries not in get_args(Roles) or self.query_every < 2 or self.limit < 2:
            raise ConfigurationError(
                f"expected --queries of {', '.join(get_args(Roles))}, --query-every and --images of 2 or "
                f"more; got {self.queries}, {self.query_every}, {self.limit}"
            )
        if not 0 <= near <= far or not 0 < self.heading <= 180:
            raise ConfigurationError(
                f"expected --distances 0 <= TRAIN <= TEST and --heading above 0 up to 180, got {near:g}, "
                f"{far:g} and {self.heading:g}"
            )


class Gathered(NamedTuple):
    """A part, what gives the image of each of its files, and what there is to say of how it was made."""

    part: PlacePart
    loads: Mapping[str, Load]
    note: str = ""


class PlaceSource(Protocol):
    """Something with places; sent to another process as it is, and opened there."""

    @property
    def name(self) -> str:
        """As it stands in the set."""
        ...

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files and folders that it reads."""
        ...

    def gather(self, options: PlaceOptions, work: Path, progress: Progress = silent) -> Gathered:
        """Its images and which are positives. `work`: a file to keep what takes long. Raises DatasetError."""
        ...


@dataclass(frozen=True)
class PosedPlaces:
    """Images with poses in one frame: places are what they see."""

    sequence: PosedSequence

    @property
    def name(self) -> str:
        return self.sequence.name

    @property
    def paths(self) -> tuple[Path, ...]:
        joined = self.sequence.sequences if isinstance(self.sequence, SharedFrame) else (self.sequence,)
        return tuple(one.path for one in joined if isinstance(one, SourceSequence))

    def gather(self, options: PlaceOptions, work: Path, progress: Progress = silent) -> Gathered:
        listed = self.sequence.images()
        known = [image for image in listed if image.map_from_camera is not None]
        images = _evenly(known, options.limit)
        if len(images) < 2:
            raise DatasetError(
                f"{self.name}: expected two images with poses or more, got {len(images)} (of {len(listed)}): "
                "a place is known by another view of it"
            )
        if len({image.name for image in images}) < len(images):
            raise DatasetError(f"{self.name}: two images have the same name; expected each once")
        queries, gallery = roles([image.split for image in images], options)
        overlaps = image_overlaps(images, queries, gallery, options.overlap, work, progress)
        positive, near = overlaps.positives_and_near(options.overlap)
        part = _part(self.name, _located(images), (queries, gallery), (positive, positive, near))
        note = f"{overlaps.metric} overlap, things {overlaps.depth:.3g} away"
        note += f", {len(images)} of {len(known)} images" if len(images) < len(known) else ""
        note += f", {len(listed) - len(known)} have no pose" if len(known) < len(listed) else ""
        return Gathered(part, {image.name: image.load for image in images}, note)


@dataclass(frozen=True)
class SharedFrame:
    """Several sequences in one frame, as drives through one place: the first is the gallery, others query."""

    sequences: tuple[PosedSequence, ...]

    @property
    def name(self) -> str:
        return "+".join(sequence.name for sequence in self.sequences)

    def images(self) -> Sequence[PosedImage]:
        return [
            replace(image, name=f"{number}/{image.name}", split="query" if number else "map")
            for number, sequence in enumerate(self.sequences)
            for image in sequence.images()
        ]


@dataclass(frozen=True)
class LabelledPlaces:
    """images/query, images/ref and gt.csv: places are what it says."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.folder,)

    def gather(self, options: PlaceOptions, work: Path, progress: Progress = silent) -> Gathered:
        split = labelled_split(self.folder)
        loads = {i.file: ImageFile(self.folder / "images" / i.file) for i in (*split.queries, *split.gallery)}
        return Gathered(PlacePart(self.name, split, split.positives), loads, "labels")


def roles(splits: Sequence[str], options: PlaceOptions) -> tuple[Indices, Indices]:
    """Numbers of queries and of gallery images, given the split ("map", "query") of each image.

    Raises DatasetError if one of them is empty.
    """
    query = np.array([split == "query" for split in splits], bool)
    how = options.queries
    if how == "auto":
        how = "split" if query.any() and not query.all() else "every"
    if how == "split" and (query.all() or not query.any()):
        raise DatasetError(
            f"expected images of a map and of a query split, got {len(query)} of one; "
            "give --queries every or all"
        )
    if how == "all":
        return np.arange(len(query)), np.arange(len(query))
    if how == "every":
        query = np.arange(len(query)) % options.query_every == min(options.query_every, len(query)) - 1
    return np.flatnonzero(query), np.flatnonzero(~query)


def _part(
    name: str,
    images: Sequence[PlaceImage],
    chosen: tuple[Indices, Indices],
    tables: tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]],
) -> PlacePart:
    """Of tables (Q, G): positives to train with, what counts as found, what is no negative. An image is near
    itself, but no positive."""
    queries, gallery = chosen
    own = queries[:, None] == gallery
    positive, found = (_lists(table & ~own) for table in tables[:2])
    split = PlaceSplit(
        tuple(images[k] for k in queries),
        tuple(images[k] for k in gallery),
        positive,
        _lists(tables[2] | own),
    )
    return PlacePart(name, split, found)


def _lists(table: NDArray[np.bool_]) -> tuple[Indices, ...]:
    return tuple(np.flatnonzero(row).astype(np.int64) for row in table)


def _located(images: Sequence[PosedImage]) -> list[PlaceImage]:
    out = []
    for number, image in enumerate(images):
        assert image.map_from_camera is not None
        x, y = image.map_from_camera.translation[:2].tolist()
        out.append(PlaceImage(image.name, number, x, y))
    return out


def _evenly(images: Sequence[PosedImage], limit: int) -> list[PosedImage]:
    """At most so many of each split, in proportion."""
    if len(images) <= limit:
        return list(images)
    at = np.unique(np.linspace(0, len(images) - 1, limit).astype(int))
    return [images[k] for k in at.tolist()]
