"""Posed images -> a calibrated map on disk, and changes to one. What `relpose map` calls."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relpose_ros import __version__
from relpose_ros.datasets.base import Source
from relpose_ros.errors import MapError
from relpose_ros.localization.holdout import calibrate
from relpose_ros.maps import edit
from relpose_ros.maps.assemble import BuildOptions, Known, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.extract import FeatureStore, extract_references
from relpose_ros.progress import Progress, silent

MIN_REFERENCES = 2


def build_map(
    source: Source,
    out: str | Path,
    options: BuildOptions | None = None,
    progress: Progress = silent,
) -> Map:
    """Build a map from the references of `source` and write it to `out`.

    Resumable: features extracted before an interruption are used again. `out` appears when
    it is whole. Raises MapError when the source has too few references.
    """
    out, options, start = Path(out), options or BuildOptions(), time.perf_counter()
    images = source.references
    if len(images) < MIN_REFERENCES:
        raise MapError(
            f"{source.path}: {len(images)} images with a pose in the map split; a map needs at least "
            f"{MIN_REFERENCES}, and a good one some dozens"
        )
    _check_out(out)
    store = FeatureStore(out)
    references, left_out = extract_references(images, options, store, progress)
    if len(references) < MIN_REFERENCES:
        why = next(iter(left_out.values()), "")
        raise MapError(f"{source.path}: only {len(references)} of {len(images)} images can be used: {why}")
    provenance = _provenance(source, left_out)
    map_ = assemble(references, source.name, source.metric, options, provenance, progress=progress)
    features = [r.features for r in references]
    map_ = calibrate(map_, features, options.calibration_samples, progress=progress)
    saved = _finish(map_, out, start)
    store.remove()
    return saved


def add_references(
    map_path: str | Path,
    source: Source,
    out: str | Path,
    options: BuildOptions | None = None,
    progress: Progress = silent,
) -> Map:
    """A new map: the one at `map_path` and the references of `source`, in the same frame.

    Only pairs with a new reference are matched. The calibration is fitted again, with the
    stored features standing in for those of the old references.
    """
    out, options, start = Path(out), options or BuildOptions(), time.perf_counter()
    old = Map.open(map_path)
    edit.check_same_unit(old.metric, source.metric, str(map_path), str(source.path))
    if not source.references:
        raise MapError(f"{source.path}: no images with a pose in the map split to add")
    _check_out(out)
    store = FeatureStore(out)
    options = replace(options, feature=old.feature)
    fresh, left_out = extract_references(source.references, options, store, progress)
    known = edit.known_references(old)
    references = [*known, *edit.renamed(fresh, taken=set(old.reference_names))]
    provenance = {**_provenance(source, left_out), "added_to": old.provenance}
    tracks = Known(tuple(edit.known_matches(old)), len(known))
    map_ = assemble(references, old.name, old.metric, options, provenance, tracks, progress)
    features = [r.features for r in references]
    map_ = calibrate(map_, features, options.calibration_samples, progress=progress)
    saved = _finish(map_, out, start)
    store.remove()
    return saved


def remove_references(map_path: str | Path, names: Sequence[str], out: str | Path) -> Map:
    """A new map without the named references. Raises MapError if a name is unknown."""
    start = time.perf_counter()
    _check_out(Path(out))
    return _finish(edit.without(Map.open(map_path), names), Path(out), start)


def merge_maps(
    paths: Sequence[str | Path],
    out: str | Path,
    options: BuildOptions | None = None,
    progress: Progress = silent,
) -> Map:
    """One map out of several in the same frame; references are matched across them."""
    start = time.perf_counter()
    _check_out(Path(out))
    maps = [Map.open(p) for p in paths]
    options = options or BuildOptions()
    merged = edit.merged(maps, options, progress)
    features = [merged.reference_features(i) for i in range(len(merged))]
    merged = calibrate(merged, features, options.calibration_samples, progress=progress)
    return _finish(merged, Path(out), start)


def _check_out(out: Path) -> None:
    if not out.parent.is_dir():
        raise MapError(f"{out}: the folder {out.parent} does not exist; make it first")
    if out.is_dir():
        raise MapError(f"{out}: is a folder; --out names the file to write, such as {out / 'office.relmap'}")


def _provenance(source: Source, left_out: dict[str, str]) -> dict[str, Any]:
    return {
        "source": str(source.path),
        "source_licence": source.licence,
        "left_out": left_out,
        "software": f"relpose_ros {__version__}",
        "models": {},
    }


def _finish(map_: Map, out: Path, start: float) -> Map:
    provenance = {
        **map_.provenance,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "build_seconds": round(time.perf_counter() - start, 2),
    }
    return replace(map_, provenance=provenance).save(out)
