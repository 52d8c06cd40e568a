"""Changes to maps: what is known of one goes into the making of the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from relpose_ros.errors import MapError
from relpose_ros.maps.assemble import BuildOptions, Known, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.describe import common_describer
from relpose_ros.maps.landmarks import Reference
from relpose_ros.maps.leave_out import leave_out
from relpose_ros.maps.tracks import PairMatches
from relpose_ros.progress import Progress


def known_references(map_: Map) -> list[Reference]:
    """The references of a map, with the features and the global descriptors that it kept of them."""
    rows = np.asarray(map_.global_descriptors)
    return [
        Reference(name, camera, map_.reference_poses[i], map_.reference_features(i), condition, row)
        for i, (name, camera, condition, row) in enumerate(
            zip(map_.reference_names, map_.cameras, map_.conditions, rows, strict=True)
        )
    ]


def known_matches(map_: Map, offset: int = 0) -> list[PairMatches]:
    """The matches that a map's landmarks stand for; reference indices start at `offset`.

    Each landmark links its first sighting with every other one, which is all a track needs.
    """
    first_seen = np.full((len(map_.landmarks), 2), -1)
    links: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for index, features in enumerate(map_.features):
        for keypoint in np.flatnonzero(features.landmarks >= 0).tolist():
            landmark = int(features.landmarks[keypoint])
            owner, other = first_seen[landmark].tolist()
            if owner < 0:
                first_seen[landmark] = index, keypoint
            else:
                links.setdefault((owner, index), []).append((other, keypoint))
    return [
        PairMatches(i + offset, j + offset, np.array(pairs), np.zeros(len(pairs)))
        for (i, j), pairs in links.items()
    ]


def renamed(references: Sequence[Reference], taken: set[str]) -> list[Reference]:
    """The references, with a number behind names that are taken."""
    out, used = [], set(taken)
    for reference in references:
        name, count = reference.name, 2
        while name in used:
            name, count = f"{reference.name}#{count}", count + 1
        used.add(name)
        out.append(replace(reference, name=name))
    return out


def without(map_: Map, names: Sequence[str]) -> Map:
    """The map without the named references; the calibration stays as it was."""
    removed = map_.index_of(names)
    if len(set(removed)) > len(map_) - 2:
        raise MapError(
            f"map {map_.name!r}: removing {len(set(removed))} of {len(map_)} references leaves fewer than two"
        )
    return leave_out(map_, removed)


def check_mergeable(maps: Sequence[Map]) -> None:
    """Raise MapError where maps cannot become one: fewer than two, other units, features or describers."""
    if len(maps) < 2:
        raise MapError(f"merging takes at least two maps, got {len(maps)}")
    first = maps[0]
    for other in maps[1:]:
        check_same_unit(first.metric, other.metric, str(first.path), str(other.path))
        if other.feature != first.feature:
            raise MapError(
                f"{first.path} has features {first.feature!r}, {other.path} has {other.feature!r}; "
                "rebuild one of them with the other's"
            )
    common_describer(maps)


def merged(maps: Sequence[Map], options: BuildOptions, progress: Progress) -> Map:
    """One map of all references, matched across the maps as if they had been built together."""
    check_mergeable(maps)
    first, describer = maps[0], common_describer(maps)
    references: list[Reference] = []
    matches: list[PairMatches] = []
    twins: list[tuple[int, int]] = []
    for map_ in maps:
        twins += [(i + len(references), j + len(references)) for i, j in map_.twins.tolist()]
        matches += known_matches(map_, offset=len(references))
        references += renamed(known_references(map_), {r.name for r in references})
    provenance = {"merged": [m.provenance for m in maps], "software": first.provenance.get("software")}
    options = replace(options, feature=first.feature)
    known = Known(tuple(matches), twins=tuple(twins))
    return assemble(references, first.name, first.metric, options, provenance, known, progress, describer)


def check_same_unit(first: bool, second: bool, first_name: str, second_name: str) -> None:
    """Raise MapError when one of two things is metric and the other is not."""
    if first != second:
        metric, other = (first_name, second_name) if first else (second_name, first_name)
        raise MapError(f"{metric} is in metres, {other} has an arbitrary scale: they cannot share a map")
