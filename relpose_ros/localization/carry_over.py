"""What old maps were calibrated to, and what of it holds in a map that is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relpose_ros.localization.calibration import Calibration
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.notes import CALIBRATION, NETWORK, notes_of, with_notes


def carried_over(olds: Sequence[Map], map_: Map) -> Map:
    """A map that was made of `olds` and calibrated on its own references, with what else they knew.

    `relpose calibrate` saw images of another drive and of other places: what it found that chance reaches
    (`min_inliers`) is reached in the larger map too, and is not lowered. The rest of that calibration does
    not hold for other references, and a note says so. Notes of lost network descriptors stay.
    """
    known = [old for old in olds if _calibration_note(old)]
    notes = {kind: text for old in reversed(olds) for kind, text in notes_of(old.provenance).items()}
    kept = {NETWORK: notes[NETWORK]} if NETWORK in notes else {}
    if not known:
        return replace(map_, provenance=with_notes(map_.provenance, kept))
    least = [Calibration.from_dict(m.calibration).min_inliers for m in (map_, *known)]
    return replace(
        map_,
        calibration={**map_.calibration, "min_inliers": max(least)},
        provenance=with_notes(map_.provenance, {**kept, CALIBRATION: _calibration_note(known[0])}),
    )


def _calibration_note(old: Map) -> str:
    """What a map made of this one should say; empty where nobody calibrated it on other images."""
    evidence = old.calibration.get("evidence")
    if not evidence:
        return notes_of(old.provenance).get(CALIBRATION, "")
    return (
        f"the calibration on images of {evidence.get('source', '?')} is not in this map; run "
        "`relpose calibrate` again"
    )
