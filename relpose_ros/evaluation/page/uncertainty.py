"""One HTML file of `relpose show uncertainty`: figures in words, and the pictures themselves."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relpose_ros.evaluation import words
from relpose_ros.evaluation.cell_errors import CellErrors
from relpose_ros.evaluation.files import write_text
from relpose_ros.evaluation.page.css import CSS
from relpose_ros.evaluation.page.figures import card, section
from relpose_ros.evaluation.plots.scene_cells import plot_calibration
from relpose_ros.evaluation.plots.style import house_style

if TYPE_CHECKING:
    from relpose_ros.evaluation.uncertainty import Examined

MAX_PICTURES = 60
"""More would make a page that no browser likes; all of them lie beside it."""

OWN_CSS = "figure img{width:100%;background:#fff}.grid .card{max-width:640px}"

LEGEND = (
    "From left to right: the image; the coordinates as colours; the standard deviation that the network "
    "predicts, along an axis; the error. Bright is large. Where the network knows its errors, the last two "
    "look alike. Grey: nothing is known there."
)

ERROR_KINDS = {
    "m": "Error: distance to the coordinate that depth or labels give.",
    "px": "Error: reprojection error at the true pose (the data set knows no depth here). It does not see "
    "errors along the ray.",
}


def write_page(examined: Examined, summary: Mapping[str, Any], path: Path) -> Path:
    """Write the page. Raises RelposeError when it cannot be written."""
    title = f"{summary.get('checkpoint', 'Scene coordinates')} on {summary['source']}"
    with house_style():
        curves = [_calibration(unit, examined.errors) for unit in summary["all"]]
    parts = [
        f'<p class="verdict">{escape(verdict(summary))}</p>',
        section("Does it know where it errs", curves),
        _table(summary),
        _pictures(examined),
    ]
    return write_text(
        path,
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}{OWN_CSS}</style></head>"
        f'<body><main><h1>{escape(title)}</h1><p class="sub">{escape(str(summary["command"]))}</p>'
        + "\n".join(parts)
        + "</main></body></html>\n",
    )


def verdict(summary: Mapping[str, Any]) -> str:
    """The figures over all images, in words."""
    sentences = [_sentence(unit, figures) for unit, figures in summary["all"].items()]
    if not summary.get("metric", True):
        sentences.append("The scene has no metric scale: read m as its own unit.")
    return " ".join(sentences)


def _sentence(unit: str, figures: Mapping[str, Any]) -> str:
    error = error_words(figures)
    text = f"Half of {figures['cells']} cells are within {error}"
    if figures["spearman"] is None:
        return f"{text}; the network predicts no uncertainty that could be compared with it."
    text += f"; rank correlation of predicted deviation and error: {figures['spearman']:.2f}"
    if figures["coverage_95"] is not None:
        share = words.percent(figures["coverage_95"], 0)
        text += f"; the region said to hold the truth 95 % of the time held it {share} of the time"
    return text + "."


def error_words(figures: Mapping[str, Any]) -> str:
    """The median error with its unit."""
    if figures["unit"] == "m":
        return words.length(figures["median_error"])
    return f"{words.number(figures['median_error'], 1)} px"


def _calibration(unit: str, errors: list[CellErrors]) -> str:
    return card(
        "Error by predicted deviation",
        f"Ten groups of cells, from the surest to the least sure. {ERROR_KINDS[unit]}",
        plot_calibration([e for e in errors if e.unit == unit]),
        f"calibration-{unit}",
        "Nothing to draw: the network predicts no uncertainty, or too few cells are known.",
    )


def _table(summary: Mapping[str, Any]) -> str:
    heads = ("image", "cells", "median error", "median deviation", "rank correlation", "coverage at 95 %")
    rows = "".join(_row(row["image"], row) for row in summary["per_image"])
    total = "".join(_row(f"all ({unit})", row) for unit, row in summary["all"].items())
    left_out = "".join(
        f"<p>{escape(name)} was left out: {escape(why)}</p>" for name, why in summary["left_out"].items()
    )
    head = "".join(f"<th>{h}</th>" for h in heads)
    table = f"<table><tr>{head}</tr>{total}{rows}</table>"
    return f'<h2>Every image</h2><div class="card scroll">{table}{left_out}</div>'


def _row(name: str, figures: Mapping[str, Any]) -> str:
    cells = (
        str(figures["cells"]),
        error_words(figures),
        words.length(figures["median_deviation_m"]),
        words.number(figures["spearman"]),
        words.percent(figures["coverage_95"], 0),
    )
    return (
        f"<tr><td>{escape(name)}</td>" + "".join(f'<td class="num">{escape(c)}</td>' for c in cells) + "</tr>"
    )


def _pictures(examined: Examined) -> str:
    shown = list(zip(examined.errors, examined.pictures, strict=True))[:MAX_PICTURES]
    more = len(examined.pictures) - len(shown)
    note = f" {more} more are beside this page." if more else ""
    figures = "".join(
        f'<figure class="card"><img alt="{escape(e.name, quote=True)}" src="data:image/png;base64,'
        f'{base64.b64encode(p.read_bytes()).decode()}"></figure>'
        for e, p in shown
    )
    return f'<h2>The cells</h2><p class="sub">{escape(LEGEND + note)}</p>{figures}'
