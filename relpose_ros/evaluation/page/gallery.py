"""The queries worth looking at: the worst answers, and those that got none."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from relpose_ros.evaluation import words
from relpose_ros.evaluation.plots.data import ReportData
from relpose_ros.evaluation.plots.matches import data_uri
from relpose_ros.evaluation.reasons import generic

SHOWN = 6
LEGEND = (
    "Green circles: matches that the pose explains; red crosses: matches that it does not. Lines lead "
    "from a match to where its landmark falls under the estimated pose (green) and under the true one "
    "(blue): long blue lines show a wrong pose."
)


def gallery(data: ReportData) -> str:
    """Both galleries; empty text where there is nothing to show."""
    worst, missing = worst_queries(data), unlocalized_queries(data)
    return _section("The worst answers", worst, data, LEGEND) + _section("Without a pose", missing, data, "")


def worst_queries(data: ReportData, count: int = SHOWN) -> list[int]:
    """Indices: poses outside the map first, then by error in units of the gross limits.

    Without any ground truth: the least confident.
    """
    scores = data.scores
    if not len(scores):
        return []
    badness = np.maximum(scores.translation / _scale(data), scores.rotation_deg / data.limits.rotation_deg)
    badness = np.where(scores.judged, badness, -1 - scores.confidence)
    badness = np.where(scores.outside, np.inf, badness)
    shown = np.flatnonzero(scores.published)
    order = np.lexsort((scores.confidence[shown], -badness[shown]))
    return [int(i) for i in shown[order][:count]]


def unlocalized_queries(data: ReportData, count: int = SHOWN) -> list[int]:
    """Indices of queries inside the map without a pose: every reason once before any twice."""
    seen: dict[str, int] = {}
    ranked = []
    for index, record in enumerate(data.records):
        if record.localization.has_pose or record.outside_map:
            continue
        reason = generic(record.localization.reason)
        seen[reason] = seen.get(reason, 0) + 1
        ranked.append((seen[reason], index))
    return [index for _, index in sorted(ranked)[:count]]


def _scale(data: ReportData) -> float:
    limit = data.limits.translation
    return limit if np.isfinite(limit) else 1.0


def _section(title: str, indices: Sequence[int], data: ReportData, text: str) -> str:
    if not indices:
        return ""
    figures = "".join(_figure(data, i) for i in indices)
    note = f'<p class="sub">{escape(text)}</p>' if text else ""
    return f'<h2>{escape(title)}</h2>{note}<div class="gallery">{figures}</div>'


def _figure(data: ReportData, index: int) -> str:
    record = data.records[index]
    uri = data_uri(record)
    name = escape(record.name, quote=True)
    picture = f'<img alt="{name}" src="{uri}">' if uri else '<div class="noimage">no image</div>'
    caption = f"<b>{name}</b> {tag(data, index)}<br>{escape(_caption(data, index))}"
    return f'<figure class="card">{picture}<figcaption>{caption}</figcaption></figure>'


def tag(data: ReportData, index: int) -> str:
    """The state as a small label, and `false` where the pose is."""
    state = data.records[index].localization.state.value
    wrong = ' <span class="tag false">false</span>' if data.results["per_query"][index]["false_pose"] else ""
    return f'<span class="tag {state}">{state}</span>{wrong}'


def _caption(data: ReportData, index: int) -> str:
    record, query = data.records[index], data.results["per_query"][index]
    answer = record.localization
    parts = []
    if query["translation_error_m"] is not None:
        distance = words.length(query["translation_error_m"], data.metric)
        parts.append(f"off by {distance} and {words.degrees(query['rotation_error_deg'])}")
    if record.outside_map:
        parts.append("the map does not contain this place")
    if query["nees"] is not None:
        parts.append(f"NEES {query['nees']:.3g}")
    if answer.has_pose:
        parts.append(f"confidence {words.number(query['confidence'])}, {answer.inliers} inliers")
    text = "; ".join(parts)
    return ". ".join(p for p in (text, answer.reason or ("" if answer.has_pose else "No reason given")) if p)
