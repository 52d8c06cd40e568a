"""What retrieval is tested on: one split of a place recognition data set, by its folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from relpose_ros.datasets.place_recognition.detect import detect_place_recognition
from relpose_ros.datasets.place_recognition.labelled import labelled_split
from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.datasets.place_recognition.splits import RADIUS, PlaceDataset, PlaceSplit
from relpose_ros.errors import DatasetError

Rule = Literal["auto", "plain", "tokyo"]

CRITERIA = {
    "places": "as places.json lists them",
    "labelled": "as gt.csv labels them",
}
"""What makes an answer right, by the kind of the data set; elsewhere RADIUS metres do."""


@dataclass(frozen=True)
class Tested:
    """A split, where its images are, and whether it is scored as Tokyo 24/7 is.

    `tokyo_rule`: one answer a place, and queries with their own aspect, the shorter side of 640 px.
    """

    name: str
    kind: str
    folder: str
    split_name: str
    dataset: PlaceDataset
    split: PlaceSplit
    tokyo_rule: bool

    @property
    def query_paths(self) -> list[Path]:
        """Image files of the queries."""
        return [self.dataset.path(image) for image in self.split.queries]

    @property
    def gallery_paths(self) -> list[Path]:
        """Image files of the gallery."""
        return [self.dataset.path(image) for image in self.split.gallery]

    @property
    def unmatched(self) -> int:
        """Queries without any right reference: they are asked, and no answer to them is right."""
        return sum(not len(positives) for positives in self.split.positives)

    @property
    def left_out(self) -> int:
        """Such queries that the data set does not give: they are not asked."""
        return 0 if self.unmatched else self.dataset.dropped.get(self.split_name, 0)

    @property
    def criterion(self) -> str:
        """What makes an answer right, in words."""
        return CRITERIA.get(self.kind, f"within {RADIUS:g} m")


def open_tested(
    folder: str, dataset: str = "auto", split: str = "test", queries: int | None = None, rule: Rule = "auto"
) -> Tested:
    """Split `split` of the data set in `folder`, at most `queries` of its queries, evenly chosen.

    Of labelled sets the queries without a reference are asked too: a robot meets unknown places. Raises
    DatasetError if the split has no queries, no gallery or not all its images, and what opening raises.
    """
    kind = detect_place_recognition(Path(folder)) if dataset == "auto" else dataset
    opened = open_place_recognition(kind, Path(folder))
    part = labelled_split(Path(folder)) if kind == "labelled" and split == "test" else opened.split(split)
    opened.check_images(split)
    if not part.gallery:
        raise DatasetError(f"{folder}: expected a gallery in its {split} split, there is none")
    tokyo = rule == "tokyo" or (rule == "auto" and kind == "tokyo" and split == "test")
    return Tested(opened.name, kind, folder, split, opened, _thinned(part, queries), tokyo)


def _thinned(split: PlaceSplit, count: int | None) -> PlaceSplit:
    if count is None or count >= len(split.queries):
        return split
    kept = np.linspace(0, len(split.queries) - 1, count).round().astype(int)
    chosen = {name: tuple(getattr(split, name)[i] for i in kept) for name in ("queries", "positives", "near")}
    return replace(split, **chosen)
