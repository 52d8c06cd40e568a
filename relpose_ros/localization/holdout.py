"""Test a map on its own references: each localized in the map without it and its surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.base import Features
from relpose_ros.localization.calibration import ANOTHER_DRIVE, Sample, fit_calibration
from relpose_ros.localization.circumstances import view_change
from relpose_ros.localization.evenly import evenly
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.options import options_for
from relpose_ros.localization.query import Query
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.leave_out import leave_out
from relpose_ros.progress import Progress, silent, tracked
from relpose_ros.retrieval.describer import Elsewhere
from relpose_ros.types import Hypothesis

HELD_OUT_VIEW_CHANGES = (0.25, 0.5)
"""References whose view differs less than this (radians of parallax and turn) are held out
together. A robot does not come back to the very place where a frame of the mapping drive was
taken, so the neighbouring frame of a video must not answer for it."""

CHANCE_SUPPORT = 10
"""Inliers that images of other places reach by chance; about one in 700 reaches 12
(`python -m benchmarks strangers`). A map's own look-alikes may raise it, never lower it."""

_CHANCE_MARGIN = 1.5


def calibrate(
    map_: Map,
    features: Sequence[Features],
    max_samples: int = 100,
    progress: Progress = silent,
) -> Map:
    """The map with its calibration. `features`: the original ones of each reference, in order.

    At most `max_samples` references are tried, evenly spread, each at every distance of
    `HELD_OUT_VIEW_CHANGES` that changes what is held out.
    """
    chosen = evenly(len(map_), max_samples)
    limit = options_for("default").max_keypoints
    samples: list[Sample] = []
    chance: list[int] = []
    tried = 0
    for index in tracked(chosen.tolist(), progress, "calibrating"):
        for removed in held_out(map_, index):
            tried += 1
            sample = _sample(map_, index, removed, features[index][:limit])
            samples += [sample] if sample is not None else []
        chance += _chance_support(map_, index, features[index][:limit])
    wrong = [s.hypothesis.evidence.inliers for s in samples if s.is_gross]
    needed = int(np.ceil(_CHANCE_MARGIN * max([*chance, CHANCE_SUPPORT])))
    right = [s for s in samples if s.hypothesis.evidence.inliers >= needed]
    calibration = replace(
        fit_calibration(right, widened=ANOTHER_DRIVE),
        min_inliers=needed,
        availability=len(right) / tried if tried else None,
    )
    values = {**calibration.to_dict(), "tried": tried, "wrong": len(wrong)}
    return replace(map_, calibration=values)


def held_out(map_: Map, index: int) -> list[NDArray[np.intp]]:
    """Sets of references to remove so that the nearest one left is some way off."""
    pose = map_.reference_poses[index]
    parallax, angle = view_change(map_, pose.translation, pose.rotation[:, 2], map_.depth)
    change = np.sqrt(parallax**2 + angle**2)
    change[index] = 0.0
    sets: list[NDArray[np.intp]] = []
    for limit in HELD_OUT_VIEW_CHANGES:
        removed = np.flatnonzero(change < limit)
        is_new = not sets or len(removed) != len(sets[-1])
        if is_new and len(map_) - len(removed) >= 2:
            sets.append(removed)
    return sets


def _sample(map_: Map, index: int, removed: NDArray[np.intp], features: Features) -> Sample | None:
    found = best_in(leave_out(map_, removed.tolist()), map_, index, features)
    return Sample(found, map_.reference_poses[index]) if found is not None else None


def _chance_support(map_: Map, index: int, features: Features) -> list[int]:
    """Support that a wrong pose gets: this reference in the part of the map that does not show it."""
    away = elsewhere(map_, index)
    if away.sum() < 2:
        return []
    found = best_in(leave_out(map_, np.flatnonzero(~away).tolist()), map_, index, features)
    return [found.evidence.inliers] if found is not None else []


def elsewhere(map_: Map, index: int) -> NDArray[np.bool_]:
    """Which references (R,) show nothing of what this one shows, nor anything that looks like it."""
    mine = map_.visible[index]
    shared = np.array([np.isin(v, mine, assume_unique=True).sum() for v in map_.visible])
    shared[index] = 1
    parallax, angle = view_change(
        map_, map_.reference_poses[index].translation, map_.reference_poses[index].rotation[:, 2], map_.depth
    )
    # What shows the same thing may not have been matched: keep clear of the whole surroundings.
    away = (shared == 0) & ((angle > np.deg2rad(90)) | (parallax > 3.0))
    # Known look-alikes are not chance: a localizer compares them by themselves.
    at_twins = np.zeros(len(map_.landmarks), np.bool_)
    for twin in map_.twins_of.get(index, frozenset()):
        at_twins[map_.visible[twin]] = True
    return np.asarray(away & [not at_twins[v].any() for v in map_.visible])


def best_in(part: Map, whole: Map, index: int, features: Features) -> Hypothesis | None:
    """The best hypothesis for reference `index` of `whole`, by these features, in a `part` of that map."""
    localizer = Localizer(part, options_for("default"), describer=Elsewhere(whole.described_by))
    query = Query.of(features, whole.cameras[index])
    found, _ = localizer.hypotheses(query, localizer.retrieve(whole.global_descriptors[index]))
    # What the arbiter refuses as ambiguous is never published: it says nothing of what is.
    found = [h for h in found if h.method == "structure" and not h.evidence.rival_place]
    return found[0] if found else None
