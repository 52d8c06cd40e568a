"""Findings about what a map is good for: landmarks, connections, look-alikes, calibration."""

from __future__ import annotations

from collections import Counter

import numpy as np

from relpose_ros.maps.bundle import Map
from relpose_ros.maps.conditions import shown_condition
from relpose_ros.maps.covisibility import Covisibility
from relpose_ros.maps.finding import Finding, Grade, listed
from relpose_ros.maps.landmarks import MIN_PAIR_MATCHES

FEW_SAMPLES = 20
"""A calibration fitted to fewer held-out images leans on its prior."""

FEW_FOUND = 0.5
"""Share of held-out images with a pose below which the map knows its own place badly."""


def findings(map_: Map) -> list[Finding]:
    """Everything about use."""
    seen = Covisibility.of(map_)
    return [
        *_landmarks(map_, seen),
        *_islands(map_, seen),
        *_repeated(map_),
        *_twins(map_),
        *_calibration(map_),
        *_history(map_),
    ]


def _landmarks(map_: Map, seen: Covisibility) -> list[Finding]:
    found = []
    blind = _names(map_, seen.landmarks == 0)
    few = _names(map_, (seen.landmarks > 0) & (seen.landmarks < MIN_PAIR_MATCHES))
    if len(blind) == len(map_):
        what = "no reference sees any landmark: only the relative road is left, and it is less exact"
        return [Finding(Grade.PROBLEM, what, "are poses and camera right? build it from closer views")]
    advice = "add images near by, or let `relpose map prune` drop them"
    if blind:
        found.append(Finding(Grade.WARNING, f"no landmarks: {listed(blind)}", advice, blind))
    if few:
        what = f"fewer than {MIN_PAIR_MATCHES} landmarks: {listed(few)}"
        found.append(Finding(Grade.WARNING, what, advice, few))
    single = int((seen.seers < 2).sum())
    if single:
        what = f"{single} landmarks are seen by fewer than two references"
        found.append(Finding(Grade.PROBLEM, what, "nothing says how far away they are: build it again"))
    return found


def _islands(map_: Map, seen: Covisibility) -> list[Finding]:
    """Parts that share nothing with the largest one; lone references without landmarks are told elsewhere."""
    _, *others = seen.islands()
    found = []
    for island in others:
        names = tuple(map_.reference_names[i] for i in island.tolist())
        if len(island) == 1 and seen.landmarks[island[0]] < MIN_PAIR_MATCHES:
            continue
        conditions = Counter(shown_condition(map_.conditions[i]) for i in island.tolist())
        of = f" of condition {next(iter(conditions))}" if len(conditions) == 1 < len(_kinds(map_)) else ""
        what = f"{len(island)} references{of} share no landmarks with the rest: {listed(names)}"
        advice = "nothing checks their poses against the others'; add images in between, or make sure of them"
        found.append(Finding(Grade.WARNING, what, advice, names))
    return found


def _repeated(map_: Map) -> list[Finding]:
    poses = np.concatenate(
        [map_.reference_poses.translation, map_.reference_poses.rotation.reshape(len(map_), 9)], axis=1
    )
    keyed = [(c, tuple(row)) for c, row in zip(map_.conditions, poses.round(6).tolist(), strict=True)]
    count = Counter(keyed)
    names = tuple(n for n, key in zip(map_.reference_names, keyed, strict=True) if count[key] > 1)
    if not names:
        return []
    what = f"several references at one and the same pose: {listed(names)}"
    return [
        Finding(Grade.WARNING, what, "was a recording added twice? `relpose map prune` drops copies", names)
    ]


def _twins(map_: Map) -> list[Finding]:
    if not map_.twins_of:
        return []
    names = tuple(map_.reference_names[i] for i in sorted(map_.twins_of))
    what = f"{len(map_.twins)} pairs of references look alike and show different places: {listed(names)}"
    advice = "in doubt frames there get no pose; something that tells the places apart would help"
    return [Finding(Grade.NOTE, what, advice, names)]


def _calibration(map_: Map) -> list[Finding]:
    known = map_.calibration
    advice = "`relpose calibrate --map MAP SOURCE` with images of another drive"
    if not known or not known.get("samples"):
        what = "the covariance is not calibrated: it is the prior's"
        return [Finding(Grade.PROBLEM, what, advice)]
    found = []
    if known["samples"] < FEW_SAMPLES:
        what = f"the calibration was fitted to {known['samples']} images only and leans on its prior"
        found.append(Finding(Grade.WARNING, what, advice))
    if known.get("wrong"):
        what = f"{known['wrong']} of {known.get('tried', '?')} held-out images got a wrong pose"
        found.append(Finding(Grade.WARNING, what, "look for places that look alike, or for wrong poses"))
    if (known.get("availability") or 0.0) < FEW_FOUND:
        what = f"{known.get('availability') or 0:.0%} of the held-out images were localized"
        found.append(Finding(Grade.WARNING, what, "the references are too far apart: add images in between"))
    if not known.get("evidence"):
        what = "the calibration comes from the map's own references, not from another drive"
        found.append(Finding(Grade.NOTE, what, advice))
    return found


def _history(map_: Map) -> list[Finding]:
    found = []
    left_out = map_.provenance.get("left_out") or {}
    if left_out:
        name, why = next(iter(left_out.items()))
        what = f"{len(left_out)} images were left out when it was built; {name}: {why}"
        found.append(Finding(Grade.NOTE, what, "mend them and `relpose map add` them", tuple(left_out)))
    if map_.provenance.get("schema_version") == 1:
        what = "the file has schema version 1, with one checksum over everything"
        found.append(Finding(Grade.NOTE, what, "it still opens; any change writes the present version"))
    return found


def _kinds(map_: Map) -> set[str]:
    return set(map_.conditions)


def _names(map_: Map, chosen: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> tuple[str, ...]:
    return tuple(map_.reference_names[i] for i in np.flatnonzero(chosen).tolist())
