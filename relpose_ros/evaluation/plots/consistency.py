"""Is the stated uncertainty the real one? NEES and coverage by difficulty, and reliability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from relpose_ros.evaluation.consistency import DOF, coverage, threshold
from relpose_ros.evaluation.plots import style
from relpose_ros.evaluation.plots.data import ReportData

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = ("easy", "2", "3", "hard")
CEILING = 1e4
"""NEES above this (infinite included) is drawn here."""


def plot_quartiles(data: ReportData) -> Figure | None:
    """NEES (dots) and coverage (bars) for each quarter of the queries; all together without references."""
    scores = data.scores
    known = scores.judged & ~np.isnan(scores.nees)
    if not known.any():
        return None
    groups = {NAMES[q]: scores.nees[known & (data.quartile == q)] for q in range(4)}
    if not any(len(v) for v in groups.values()):
        groups = {"all": scores.nees[known]}
    figure, (left, right) = style.new_figure(height=3.0, columns=2)
    _dots(left, list(groups.values()))
    _bars(right, list(groups.values()))
    for axes in (left, right):
        axes.set_xticks(range(len(groups)), list(groups), fontsize=9)
        axes.set_xlim(-0.6, len(groups) - 0.4)
        axes.grid(axis="x", visible=False)
    return figure


def _dots(axes: Axes, groups: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> None:
    random = np.random.default_rng(0)
    limit = threshold(0.95)
    for index, values in enumerate(groups):
        values = np.clip(values, 1e-2, CEILING)
        place = index + random.uniform(-0.28, 0.28, len(values))
        colours = np.where(values < limit, style.BLUE, style.RED)
        axes.scatter(place, values, s=9, c=colours, alpha=0.65, linewidths=0, rasterized=len(values) > 800)
        if len(values):
            axes.hlines(np.median(values), index - 0.35, index + 0.35, colors=style.INK, linewidth=1.6)
    axes.axhline(limit, color=style.RED, linewidth=0.9, linestyle=(0, (3, 3)))
    style.logarithmic(axes, "y")
    axes.set_title(f"NEES (mean should be {DOF})")


def _bars(axes: Axes, groups: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> None:
    for index, values in enumerate(groups):
        cover = coverage(values)
        if not cover.count:
            continue
        low, high = cover.interval
        axes.bar(index, cover.value, width=0.62, color=style.BLUE, alpha=0.75)
        axes.vlines(index, low, high, colors=style.INK, linewidth=1.4)
        axes.text(index, 0.03, f"{100 * cover.value:.0f}", ha="center", color="white", fontsize=10)
    axes.axhline(0.95, color=style.RED, linewidth=0.9, linestyle=(0, (3, 3)))
    axes.set_ylim(0, 1.04)
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f} %")
    axes.set_title("95 % region holds truth")


def plot_reliability(data: ReportData) -> Figure | None:
    """Covariances and confidence against what really happened; on the diagonal both are honest."""
    if not data.results["coverage_count"]:
        return None
    figure, (left, right) = style.new_figure(height=3.0, columns=2)
    _covariance_curve(left, data)
    _confidence_curve(right, data)
    for axes in (left, right):
        axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=0.9, linestyle=(0, (3, 3)))
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_aspect("equal")
        axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f}")
        axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:.0f}")
    return figure


def _covariance_curve(axes: Axes, data: ReportData) -> None:
    table = data.results["reliability"]
    level = [row["level"] for row in table]
    low, high = [row["low"] for row in table], [row["high"] for row in table]
    axes.fill_between(level, low, high, color=style.BLUE, alpha=0.18, linewidth=0)
    axes.plot(level, [row["share"] for row in table], color=style.BLUE, marker="o", markersize=3.5)
    axes.set_title("covariance")
    axes.set_xlabel("region said to hold [%]")
    axes.set_ylabel("truth inside [%]")


def _confidence_curve(axes: Axes, data: ReportData) -> None:
    bins = [b for b in data.results["confidence_bins"] if b["count"]]
    if bins:
        mean, right = [b["mean_confidence"] for b in bins], [b["share"] for b in bins]
        axes.vlines(mean, [b["low"] for b in bins], [b["high"] for b in bins], colors=style.GREEN, alpha=0.5)
        axes.plot(mean, right, color=style.GREEN, marker="o", markersize=4)
    axes.set_title("confidence")
    axes.set_xlabel("mean confidence [%]")
    axes.set_ylabel("poses right [%]")
