"""Where the time goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relpose_ros.evaluation.plots import style
from relpose_ros.evaluation.plots.data import ReportData

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(data: ReportData) -> Figure | None:
    """A bar a stage up to its median, marks at p95 and p99; None when nothing was timed."""
    table = data.results["latency_ms"]
    stages = [s for s in (*(k for k in table if k != "total"), "total") if table[s]["count"]]
    if not stages:
        return None
    figure, (axes,) = style.new_figure(height=0.95 + 0.34 * len(stages))
    for row, stage in enumerate(stages):
        p50, p95, p99 = (table[stage][p] for p in ("p50", "p95", "p99"))
        colour = style.INK if stage == "total" else style.STAGES[row % len(style.STAGES)]
        axes.barh(row, p50, height=0.55, color=colour, alpha=0.8)
        axes.hlines(row, p50, p99, colors=colour, linewidth=1.2)
        axes.vlines(p95, row - 0.2, row + 0.2, colors=colour, linewidth=2)
        axes.vlines(p99, row - 0.2, row + 0.2, colors=colour, linewidth=1)
        axes.annotate(f"{p50:.1f}", (p99, row), xytext=(5, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(stages)), stages)
    axes.set_ylim(len(stages) - 0.4, -0.6)
    axes.set_xlim(0, 1.16 * max(table[s]["p99"] for s in stages) or 1.0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("ms: bar and number p50, thick mark p95, thin mark p99")
    return figure
