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
from relpose_ros.errors import ConfigurationError, MapError
from relpose_ros.localization.carry_over import carried_over
from relpose_ros.localization.describing import describer_for
from relpose_ros.localization.graph_attach import attached, dropped, extended
from relpose_ros.localization.graph_road import Regresses, check_fits, open_regressor
from relpose_ros.localization.holdout import calibrate
from relpose_ros.localization.map_images import images_of
from relpose_ros.localization.same_frame import require_same_frame
from relpose_ros.maps import edit
from relpose_ros.maps.assemble import BuildOptions, Known, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.conditions import of_conditions
from relpose_ros.maps.extract import FeatureStore, extract_references
from relpose_ros.maps.notes import FRAME, NETWORK, VLAD, with_notes, without_note
from relpose_ros.maps.stored_index import inherit_index
from relpose_ros.progress import Progress, silent
from relpose_ros.retrieval.describer import Describer, open_describer
from relpose_ros.retrieval.vlad import Vlad

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
    check_out(out)
    store = FeatureStore(out)
    describer, regressor = _describer(options), _regressor(options)
    references, left_out = extract_references(images, options, store, progress, describer)
    if len(references) < MIN_REFERENCES:
        why = next(iter(left_out.values()), "")
        raise MapError(f"{source.path}: only {len(references)} of {len(images)} images can be used: {why}")
    provenance = _provenance(source, left_out)
    learned = describer.identity if describer is not None else None
    map_ = assemble(
        references, source.name, source.metric, options, provenance, progress=progress, describer=learned
    )
    features = [r.features for r in references]
    map_ = calibrate(map_, features, options.calibration_samples, progress=progress)
    if regressor is not None:
        used = [image for image in images if image.name not in left_out]
        map_ = attached(map_, used, features, regressor, options.calibration_samples, progress)
    saved = finish(map_, out, start)
    store.remove()
    return saved


def add_references(
    map_path: str | Path,
    source: Source,
    out: str | Path,
    options: BuildOptions | None = None,
    progress: Progress = silent,
    trust_poses: bool = False,
) -> Map:
    """A new map: the one at `map_path` and the references of `source`, in the same frame.

    Only pairs with a new reference are matched, and only new references are described: by the old map's VLAD
    (unless `options.retrain_vlad`), or by what described the old ones, which `options.retrieval` names. The
    calibration is fitted again, with the stored features standing in for those of the old references; of what
    `relpose calibrate` stored `min_inliers` is not lowered, and a note says that the rest is gone. What
    the old map keeps for a network that regresses relative poses is extended where `options.relpose_gnn`
    names it, else left out, with a note. Raises ConfigurationError for `options.retrain_vlad` with a map that
    has no VLAD, and, unless `trust_poses`, MapError for a source that is in another frame.
    """
    out, options, start = Path(out), options or BuildOptions(), time.perf_counter()
    old = Map.open(map_path)
    if options.retrain_vlad and old.vlad is None:
        raise ConfigurationError(
            f"{map_path}: --retrain-vlad learns the VLAD of a map anew, and this map has none: its global "
            f"descriptors were made by {old.described_by}; leave it out, or build a map with VLAD of all "
            "images, `relpose map build SOURCE --out MAP`"
        )
    edit.check_same_unit(old.metric, source.metric, str(map_path), str(source.path))
    if not source.references:
        raise MapError(f"{source.path}: no images with a pose in the map split to add")
    check_out(out)
    store = FeatureStore(out)
    options = replace(options, feature=old.feature)
    describer, regressor = describer_for(old, options.retrieval), _regressor(options)
    if regressor is not None:
        check_fits(old, regressor)
    fresh, left_out = extract_references(source.references, options, store, progress, describer)
    note = "" if trust_poses else require_same_frame(old, str(source.path), fresh, progress)
    known = edit.known_references(old)
    references = [*known, *edit.renamed(fresh, taken=set(old.reference_names))]
    vlad = None if options.retrain_vlad else old.vlad
    provenance = {
        **_provenance(source, left_out), "added_to": old.provenance, **_vlad_facts(old, vlad, len(fresh)),
    }  # fmt: skip
    provenance = _with_frame_note(provenance, note)
    twins = tuple((i, j) for i, j in old.twins.tolist())
    tracks = Known(tuple(edit.known_matches(old)), len(known), twins, vlad)
    map_ = assemble(references, old.name, old.metric, options, provenance, tracks, progress, old.describer)
    features = [r.features for r in references]
    map_ = carried_over([old], calibrate(map_, features, options.calibration_samples, progress=progress))
    if regressor is None:
        map_ = dropped([old], map_)
    else:
        used = [image for image in source.references if image.name not in left_out]
        map_ = extended([old], map_, used, features, regressor, options.calibration_samples, progress)
    saved = finish(map_, out, start, old)
    store.remove()
    return saved


def remove_references(
    map_path: str | Path, names: Sequence[str], out: str | Path, conditions: Sequence[str] = ()
) -> Map:
    """A new map without the named references and without those of the named conditions.

    Raises MapError if a name or a condition is unknown.
    """
    start = time.perf_counter()
    check_out(Path(out))
    old = Map.open(map_path)
    removed = [*names, *(of_conditions(old, conditions) if conditions else ())]
    return finish(edit.without(old, list(dict.fromkeys(removed))), Path(out), start)


def merge_maps(
    paths: Sequence[str | Path],
    out: str | Path,
    options: BuildOptions | None = None,
    progress: Progress = silent,
    trust_poses: bool = False,
) -> Map:
    """One map out of several in the same frame; references are matched across them.

    Learned descriptors stay as they are, and must be of one maker (`options.retrieval` checks which); VLAD is
    learned anew. Raises MapError, unless `trust_poses`, where one is in another frame than one before it.
    """
    start = time.perf_counter()
    check_out(Path(out))
    maps = [Map.open(p) for p in paths]
    options = options or BuildOptions()
    if options.retrieval is not None:
        describer_for(maps[0], options.retrieval)
    regressor = _regressor(options)
    edit.check_mergeable(maps)
    note = "" if trust_poses else _frame_notes(maps, progress)
    merged = edit.merged(maps, options, progress)
    merged = replace(merged, provenance=_with_frame_note(merged.provenance, note))
    features = [merged.reference_features(i) for i in range(len(merged))]
    merged = carried_over(maps, calibrate(merged, features, options.calibration_samples, progress=progress))
    if regressor is not None:
        merged = extended(maps, merged, [], features, regressor, options.calibration_samples, progress)
    else:
        merged = dropped(maps, merged)
    return finish(merged, Path(out), start)


def attach_network(
    map_path: str | Path,
    sources: Sequence[Source],
    checkpoint: str | Path | Regresses,
    out: str | Path,
    options: BuildOptions | None = None,
    progress: Progress = silent,
) -> Map:
    """A new map: the one at `map_path`, its references described by a network that regresses relative poses.

    `sources` have the images that the map was made of. Calibrated as `calibrate_graph` does it. Raises
    MapError where they lack an image of the map, or have it elsewhere, or the map has no scale.
    """
    out, options, start = Path(out), options or BuildOptions(), time.perf_counter()
    check_out(out)
    old, regressor = Map.open(map_path), open_regressor(checkpoint)
    if not old.metric:
        raise MapError(f"{map_path}: this map has no scale, and {regressor.path} says metres")
    images = images_of(old, sources)
    features = [old.reference_features(i) for i in range(len(old))]
    map_ = attached(old, images, features, regressor, options.calibration_samples, progress)
    map_ = replace(map_, provenance=without_note(map_.provenance, NETWORK))
    return finish(map_, out, start, old)


def check_out(out: Path) -> None:
    """Raise MapError where a map cannot be written to `out`: before the work, not after it."""
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


def _describer(options: BuildOptions) -> Describer | None:
    """The learned one that a new map is built with, if any."""
    return open_describer(options.retrieval) if options.retrieval is not None else None


def _regressor(options: BuildOptions) -> Regresses | None:
    """What regresses relative poses, where the map is to keep something for it."""
    return open_regressor(options.relpose_gnn) if options.relpose_gnn is not None else None


def _frame_notes(maps: Sequence[Map], progress: Progress) -> str:
    """Each map is compared with those before it; a note where nothing connects one with any of them."""
    notes = []
    for number, map_ in enumerate(maps[1:], start=1):
        references = edit.known_references(map_)
        told = [require_same_frame(m, str(map_.path), references, progress) for m in maps[:number]]
        notes += told[:1] if all(told) else []
    return "; ".join(notes)


def _with_frame_note(provenance: dict[str, Any], note: str) -> dict[str, Any]:
    return with_notes(provenance, {FRAME: note}) if note else provenance


def _vlad_facts(old: Map, kept: Vlad | None, added: int) -> dict[str, Any]:
    """On how many references the VLAD was learned, and a note where that is few of those there are now."""
    if kept is None:
        return {}
    learned = int(old.provenance.get("vlad_references", len(old)))
    facts: dict[str, Any] = {"vlad_references": learned}
    if len(old) + added <= 2 * learned:
        return facts
    note = (
        f"the VLAD was learned from {learned} of the {len(old) + added} references; if retrieval is poor "
        "in what was added, learn it anew: `relpose map add ... --retrain-vlad`"
    )
    return with_notes(facts, {VLAD: note})


def finish(map_: Map, out: Path, start: float, added_to: Map | None = None) -> Map:
    """Note when the map was made and how long it took since `start` (`perf_counter`), and write it."""
    provenance = {
        **map_.provenance,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "build_seconds": round(time.perf_counter() - start, 2),
    }
    map_ = replace(map_, provenance=provenance)
    if added_to is not None:
        inherit_index(map_, added_to)
    return map_.save(out)
