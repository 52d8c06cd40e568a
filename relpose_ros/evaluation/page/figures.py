"""The plots, each in a card with a title and how to read it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from relpose_ros.evaluation.plots import (
    confidence,
    consistency,
    cumulative,
    latency,
    style,
    timeline,
    trajectory,
)
from relpose_ros.evaluation.plots.data import ReportData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NO_TRUTH = "Nothing to draw: no pose can be compared with a ground truth."


def where(data: ReportData) -> str:
    """Trajectory and availability."""
    drawn = trajectory.plot(data)
    figure, note = drawn or (None, "")
    path = card("From above", note, figure, "trajectory", "Nothing to draw: no position is known.")
    return section("Where", [path, _timeline(data)])


def accuracy(data: ReportData) -> str:
    """Cumulative errors and latency."""
    curves = card(
        "Cumulative error, over all queries",
        "How many of all queries are within an error. Higher and further left is better; the curve "
        "ends at the share that got a pose. Dotted: the limits used for recall.",
        cumulative.plot(data),
        "cumulative",
        "Nothing to draw: no query has ground truth.",
    )
    time = card("Latency by stage", "", latency.plot(data), "latency", "Nothing to draw: nothing was timed.")
    return section("How exact, how fast", [curves, time])


def trust(data: ReportData) -> str:
    """Everything about uncertainty."""
    cards = [
        card(
            "Confidence against error",
            "Wrong poses (above the dashed line) should sit on the left.",
            confidence.plot_scatter(data),
            "confidence",
            NO_TRUTH,
        ),
        card(
            "Rejection curve",
            "Error when only the most confident poses are kept. It should fall towards the left.",
            confidence.plot_rejection(data),
            "rejection",
            "Nothing to draw: it takes two poses with ground truth.",
        ),
        card(
            "NEES and coverage by difficulty",
            "Quarters of the queries by distance and angle to the nearest reference. Left: 95 of 100 "
            "dots should be below the dashed line; bars are medians. Right: the bars should reach it; "
            "the thin lines are what chance leaves open.",
            consistency.plot_quartiles(data),
            "quartiles",
            NO_TRUTH,
        ),
        card(
            "Reliability",
            "On the diagonal, what is claimed is what happens. Below it: overconfident.",
            consistency.plot_reliability(data),
            "reliability",
            NO_TRUTH,
        ),
    ]
    return section("Can it be believed", cards)


def card(title: str, text: str, figure: Figure | None, name: str, empty: str) -> str:
    """A figure with its title and explanation, or the reason why there is none."""
    body = f"<p>{escape(empty)}</p>"
    if figure is not None:
        body = (f"<p>{escape(text)}</p>" if text else "") + style.to_svg(figure, name, escape(title))
    return f'<div class="card"><h3>{escape(title)}</h3>{body}</div>'


def section(title: str, cards: list[str]) -> str:
    """A heading over a grid of cards."""
    return f'<h2>{escape(title)}</h2><div class="grid">{"".join(cards)}</div>'


def _timeline(data: ReportData) -> str:
    text = "One tick a query: green got a pose, amber got one with a warning, red got none."
    element = card("Availability", text, timeline.plot(data), "timeline", "Nothing to draw: no queries.")
    if not timeline.inside(data):
        return element
    labels = [row for row in timeline.rows(data)[0] if row[0] not in ("localized", "degraded")]
    items = "".join(f"<li><b>{escape(a)}</b>: {escape(b)} ({n})</li>" for a, b, n in labels)
    listed = f'<ul class="reasons">{items}</ul>' if items else ""
    return element.removesuffix("</div>") + listed + "</div>"
