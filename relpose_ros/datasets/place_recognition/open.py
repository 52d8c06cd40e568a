"""A place recognition dataset by its name."""

from __future__ import annotations

from pathlib import Path

from relpose_ros.datasets.place_recognition.detect import LAYOUTS, detect_place_recognition
from relpose_ros.datasets.place_recognition.json_pair import read_json_pair
from relpose_ros.datasets.place_recognition.labelled import read_labelled
from relpose_ros.datasets.place_recognition.pittsburgh import read_pittsburgh
from relpose_ros.datasets.place_recognition.places import PlaceTable
from relpose_ros.datasets.place_recognition.places_file import read_places
from relpose_ros.datasets.place_recognition.splits import PlaceDataset, place_dataset
from relpose_ros.datasets.place_recognition.tokyo import SEED, read_tokyo
from relpose_ros.datasets.text_files import require_folder
from relpose_ros.errors import ConfigurationError

NAMES = ("auto", *LAYOUTS)


def open_place_recognition(name: str, folder: Path, seed: int = SEED) -> PlaceDataset:
    """Open one of NAMES; auto: by what the folder holds.

    `places` and `labelled` are described where they are read. For the others `folder` is OpenIBL's
    (examples/data/pitts), with the published files in `raw`. If it has meta and splits (meta_30k.json for
    Pittsburgh 30k, and so on) those are read, otherwise the .mat files; `custom` has the json files only.
    `seed` chooses Tokyo's validation queries. Images are looked up when they are wanted. Queries without a
    positive are left out and counted. Raises ConfigurationError for another name, DatasetError otherwise.
    """
    if name not in NAMES:
        raise ConfigurationError(f"expected a dataset of {', '.join(NAMES)}, got {name!r}")
    require_folder(folder, "the folder of a place recognition dataset")
    if name == "auto":
        name = detect_place_recognition(folder)
    if name == "places":
        return read_places(folder)
    if name == "labelled":
        return read_labelled(folder)
    scale = name.removeprefix("pitts") if name.startswith("pitts") else ""
    meta, splits = (folder / f"{file}{scale and f'_{scale}'}.json" for file in ("meta", "splits"))
    if name == "custom" or (meta.is_file() and splits.is_file()):
        table = read_json_pair(meta, splits)
    else:
        table = _published(name, require_folder(folder / "raw", f"the files of {name} as published"), seed)
    return place_dataset(table, folder / "raw")


def _published(name: str, raw: Path, seed: int) -> PlaceTable:
    if name == "tokyo":
        return read_tokyo(raw, seed)
    return read_pittsburgh(raw, "30k" if name == "pitts30k" else "250k")
