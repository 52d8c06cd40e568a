"""A place recognition set from many sources: made part by part, divided, joined, written whole."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.place_recognition.places import PlaceImage
from relpose_ros.datasets.place_recognition.places_file import (
    split_as_json,
    split_from_json,
    write_places,
)
from relpose_ros.datasets.place_recognition.splits import (
    SPLITS,
    PlaceDataset,
    PlaceSplit,
    matched_dataset,
)
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.progress import Progress, silent
from relpose_training.data.parts import make_parts, within
from relpose_training.data.place_images import Load, store_image
from relpose_training.data.place_parts import PlacePart, divide_images, join_parts
from relpose_training.data.place_sources import PlaceOptions, PlaceSource
from relpose_training.data.sequences import divide

Divide = Literal["auto", "sources", "images"]

IMAGES, PARTS, MADE_OF = "images", ".parts", ".made_of"


@dataclass(frozen=True)
class SetPart:
    """One source in the folder of a set: images in `images`/`slug`, and what is known of them."""

    folder: Path
    source: PlaceSource
    options: PlaceOptions
    slug: str

    @property
    def name(self) -> str:
        """Of its source."""
        return self.source.name

    @property
    def key(self) -> str:
        """Changes with the source, its files and the options."""
        options = json.dumps(asdict(self.options), sort_keys=True)
        text = f"{self.source!r} {file_state(self.source.paths)} {self.slug} {options}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def done(self) -> bool:
        """Whether it was made before."""
        return self._file.is_file()

    def make(self, progress: Progress = silent) -> None:
        """Find out what is near what, store the images, and at last write down that it is done."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        work = self._file.with_suffix(".work.npz")
        part, loads, note = self.source.gather(self.options, work, within(progress, 0, 2))
        files = self._stored(loads, within(progress, 1, 2))
        named = [
            replace(split, queries=_renamed(split.queries, files), gallery=_renamed(split.gallery, files))
            for split in (part.split, part.as_in("test"))
        ]
        content = {
            "note": note,
            "assigned": part.assigned,
            "split": split_as_json(named[0]),
            "found": split_as_json(named[1]),
        }
        temporary = self._file.with_suffix(".part")
        temporary.write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
        temporary.replace(self._file)
        work.unlink(missing_ok=True)

    def part(self) -> PlacePart:
        """What was made."""
        content = json.loads(self._file.read_text(encoding="utf-8"))
        split, found = (split_from_json(content[key], self.name) for key in ("split", "found"))
        queries, gallery = (tuple(names) for names in content["assigned"])
        return PlacePart(self.name, split, found.positives, (queries, gallery))

    def sentence(self) -> str:
        """What it holds."""
        note = json.loads(self._file.read_text(encoding="utf-8"))["note"]
        split = self.part().split
        counts = [len(found) for found in split.positives if len(found)]
        return (
            f"{len(split.queries)} queries, {len(split.gallery)} in the gallery; {len(counts)} queries have "
            f"positives, {np.mean(counts) if counts else 0:.1f} on average ({note})"
        )

    def _stored(self, loads: Mapping[str, Load], progress: Progress) -> dict[str, str]:
        """Where each image is, below the folder of images."""
        if self.options.refer:
            return {name: _where(load, self.name) for name, load in loads.items()}
        folder = self.folder / IMAGES / self.slug
        self._clear_others(folder)
        paths = _paths(loads)
        out = {}
        for done, (name, load) in enumerate(loads.items()):
            stored = store_image(load, folder / paths[name], self.options.images)
            out[name] = stored.relative_to(self.folder / IMAGES).as_posix()
            progress(done + 1, len(loads), f"image {name}")
        return out

    def _clear_others(self, folder: Path) -> None:
        """Images that were stored otherwise, or of another source, are not taken for these."""
        made_of = f"{self.source!r} {file_state(self.source.paths)} {self.options.images!r}"
        mark = folder / MADE_OF
        if folder.exists() and not mark.is_file():
            raise ConfigurationError(f"{folder}: is there and not of a set of places; choose another --out")
        if mark.is_file() and mark.read_text(encoding="utf-8") != made_of:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(made_of, encoding="utf-8")

    @property
    def _file(self) -> Path:
        return self.folder / PARTS / f"{self.key}.json"


def prepare_places(
    sources: Sequence[PlaceSource],
    folder: Path,
    shares: Mapping[str, float],
    options: PlaceOptions,
    divided: Divide = "auto",
    seed: int = 0,
    workers: int = 1,
    made: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    report: Callable[[str], None] = lambda line: None,
) -> PlaceDataset:
    """Make places.json and its images in `folder`.

    Sources are divided by `shares` as wholes ("sources"), each by itself ("images"), or as wholes where there
    are enough ("auto"); a source that says itself which split its images belong to is taken by its word. Each
    is kept until the end: started again, a run goes on where it was. Raises DatasetError for a source that
    cannot be used and for a split in which no query has a positive, ConfigurationError.
    """
    if len({repr(source) for source in sources}) < len(sources):
        raise ConfigurationError("a source is given twice; expected each once")
    slugs = slugs_of([source.name for source in sources])
    parts = [SetPart(folder, source, options, slug) for source, slug in zip(sources, slugs, strict=True)]
    make_parts(parts, workers, progress, report)
    chosen = _divided([part.part() for part in parts], shares, divided, seed, report)
    splits = {name: join_parts([part.as_in(name) for part in chosen.get(name, ())]) for name in SPLITS}
    root = folder / IMAGES
    if options.refer:
        root, splits = _referred(splits)
    dataset = matched_dataset(folder.resolve().name, root, splits)
    _check(dataset, splits, options)
    write_places(dataset, folder, {**(made or {}), "options": asdict(options)})
    shutil.rmtree(folder / PARTS)
    return dataset


def slugs_of(names: Sequence[str]) -> list[str]:
    """Names of sources as names of files, each another one."""
    slugs = [re.sub(r"[^A-Za-z0-9_+-]+", "_", name).strip("_") or "source" for name in names]
    return [slug if slugs.count(slug) == 1 else f"{slug}_{k}" for k, slug in enumerate(slugs)]


def _divided(
    parts: Sequence[PlacePart],
    shares: Mapping[str, float],
    how: Divide,
    seed: int,
    report: Callable[[str], None],
) -> dict[str, list[PlacePart]]:
    out: dict[str, list[PlacePart]] = {}
    free = [part for part in parts if not any(part.assigned)]
    if how == "images" or (how == "auto" and len(free) < len(shares)):
        free = []
    for name, numbers in (divide(len(free), shares, seed) if free else {}).items():
        out[name] = [free[k] for k in numbers]
    whole = {id(part) for part in free}
    for part in (part for part in parts if id(part) not in whole):
        pieces = divide_images(part, shares, seed)
        left = part.images - sum(piece.images for piece in pieces.values())
        if left:
            report(
                f"{part.name}: {left} of {part.images} images see something of two splits and are left out"
            )
        for name, piece in pieces.items():
            out.setdefault(name, []).append(piece)
    return out


def _check(dataset: PlaceDataset, splits: Mapping[str, PlaceSplit], options: PlaceOptions) -> None:
    for name, split in splits.items():
        if split.gallery and not split.queries:
            raise DatasetError(
                f"{name}: no query is left: wherever its sources are divided, images of one split see "
                "something of another's. Give them whole, as --split train, or more sources than splits"
            )
        if (split.queries or split.gallery) and not getattr(dataset, name).queries:
            raise DatasetError(
                f"{name}: none of {len(split.queries)} queries has a positive among {len(split.gallery)} "
                f"gallery images: no two overlap by {options.overlap.positive:g} or more (posed images) or "
                f"are within {options.distances[0]:g} m (tables). Are all poses in one frame and unit? Else "
                "lower --positive-overlap, give more images, other shares with --split, or --queries all"
            )


def file_state(paths: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Sizes and times of files, and of those that lie directly in folders (lists, poses, not the images)."""
    files = [file for path in paths for file in ([path] if path.is_file() else sorted(path.glob("*")))]
    return [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]


def _where(load: Load, name: str) -> str:
    if not isinstance(load, ImageFile):
        raise ConfigurationError(
            f"{name}: its images are no files, so they have to be stored; leave out --refer"
        )
    return load.path.resolve().as_posix().lstrip("/")


def _referred(splits: Mapping[str, PlaceSplit]) -> tuple[Path, dict[str, PlaceSplit]]:
    """The folder that all files have in common, and the splits with files below it."""
    images = [image for split in splits.values() for image in (*split.queries, *split.gallery)]
    root = os.path.commonpath([f"/{os.path.dirname(image.file)}" for image in images])
    files = {image.file: os.path.relpath(f"/{image.file}", root) for image in images}
    return Path(root), {
        name: replace(split, queries=_renamed(split.queries, files), gallery=_renamed(split.gallery, files))
        for name, split in splits.items()
    }


def _renamed(images: Sequence[PlaceImage], files: Mapping[str, str]) -> tuple[PlaceImage, ...]:
    return tuple(image._replace(file=files[image.file]) for image in images)


def _paths(names: Iterable[str]) -> dict[str, str]:
    """Where images go, below their folder and without ending: by their names, each at another place."""
    out: dict[str, str] = {}
    taken: set[str] = set()
    for number, name in enumerate(names):
        path = _plain(name)
        out[name] = f"{path}_{number}" if path.lower() in taken else path
        taken.add(out[name].lower())
    return out


def _plain(name: str) -> str:
    path = [
        re.sub(r"[^A-Za-z0-9_.+=@ -]", "_", word) for word in name.split("/") if word not in ("", ".", "..")
    ]
    stem, dot, ending = path[-1].rpartition(".")
    return "/".join([*path[:-1], stem if dot and ending.isalnum() and stem else path[-1]])
