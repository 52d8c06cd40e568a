"""A map without the references that it can spare, and what that costs. What `relpose map prune` calls."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from relpose_ros.localization.calibration import Sample
from relpose_ros.localization.evenly import evenly
from relpose_ros.localization.holdout import best_in
from relpose_ros.localization.mapping import check_out, finish
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.covisibility import Covisibility
from relpose_ros.maps.leave_out import leave_out
from relpose_ros.maps.redundancy import PruneOptions, Spare, spare_references
from relpose_ros.progress import Progress, silent, tracked

MAX_TRIED = 100
"""Of the references that go, so many are localized in what stays."""


@dataclass(frozen=True)
class Pruned:
    """What went, and what it costs.

    `references`, `landmarks`, `sightings`, `twin_pairs`: before and after; `worst_loss`: largest share of
    its landmarks that the view of any reference lost, `worst_view` its name; `found` of the `tried`
    references that went are still localized in what stays, by their stored features, half of them within
    `median_error` map units.
    """

    useless: tuple[str, ...]
    redundant: tuple[str, ...]
    references: tuple[int, int]
    landmarks: tuple[int, int]
    sightings: tuple[int, int]
    twin_pairs: tuple[int, int]
    worst_loss: float
    worst_view: str
    tried: int
    found: int
    median_error: float | None
    map: Map

    @property
    def gone(self) -> tuple[str, ...]:
        """The names of all that went."""
        return (*self.useless, *self.redundant)


def prune_map(
    path: str | Path,
    out: str | Path | None,
    options: PruneOptions | None = None,
    progress: Progress = silent,
) -> Pruned:
    """Drop what is redundant or of no use, and write the map to `out`; None: only say what would go.

    The calibration stays as it was. Raises MapError where the map cannot be read or written.
    """
    start = time.perf_counter()
    if out is not None:
        check_out(Path(out))
    old, options = Map.open(path), options or PruneOptions()
    spare = spare_references(old, options)
    new = leave_out(old, spare.all.tolist())
    pruned = _judged(old, new, spare, options, progress)
    if out is None:
        return pruned
    note = {"references": len(spare.all), "at": len(old), "max_loss": options.max_loss}
    new = replace(new, provenance={**old.provenance, "pruned": {**note, "view_change": options.view_change}})
    return replace(pruned, map=finish(new, Path(out), start))


def _judged(old: Map, new: Map, spare: Spare, options: PruneOptions, progress: Progress) -> Pruned:
    before, after = Covisibility.of(old), Covisibility.of(new)
    useful = np.flatnonzero(before.landmarks >= options.min_landmarks)
    losses = _lost_landmarks(old, spare)[useful] / np.maximum(before.landmarks[useful], 1)
    worst = int(useful[np.argmax(losses)]) if len(useful) else 0
    samples, tried = _localized(old, new, spare.redundant.tolist(), progress)
    errors = [float(np.linalg.norm(s.error[:3])) for s in samples]
    return Pruned(
        useless=_names(old, spare.useless.tolist()),
        redundant=_names(old, spare.redundant.tolist()),
        references=(len(old), len(new)),
        landmarks=(len(old.landmarks), len(new.landmarks)),
        sightings=(int(before.landmarks.sum()), int(after.landmarks.sum())),
        twin_pairs=(len(old.twins), len(new.twins)),
        worst_loss=float(losses.max(initial=0.0)),
        worst_view=old.reference_names[worst],
        tried=tried,
        found=len(samples),
        median_error=float(np.median(errors)) if errors else None,
        map=new,
    )


def _lost_landmarks(old: Map, spare: Spare) -> Any:
    """Of the landmarks that each reference (R,) sees, how many fewer than two references are left to see."""
    seen = Covisibility.of(old).sightings
    stays = np.ones(len(old), np.int64)
    stays[spare.all] = 0
    return seen @ np.asarray((seen.T @ stays) < 2, np.int64)


def _localized(old: Map, new: Map, gone: Sequence[int], progress: Progress) -> tuple[list[Sample], int]:
    """References that went, localized in what stays: the right poses, and how many were tried."""
    chosen = [gone[i] for i in evenly(len(gone), MAX_TRIED)]
    samples = []
    for index in tracked(chosen, progress, "localizing what went"):
        found = best_in(new, old, index, old.reference_features(index))
        if found is not None:
            samples.append(Sample(found, old.reference_poses[index]))
    needed = int(old.calibration.get("min_inliers", 0))
    right = [s for s in samples if not s.is_gross and s.hypothesis.evidence.inliers >= needed]
    return right, len(chosen)


def _names(map_: Map, chosen: Sequence[int]) -> tuple[str, ...]:
    return tuple(map_.reference_names[i] for i in chosen)
