"""The toy data of OpenIBL's goldens, opened once."""

from __future__ import annotations

from functools import cache

from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.datasets.place_recognition.splits import PlaceDataset
from tools.parity.case import path_of

NAMES = {"pitts": "pitts30k", "tokyo": "tokyo"}


@cache
def toy(folder: str) -> PlaceDataset:
    """The folder pitts or tokyo of toy_data."""
    return open_place_recognition(NAMES[folder], path_of("openibl", "toy_data") / folder)
