"""One HTML file that shows an evaluation: no script, nothing fetched, readable on a phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.evaluation.page import figures
from relpose_ros.evaluation.page.conditions import condition_tables
from relpose_ros.evaluation.page.css import CSS
from relpose_ros.evaluation.page.gallery import gallery
from relpose_ros.evaluation.page.headline import headline, numbers
from relpose_ros.evaluation.page.origin import origin
from relpose_ros.evaluation.page.queries import query_table
from relpose_ros.evaluation.plots.data import ReportData
from relpose_ros.evaluation.plots.style import house_style
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.evaluation.schema import validate_results
from relpose_ros.geometry.rigid import Rigid


def write_report(
    records: Sequence[QueryRecord],
    results: Mapping[str, Any],
    out: Path,
    map_points: NDArray[np.float64] | None = None,
    *,
    reference_poses: Rigid | None = None,
    title: str | None = None,
) -> Path:
    """Write the report of `records` and of what `summarize` said of them to the file `out`.

    `map_points` (L, 3) and `reference_poses` (map_from_camera, batched) are drawn in grey.
    Raises ConfigurationError when the results are of other records, RelposeError when they do
    not fit their schema or the file cannot be written.
    """
    clean = plain(results)
    validate_results(clean)
    if [q["image"] for q in clean["per_query"]] != [r.name for r in records]:
        raise ConfigurationError(
            f"expected the results of these {len(records)} records, got results of "
            f"{len(clean['per_query'])} others; call summarize(records) and pass what it returns"
        )
    data = ReportData(records, clean, reference_poses, map_points)
    return write_text(Path(out), render(data, title or default_title(clean)))


def render(data: ReportData, title: str) -> str:
    """The whole page."""
    with house_style():
        sections = [
            headline(data.results),
            figures.where(data),
            numbers(data.results),
            condition_tables(data.results),
            figures.accuracy(data),
            figures.trust(data),
            gallery(data),
            query_table(data),
            origin(data.results),
        ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head><body><main>"
        f'<h1>{escape(title)}</h1><p class="sub">{escape(_subtitle(data.results))}</p>'
        + "\n".join(sections)
        + "</main></body></html>\n"
    )


def default_title(results: Mapping[str, Any]) -> str:
    """What was localized, and in which map."""
    name, source = results["map"].get("name"), results["source"]
    if source and name and name != source:
        return f"{source} in {name}"
    return str(source or name or "Localization report")


def _subtitle(results: Mapping[str, Any]) -> str:
    return f"Visual localization, measured {results['created'].replace('T', ' ')} by relpose_ros"
