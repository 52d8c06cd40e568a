"""Pittsburgh 250k and its 30k subset (Torii et al., CVPR 2013; the splits are NetVLAD's)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from relpose_ros.datasets.place_recognition.db_struct import read_db_struct
from relpose_ros.datasets.place_recognition.places import Located, PlaceNumbers, PlaceTable, group_places

Scale = Literal["30k", "250k"]

IMAGES, QUERIES = "Pittsburgh/images", "Pittsburgh/queries"


def read_pittsburgh(raw: Path, scale: Scale = "30k") -> PlaceTable:
    """The places of pitts{scale}_{train,val,test}.mat in the folder `raw`.

    A place is a panorama: the views cut from it share a name up to the first underscore, such as
    000/000123. Queries and gallery are numbered apart. Raises DatasetError.
    """
    numbers = PlaceNumbers()
    for split in ("train", "val", "test"):
        path = raw / f"pitts{scale}_{split}.mat"
        listed = read_db_struct(path)
        sides = {
            f"q_{split}": (QUERIES, listed.queries, listed.query_utm),
            f"db_{split}": (IMAGES, listed.gallery, listed.gallery_utm),
        }
        for subset, (folder, files, positions) in sides.items():
            located = (
                Located(file.split("_")[0], f"{folder}/{file}", float(x), float(y))
                for file, (x, y) in zip(files, positions, strict=True)
            )
            for place in group_places(located, str(path)):
                numbers.add(place, subset)
    return numbers.table(f"Pittsburgh_{scale}")
