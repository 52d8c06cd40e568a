"""Tokyo Time Machine for training, Tokyo 24/7 for tests (Arandjelovic 2016; Torii et al., CVPR 2015)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from relpose_ros.datasets.place_recognition.db_struct import ImageList, read_db_struct
from relpose_ros.datasets.place_recognition.places import (
    Located,
    Place,
    PlaceNumbers,
    PlaceTable,
    group_places,
)
from relpose_ros.errors import DatasetError

TIME_MACHINE = "tokyoTM/images"
IMAGES, QUERIES = "tokyo247/images", "tokyo247/query"

SEED = 43
"""With which the published training chose its validation queries."""


def read_tokyo(raw: Path, seed: int = SEED) -> PlaceTable:
    """The places of tokyoTM_{train,val}.mat and tokyo247.mat in the folder `raw`.

    A place of Time Machine is one panorama at one time. In training each is query and gallery. In
    validation, of every position with several times, one at random (from `seed`) is the query and the
    others are gallery. Tokyo 24/7: queries of one position, gallery images of one folder. DatasetError.
    """
    numbers = PlaceNumbers()
    for times in _positions(raw / "tokyoTM_train.mat"):
        for place in times:
            numbers.add(place, "q_train", "db_train")
    generator = random.Random(seed)
    for times in _positions(raw / "tokyoTM_val.mat"):
        if len(times) > 1:
            query = generator.choice(times)
            numbers.add(query, "q_val")
            times.remove(query)
        for place in times:
            numbers.add(place, "db_val")
    _add_tokyo_247(numbers, raw / "tokyo247.mat")
    return numbers.table("Tokyo")


def _positions(path: Path) -> list[list[Place]]:
    """The panoramas of each position, in the order in which the file lists queries and then gallery."""
    groups: dict[str, list[Located]] = {}
    for position, image in _time_machine_images(read_db_struct(path), path):
        groups.setdefault(position, []).append(image)
    return [group_places(images, str(path)) for images in groups.values()]


def _time_machine_images(listed: ImageList, path: Path) -> Iterator[tuple[str, Located]]:
    """Files are region/position/time/name."""
    sides = ((listed.queries, listed.query_utm), (listed.gallery, listed.gallery_utm))
    for files, positions in sides:
        for file, (x, y) in zip(files, positions, strict=True):
            parts = file.split("/")
            if len(parts) < 4:
                raise DatasetError(f"{path}: expected files region/position/time/name, got {file!r}")
            yield parts[1], Located((parts[1], parts[2]), f"{TIME_MACHINE}/{file}", float(x), float(y))


def _add_tokyo_247(numbers: PlaceNumbers, path: Path) -> None:
    listed = read_db_struct(path)
    queries = (
        Located((float(x), float(y)), f"{QUERIES}/{file}", float(x), float(y))
        for file, (x, y) in zip(listed.queries, listed.query_utm, strict=True)
    )
    gallery = (  # listed as .jpg, published as .png
        Located(
            file.rpartition("/")[0], f"{IMAGES}/{PurePosixPath(file).with_suffix('.png')}", float(x), float(y)
        )
        for file, (x, y) in zip(listed.gallery, listed.gallery_utm, strict=True)
    )
    for subset, images in (("q_test", queries), ("db_test", gallery)):
        for place in group_places(images, str(path)):
            numbers.add(place, subset)
