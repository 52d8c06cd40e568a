"""What a map says of itself that its owner should know: one note of a kind, in its provenance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CALIBRATION, FRAME, NETWORK, VLAD = "calibration", "frame", "network", "vlad"
"""Kinds of notes."""

_UNNAMED = "note"
"""Key of the one note that older maps have; its kind is not said."""

LOST_NETWORK = "descriptors for relative poses by"
"""How a note of the kind `NETWORK` begins, in older maps too."""


def notes_of(provenance: Mapping[str, Any]) -> dict[str, str]:
    """The notes of a map by kind."""
    notes = dict(provenance.get("notes") or {})
    old = provenance.get(_UNNAMED)
    if old:
        notes.setdefault(NETWORK if old.startswith(LOST_NETWORK) else _UNNAMED, old)
    return notes


def with_notes(provenance: Mapping[str, Any], notes: Mapping[str, str]) -> dict[str, Any]:
    """The provenance with these notes beside those of other kinds."""
    return _replaced(provenance, {**notes_of(provenance), **notes})


def without_note(provenance: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The provenance without its note of a kind."""
    return _replaced(provenance, {k: v for k, v in notes_of(provenance).items() if k != kind})


def _replaced(provenance: Mapping[str, Any], notes: dict[str, str]) -> dict[str, Any]:
    rest = {k: v for k, v in provenance.items() if k not in ("notes", _UNNAMED)}
    return {**rest, "notes": notes} if notes else rest
