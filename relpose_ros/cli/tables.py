"""Plain tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def format_table(rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Rows of text as left-aligned columns, two spaces apart."""
    cells = [list(row) for row in rows]
    if not cells:
        return ""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"{indent}{line}".rstrip() for line in lines)


def format_facts(facts: Mapping[str, Any], prefix: str = "") -> str:
    """A nested mapping of plain values as one line `a.b  value` each."""
    return format_table(_flat(facts, prefix))


def _flat(facts: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", _word(value)))
    return rows


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_word(v) for v in value)
    return str(value)
