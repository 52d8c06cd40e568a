"""What the benchmarks run on: real scenes where there are some, else a simulated world."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.datasets.image_files import IMAGE_SUFFIXES, ImageFile, read_image
from relpose_ros.datasets.open import detect_format, open_source
from relpose_ros.errors import DatasetError, MapError
from relpose_ros.evaluation.evaluate import spaced
from relpose_ros.geometry.cameras import Camera
from relpose_ros.localization.map_images import images_of
from relpose_ros.localization.mapping import build_map
from relpose_ros.maps.bundle import Map

DATA = Path(os.environ.get("RELPOSE_DATA", Path(__file__).parents[2] / "shared/data"))
"""The folder of scenes: one folder each."""

PLAUSIBLE_FOCAL = 1.2
"""Focal length over the longer side of an image whose camera nobody recorded."""


def scenes(folder: Path = DATA, names: list[str] | None = None) -> Iterator[Source]:
    """Sources in `folder` with references and queries, whose name holds one of `names` (default: all)."""
    for path in _folders(folder):
        if names and not any(name in path.name for name in names):
            continue
        if not _is_source(path):
            continue
        source = open_source(path)
        if source.references and source.queries:
            yield source


def loose_images(folder: Path = DATA, limit: int | None = None) -> Iterator[tuple[str, list[PosedImage]]]:
    """Folders of images without poses: name and at most `limit` of them, with a plausible pinhole camera."""
    for path in _folders(folder):
        if _is_source(path):
            continue
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        if files:
            chosen = np.unique(np.linspace(0, len(files) - 1, limit or len(files)).round().astype(int))
            yield path.name, [_loose(files[i]) for i in chosen]


def simulated(references: int = 40, queries: int = 12) -> Source:
    """The furnished world that `make demo` drives through; needs no data."""
    from relpose_ros.datasets.simulate.dataset import simulate
    from relpose_ros.datasets.simulate.options import SimulationOptions

    return simulate(SimulationOptions(map_frames=references, query_frames=queries))


def limited(source: Source, references: int | None, queries: int | None) -> Source:
    """The source with at most that many references and queries, evenly spaced."""
    chosen = (*spaced(source.references, references), *spaced(source.queries, queries))
    return Source(source.name, source.path, chosen, source.metric, source.licence)


def fresh_map(source: Source, path: Path) -> Map:
    """The map of a source at `path`: what lies there if it is of these very references, else built."""
    if path.exists():
        kept = Map.open(path)
        if is_of(kept, source):
            return kept
        print(f"<!-- {path}: of other references than {source.name}; it is built again -->", flush=True)
    build_map(source, path)
    return Map.open(path)


def is_of(map_: Map, source: Source) -> bool:
    """Whether a map was built of a source's references: as many, of these names, where they stand.

    It does not tell with which options, nor by which version of this software.
    """
    left_out = map_.provenance.get("left_out", {})
    if len(map_) != sum(image.name not in left_out for image in source.references):
        return False
    try:
        images_of(map_, [source])
    except MapError:
        return False
    return True


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder; --data or RELPOSE_DATA names the folder of scenes")
    return sorted(p for p in folder.iterdir() if p.is_dir())


def _is_source(path: Path) -> bool:
    try:
        detect_format(path)
    except DatasetError:
        return False
    return True


def _loose(path: Path) -> PosedImage:
    height, width = read_image(path).shape[:2]
    focal = PLAUSIBLE_FOCAL * max(width, height)
    camera = Camera("pinhole", focal, focal, 0.5 * (width - 1), 0.5 * (height - 1), width, height)
    return PosedImage(path.name, camera, None, "query", ImageFile(path, camera))
