"""What one wants to know first: a sentence, six tiles, and a table in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from relpose_ros.evaluation import words
from relpose_ros.evaluation.counts import RECALL_SHOWN

Results = Mapping[str, Any]


def headline(r: Results) -> str:
    """The verdict and the tiles."""
    tiles = "".join(_tile(*t) for t in tiles_of(r))
    return f'<p class="verdict">{escape(verdict(r))}</p><div class="tiles">{tiles}</div>'


def numbers(r: Results) -> str:
    """The table of figures with what each means."""
    rows = "".join(_row(*row) for row in rows_of(r))
    return f'<h2>The numbers, in plain words</h2><div class="card"><table class="stack">{rows}</table></div>'


def verdict(r: Results) -> str:
    """One or two sentences that a reader can stop after."""
    if not r["queries"] and not r["outside_map"]["queries"]:
        return "There were no queries: nothing was measured."
    parts = []
    if r["queries"]:
        published = r["states"]["localized"] + r["states"]["degraded"]
        parts.append(f"{published} of {r['queries']} queries got a pose.")
    if r["median_translation_m"] is not None:
        distance = words.length(r["median_translation_m"], r["metric"])
        parts.append(f"Half of them are within {distance} and {words.degrees(r['median_rotation_deg'])}.")
    elif r["queries"] and not r["queries_with_truth"]:
        parts.append("No query has ground truth, so errors are unknown.")
    parts.append(_false_words(r))
    if r["coverage_95"] is not None:
        cover = words.percent(r["coverage_95"], 0)
        parts.append(f"The region said to hold the truth 95 % of the time held it {cover} of the time.")
    return " ".join(p for p in parts if p)


def _false_words(r: Results) -> str:
    if not r["queries_with_truth"] and not r["outside_map"]["queries"]:
        return ""
    count = r["false_poses"]
    return "No pose was false." if not count else f"{count} pose{'s were' if count > 1 else ' was'} false."


def tiles_of(r: Results) -> list[tuple[str, str, str]]:
    """(value, what it is, good|warn|bad|'') of each tile."""
    key = RECALL_SHOWN[r["metric"]]
    share = words.shown_recall(r)[key]
    total = r["latency_ms"]["total"]
    error = words.length(r["median_translation_m"], r["metric"])
    return [
        (words.percent(r["availability"]), "availability: queries with a pose", ""),
        (error, f"median error, and {words.degrees(r['median_rotation_deg'])}", ""),
        (words.percent(share), f"recall within {words.gate(key)}, of all queries", ""),
        (str(r["false_poses"]) if _false_grade(r) else words.NONE, "false poses", _false_grade(r)),
        (words.percent(r["coverage_95"]), "coverage of the 95 % region", coverage_grade(r)),
        (words.milliseconds(total["p50"]), f"median latency; p95 {words.milliseconds(total['p95'])}", ""),
    ]


def _false_grade(r: Results) -> str:
    if not r["queries_with_truth"] and not r["outside_map"]["queries"]:
        return ""
    return "bad" if r["false_poses"] else "good"


def coverage_grade(r: Results) -> str:
    """Good from 90 to 98 % or when the interval holds 95 %; bad where the covariance is too small."""
    value = r["coverage_95"]
    if value is None:
        return ""
    low, high = r["coverage_95_interval"]
    if 0.90 <= value <= 0.98 or low <= 0.95 <= high:
        return "good"
    return "bad" if value < 0.90 else "warn"


def rows_of(r: Results) -> list[tuple[str, str, str]]:
    """(name, value, meaning) of each figure."""
    metric, states = r["metric"], r["states"]
    rows = [
        (
            "Queries",
            str(r["queries"]),
            f"Images that the map should know; {r['queries_with_truth']} have ground truth.",
        ),
        (
            "Availability",
            words.percent(r["availability"]),
            f"Share of queries that got a pose: {states['localized']} localized, "
            f"{states['degraded']} degraded, {states['unlocalized']} without.",
        ),
        (
            "Median error",
            f"{words.length(r['median_translation_m'], metric)}, {words.degrees(r['median_rotation_deg'])}",
            "Half of the poses are closer to the truth than this. Queries without a pose are not in it.",
        ),
        *_recall_rows(r),
        ("False poses", str(r["false_poses"]), _false_meaning(r)),
        (
            "NEES",
            f"{words.number(r['nees_mean'], 1)} mean, {words.number(r['nees_median'], 1)} median",
            "Squared error in units of the stated covariance. An honest covariance gives 6 on average and "
            "5.3 in the middle; more means overconfident, less means too cautious.",
        ),
        (
            "Coverage at 95 %",
            f"{words.percent(r['coverage_95'])} ({words.interval(r['coverage_95_interval'])})",
            "How often the truth lay inside the region said to hold it 95 % of the time, with the range "
            "that this many queries leave open.",
        ),
        (
            "Inconsistent poses",
            str(r["inconsistent_poses"]),
            "Poses, exact or not, whose error is beyond what their covariance allows (chance under one in "
            "a million).",
        ),
    ]
    return rows + _outside_rows(r)


def _recall_rows(r: Results) -> list[tuple[str, str, str]]:
    meaning = (
        "Share of all queries with ground truth whose pose is nearer than both limits. "
        "No pose counts as a miss."
    )
    recalls = words.shown_recall(r)
    return [
        (f"Recall, {words.gate(key)}", words.percent(value), "" if index else meaning)
        for index, (key, value) in enumerate(recalls.items())
    ]


def _false_meaning(r: Results) -> str:
    detail = r["false_poses_detail"]
    distance = detail["limit_translation_m"]
    limit = "" if distance is None else f"{words.length(distance, r['metric'])} or "
    text = f"Poses called localized that are off by more than {limit}{detail['limit_rotation_deg']:g}°"
    if r["outside_map"]["queries"]:
        text += ", and poses for queries that the map does not contain"
    return text + "."


def _outside_rows(r: Results) -> list[tuple[str, str, str]]:
    outside = r["outside_map"]
    if not outside["queries"]:
        return []
    value = f"{outside['false_publications']} of {outside['queries']}"
    meaning = (
        "Queries of other places that got a pose all the same: should be none. "
        f"What this many queries leave open: {words.interval(outside['interval'], 1)}."
    )
    if outside["reasons"]:
        meaning += " The others had none because: " + words.reasons(outside["reasons"]) + "."
    return [("Outside the map", value, meaning)]


def _tile(value: str, label: str, grade: str) -> str:
    return f'<div class="tile {grade}"><b>{escape(value)}</b><span>{escape(label)}</span></div>'


def _row(name: str, value: str, meaning: str) -> str:
    return (
        f'<tr class="strong"><td>{escape(name)}</td><td class="num">{escape(value)}</td>'
        f'<td class="meaning">{escape(meaning)}</td></tr>'
    )
