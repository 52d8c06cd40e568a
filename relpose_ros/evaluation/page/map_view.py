"""One HTML file that shows a map: no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from relpose_ros.evaluation import words
from relpose_ros.evaluation.files import write_text
from relpose_ros.evaluation.page.css import CSS
from relpose_ros.evaluation.page.figures import card, section
from relpose_ros.evaluation.plots import map_drawing
from relpose_ros.evaluation.plots.map_scene import HEADINGS, MapScene
from relpose_ros.evaluation.plots.style import house_style

MAX_NAMES = 200
"""More references than this are not listed one by one."""

Table = Sequence[Sequence[str]]


def write_map_page(
    scene: MapScene,
    info: Mapping[str, Any],
    out: Path,
    *,
    conditions: Table = (),
    findings: Table = (),
) -> Path:
    """Draw a map into the file `out`. Raises RelposeError when it cannot be written.

    `info`: `Map.info()`; `conditions`: rows of name, references, landmarks, shared; `findings`: rows of
    grade, what, advice.
    """
    title = f"Map {info.get('name') or ''}".strip()
    with house_style():
        parts = [_tiles(scene, info), _where(scene), _findings(findings), _good_for(scene)]
    parts += [_conditions(scene, conditions), _weak(scene), _unused(scene), _about(info)]
    return write_text(
        Path(out),
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head>"
        f'<body><main><h1>{escape(title)}</h1><p class="sub">{escape(str(info.get("path") or ""))}</p>'
        + "\n".join(parts)
        + "</main></body></html>\n",
    )


def _tiles(scene: MapScene, info: Mapping[str, Any]) -> str:
    spacing = words.length(scene.spacing, scene.metric)
    tiles = [
        (str(len(scene.names)), "references", ""),
        (str(len(scene.points)), "landmarks", ""),
        (spacing, "typical distance to the next reference", ""),
        (f"{np.median(scene.landmarks):.0f}", "landmarks that half of the references see", ""),
        (str(int(scene.poor.sum())), f"references with fewer than {scene.few} landmarks", _shade(scene.poor)),
        (str(int(scene.lone.sum())), "references that match no other", _shade(scene.lone)),
        (words.size(info.get("bytes")), "on disk", ""),
    ]
    body = "".join(
        f'<div class="tile {shade}"><b>{escape(value)}</b><span>{escape(what)}</span></div>'
        for value, what, shade in tiles
    )
    return f'<div class="tiles">{body}</div>'


def _shade(mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> str:
    return "warn" if mask.any() else "good"


def _where(scene: MapScene) -> str:
    first, second, third = scene.axes
    text = "Each dot is a reference, its arrow where it looks; grey: landmarks."
    cards = [
        card("From above", text, map_drawing.plot_view(scene, (first, second)), "above", ""),
        card(
            "From the side",
            "The same along the axis in which the references spread least.",
            map_drawing.plot_view(scene, (first, third)),
            "side",
            "",
        ),
    ]
    return section("Where", cards)


def _good_for(scene: MapScene) -> str:
    cards = [
        card(
            "Directions that were looked in",
            f"Of {HEADINGS} directions, in how many some reference looks from there (from above). A robot "
            "that looks another way there has little to match with. Empty: no reference.",
            map_drawing.plot_headings(scene),
            "headings",
            "",
        ),
        card(
            "Landmarks by reference",
            "In the map's order. Below the dashed line a reference does not help to localize.",
            map_drawing.plot_landmarks(scene),
            "landmarks",
            "",
        ),
    ]
    return section("Coverage", cards)


def _findings(rows: Table) -> str:
    if not rows:
        return '<h2>Findings</h2><p class="sub">relpose map check finds nothing to mend.</p>'
    colour = {"problem": "false", "warning": "degraded"}
    body = "".join(
        f'<tr><td><span class="tag {colour.get(grade, "")}">{escape(grade)}</span></td>'
        f'<td>{escape(what)}</td><td class="meaning">{escape(advice)}</td></tr>'
        for grade, what, advice in rows
    )
    return f'<h2>Findings</h2><div class="card scroll"><table class="stack">{body}</table></div>'


def _conditions(scene: MapScene, rows: Table) -> str:
    if len(rows) < 2:
        return ""
    colours = map_drawing.condition_colours(scene)
    body = "".join(
        f'<tr><td><b style="color:{colours.get(row[0], "inherit")}">●</b> {escape(row[0])}</td>'
        + "".join(f'<td class="num">{escape(cell)}</td>' for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    heads = "".join(f"<th>{h}</th>" for h in ("condition", "references", "landmarks", "shared with others"))
    return f'<h2>Conditions</h2><div class="card scroll"><table><tr>{heads}</tr>{body}</table></div>'


def _weak(scene: MapScene) -> str:
    weak = np.flatnonzero(scene.poor | scene.lone)
    rows = [
        (scene.names[i], str(scene.landmarks[i]), str(scene.partners[i]), scene.conditions[i])
        for i in weak.tolist()
    ]
    heads = ("reference", "landmarks", "matches references", "condition")
    return _listed("References that match no other or see little", heads, rows)


def _unused(scene: MapScene) -> str:
    rows = [
        (scene.names[i], str(scene.landmarks[i]), str(scene.partners[i]), scene.conditions[i])
        for i in np.flatnonzero(scene.unused).tolist()
    ]
    heads = ("reference", "landmarks", "matches references", "condition")
    return _listed("References that no answer of the evaluation used", heads, rows)


def _listed(title: str, heads: Sequence[str], rows: Table) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{h}</th>" for h in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[:MAX_NAMES]
    )
    more = len(rows) - MAX_NAMES
    note = f'<p class="sub">and {more} more</p>' if more > 0 else ""
    return (
        f"<h2>{escape(title)}</h2><details><summary>{len(rows)} references</summary>"
        f'<div class="card scroll"><table><tr>{head}</tr>{body}</table></div>{note}</details>'
    )


def _about(info: Mapping[str, Any]) -> str:
    provenance = info.get("provenance") or {}
    facts = {
        "Created": info.get("created"),
        "Source": provenance.get("source"),
        "Software": provenance.get("software"),
        "Features": info.get("feature"),
        "Global descriptor": info.get("descriptor"),
        "Unit": "metre" if info.get("metric") else "arbitrary",
        "Schema": info.get("schema_version"),
    }
    body = "".join(
        f"<tr><td>{n}</td><td><code>{escape(str(v))}</code></td></tr>" for n, v in facts.items() if v
    )
    return f'<h2>About</h2><div class="card"><table class="stack">{body}</table></div>'
