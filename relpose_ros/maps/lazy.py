"""A large map, opened: what every query needs is read, the rest when it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from relpose_ros.maps.blocks import BlockFile
from relpose_ros.maps.bundle import Landmarks, Map
from relpose_ros.maps.graph_rows import DESCRIPTORS
from relpose_ros.maps.landmark_rows import DERIVED, covariances_of, descriptors_of
from relpose_ros.maps.rows import StoredFeatures, StoredRows, StoredSightings

Descriptors = NDArray[np.float32]


class StoredArrays(Mapping[str, NDArray[Any]]):
    """The datasets of a file by name, read whole whenever one is asked for."""

    def __init__(self, file: BlockFile) -> None:
        self._file = file

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._file.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.table.arrays)

    def __len__(self) -> int:
        return len(self._file.table.arrays)


def stored_landmarks(file: BlockFile) -> Landmarks:
    """Landmarks that are read when their rows are asked for; arrays to everybody who indexes them."""
    origin = file.read("origin")
    points = StoredRows(file, "landmarks/point", lambda rows: rows.astype(np.float64) + origin)
    covariances = StoredRows(file, "landmarks/covariance_factor", covariances_of)
    descriptors = StoredRows(file, "landmarks/descriptor", descriptors_of)
    return Landmarks(cast("Any", points), cast("Any", covariances), cast("Any", descriptors))


def stored_features(file: BlockFile, landmarks: Landmarks) -> StoredFeatures:
    """The references' features, read one by one."""
    return StoredFeatures(file, landmarks.descriptors, len(landmarks))


def stored_descriptors(file: BlockFile) -> Descriptors:
    """Global descriptors that are read when their rows are asked for."""
    rows = StoredRows(file, "references/global_descriptor", lambda rows: rows.astype(np.float32))
    return cast("Descriptors", rows)


def stored_graph(file: BlockFile) -> Descriptors | None:
    """Descriptors for a network over graphs, read when their rows are asked for; None: there are none."""
    if DESCRIPTORS not in file:
        return None
    return cast("Descriptors", StoredRows(file, DESCRIPTORS, lambda rows: rows.astype(np.float32)))


def remember_derived(map_: Map, file: BlockFile, about: dict[str, Any]) -> None:
    """Give a map that was just opened what its file says of it; a changed copy will compute its own."""
    known: dict[str, Any] = {}
    if isinstance(map_.features, StoredFeatures):
        known["visible"] = StoredSightings(map_.features)
    if "landmarks/seen_from" in file and about.get("derived"):
        seen_from = StoredRows(file, "landmarks/seen_from", lambda rows: rows.astype(np.float64))
        if len(seen_from) != len(map_.landmarks):
            raise ValueError(f"{len(seen_from)} directions of {len(map_.landmarks)} landmarks")
        numbers = json.loads(about["derived"])
        known |= {"seen_from": seen_from, **{name: numbers[name] for name in DERIVED}}
    vars(map_).update(known)
