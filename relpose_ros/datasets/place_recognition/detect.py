"""Which place recognition dataset a folder holds: by the names of its files."""

from __future__ import annotations

from pathlib import Path

from relpose_ros.errors import ConfigurationError, DatasetError

LAYOUTS: dict[str, tuple[str, ...]] = {
    "places": ("places.json",),
    "labelled": ("gt.csv and images/query and images/ref",),
    "pitts30k": ("meta_30k.json and splits_30k.json", "raw/pitts30k_test.mat"),
    "pitts250k": ("meta_250k.json and splits_250k.json", "raw/pitts250k_test.mat"),
    "tokyo": ("raw/tokyo247.mat",),
    "custom": ("meta.json and splits.json",),
}
"""Name -> what there has to be, one of several."""


def detect_place_recognition(folder: Path) -> str:
    """The name of the dataset in `folder`.

    Raises DatasetError listing what was looked for if there is none, ConfigurationError if there are two.
    """
    found = [name for name in LAYOUTS if holds(folder, name)]
    if found == ["tokyo", "custom"]:  # OpenIBL leaves its json files beside Tokyo's own
        return "tokyo"
    if len(found) > 1:
        raise ConfigurationError(f"{folder}: holds {' and '.join(found)}; say which one is meant")
    if not found:
        layouts = "\n".join(f"  {name}: {', or '.join(layouts)}" for name, layouts in LAYOUTS.items())
        raise DatasetError(
            f"{folder}: not a place recognition dataset that I recognise; I looked for\n{layouts}\n"
            "`relpose prepare places` makes one of posed images, or of a table of files and positions"
        )
    return found[0]


def holds(folder: Path, name: str) -> bool:
    """Whether there is what the dataset of that name needs."""
    return any(all((folder / file).exists() for file in layout.split(" and ")) for layout in LAYOUTS[name])
