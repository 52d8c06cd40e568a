"""Places known by labels alone: images/query, images/ref, and gt.csv saying which references are right.

gt.csv      query,refs                 a header, then for each query the acceptable references
            000001.jpg,000003.jpg;000004.jpg
            000002.jpg,                none: nothing could find it, so it is left out and counted
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from relpose_ros.datasets.image_files import IMAGE_SUFFIXES
from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.splits import (
    Indices,
    PlaceDataset,
    PlaceSplit,
    matched_dataset,
)
from relpose_ros.datasets.text_files import add_unique, read_text, require_folder, safe_name
from relpose_ros.errors import DatasetError

TABLE, QUERIES, REFERENCES = "gt.csv", "query", "ref"
UNKNOWN = float("nan")


def read_labelled(folder: Path) -> PlaceDataset:
    """The set in `folder`, all of it a test split. Positions are NaN; every image is a place of its own.

    Gallery: all images in images/ref. `near` of a query: its references, and those of every query that
    shares one with it; labels of a sequence say no more about what lies next to them. Raises DatasetError.
    """
    split = labelled_split(folder)
    return matched_dataset(folder.resolve().name, folder / "images", {"test": split})


def labelled_split(folder: Path) -> PlaceSplit:
    """Everything in `folder`, with the queries that have no reference. Raises DatasetError."""
    images = require_folder(folder / "images", f"the folder that {TABLE} is about")
    names = sorted(file.name for file in require_folder(images / REFERENCES, "references").iterdir())
    gallery = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    number = {name: k for k, name in enumerate(gallery)}
    labels = dict(sorted(_labels(folder / TABLE, number).items()))
    for name in labels:
        if not (images / QUERIES / name).is_file():
            raise DatasetError(f"{folder / TABLE}: no such query image: {images / QUERIES / name}")
    positives = tuple(labels.values())
    return PlaceSplit(
        tuple(
            PlaceImage(f"{QUERIES}/{name}", len(gallery) + k, UNKNOWN, UNKNOWN)
            for k, name in enumerate(labels)
        ),
        tuple(PlaceImage(f"{REFERENCES}/{name}", k, UNKNOWN, UNKNOWN) for k, name in enumerate(gallery)),
        positives,
        _neighbours(positives),
    )


def _labels(path: Path, number: dict[str, int]) -> dict[str, Indices]:
    """Query -> numbers of its references, ascending."""
    table = csv.reader(io.StringIO(read_text(path)))
    labels: dict[str, Indices] = {}
    try:
        if [word.strip() for word in next(table, [])] != ["query", "refs"]:
            raise DatasetError(f"{path}: expected the header query,refs")
        for row in filter(None, table):
            place = f"{path}:{table.line_num}"
            if len(row) != 2:
                raise DatasetError(
                    f"{place}: expected query,refs (separated by ';'), got {','.join(row)[:80]!r}"
                )
            right = [name.strip() for name in row[1].split(";") if name.strip()]
            unknown = [name for name in right if name not in number]
            if unknown:
                raise DatasetError(f"{place}: no such reference in images/{REFERENCES}: {unknown[0]!r}")
            found: Indices = np.array(sorted({number[name] for name in right}), np.int64)
            add_unique(labels, safe_name(row[0].strip(), place), found, place)
    except csv.Error as error:
        raise DatasetError(f"{path}:{table.line_num}: not a CSV table ({error})") from error
    if not labels:
        raise DatasetError(f"{path}: expected at least one query, got none")
    return labels


def _neighbours(positives: tuple[Indices, ...]) -> tuple[Indices, ...]:
    """For each query, the references of all queries that share one with it."""
    wanted_by: dict[int, list[int]] = {}
    for query, right in enumerate(positives):
        for reference in right.tolist():
            wanted_by.setdefault(reference, []).append(query)
    out = []
    for right in positives:
        sharing = {query for reference in right.tolist() for query in wanted_by[reference]}
        near = np.unique(np.concatenate([right, *(positives[query] for query in sorted(sharing))]))
        out.append(near.astype(np.int64))
    return tuple(out)
