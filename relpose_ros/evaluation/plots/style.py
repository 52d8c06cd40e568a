"""How plots look, and how they become SVG that follows the page's light or dark colours."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

INK, MUTED, LINE = "#111213", "#111214", "#111215"
"""Stand-ins that `to_svg` turns into the page's own text, secondary and line colours."""

BLUE, GREEN, AMBER, RED, GREY = "#3b82d6", "#2f9e6e", "#d9902f", "#d24b42", "#8b949e"
STATE_COLOURS = {"localized": GREEN, "degraded": AMBER, "unlocalized": RED}
STAGES = ("#3b82d6", "#2f9e6e", "#d9902f", "#8a63d2", "#c2569b", "#4aa3b5", "#8b949e")

VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)"}
WIDTH = 4.9
"""Inches. Small, so that text stays readable when a phone scales the drawing to its width."""


@contextmanager
def house_style(on_paper: bool = False) -> Iterator[None]:
    """Within this, figures are drawn and saved in the report's style. Nothing global is left changed.

    `on_paper`: for pictures that stand by themselves, on white.
    """
    import matplotlib as mpl

    line = "#d9dde1" if on_paper else LINE
    settings: Any = {
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.size": 10,
        "font.family": "sans-serif",
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.edgecolor": line,
        "axes.labelcolor": MUTED,
        "axes.titlecolor": INK,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": line,
        "grid.linewidth": 0.6,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "legend.frameon": False,
        "legend.fontsize": 9,
        "lines.linewidth": 1.8,
        "axes.unicode_minus": False,
    }
    with mpl.rc_context(settings):
        yield


def new_figure(height: float = 3.2, columns: int = 1, **layout: Any) -> tuple[Figure, list[Axes]]:
    """An empty figure of the report's width with `columns` axes side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **layout)
    return figure, list(axes[0])


def logarithmic(axes: Axes, which: Literal["x", "y"], steps: tuple[int, ...] = (1,)) -> None:
    """Make the x or y axis logarithmic with plain numbers (0.01, 0.1, 1) at `steps` of each decade."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=steps, numticks=9))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def error_colours() -> LinearSegmentedColormap:
    """Small to large error: blue, green, amber, red. Every step shows on light and on dark."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("error", ["#3b82d6", "#35a79c", "#d9b02f", "#d24b42"])


def to_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an inline SVG element. `name` keeps its ids apart from those of others."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue().decode("utf-8")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'(\bid=")([^"]+)', rf"\1{name}-\2", svg)
    svg = re.sub(r'(href="#|url\(#)([^")]+)', rf"\1{name}-\2", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, variable)
    return _head(svg, label)


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def _head(svg: str, label: str) -> str:
    """Replace the opening tag: scalable, labelled, without the namespaces HTML does not need."""
    box = re.search(r'viewBox="([^"]+)"', svg)
    view = box.group(1) if box else "0 0 400 240"
    opening = f'<svg class="plot" role="img" aria-label="{label}" viewBox="{view}">'
    return opening + svg[svg.index(">") + 1 :].strip()
