"""Numbers of a tested way of describing images: recall, and what its similarity is worth as a confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from relpose_ros.evaluation import words
from relpose_ros.evaluation.consistency import Share
from relpose_ros.evaluation.retrieval_confidence import judge_confidence
from relpose_ros.evaluation.retrieval_recall import MISSED, recalls_of_ranks
from relpose_training.recipes.retrieval.examination import Examined
from relpose_training.recipes.retrieval.ranking import NOTHING

Row = dict[str, Any]

PLAIN, TOKYO = "plain", "Tokyo 24/7: one answer a place, queries in their own aspect"


def summarise(examined: Examined, at: Sequence[int]) -> Row:
    """Of one row: JSON values. Recall is a share of the answerable queries, with Wilson's interval (95 %)."""
    ranks = examined.ranks[examined.answerable]
    intervals = {n: Share(int(((ranks != MISSED) & (ranks < n)).sum()), len(ranks)).interval for n in at}
    confidence = judge_confidence(examined.ranking.scores[:, 0], examined.right[:, 0], len(ranks))
    return {
        "method": examined.method,
        "subject": examined.subject,
        "variant": examined.variant,
        "dimension": examined.dimension,
        "recall": dict(zip(map(str, at), recalls_of_ranks(ranks, at).tolist(), strict=True)),
        "recall_interval_95": {str(n): list(interval) for n, interval in intervals.items()},
        "confidence": vars(confidence),
        "image_ms": examined.image_ms,
        "search_ms": examined.ranking.query_ms,
    }


def describe_set(examined: Examined) -> Row:
    """Of the set that a row is about: JSON values."""
    tested = examined.tested
    return {
        "folder": tested.folder,
        "kind": tested.kind,
        "split": tested.split_name,
        "right": tested.criterion,
        "rule": TOKYO if tested.tokyo_rule else PLAIN,
        "queries": len(tested.split.queries),
        "unmatched": tested.unmatched,
        "left_out": tested.left_out,
        "gallery": len(tested.split.gallery),
    }


def query_results(examined: Examined) -> list[Row]:
    """Every query of a row: its answers, best first, with scores, and which are right."""
    queries, gallery = examined.tested.split.queries, examined.tested.split.gallery
    out = []
    for i, query in enumerate(queries):
        answers = examined.ranking.answers[i]
        kept = answers != NOTHING
        nearest = int(examined.nearest_right[i])
        out.append(
            {
                "query": query.file,
                "answers": [gallery[j].file for j in answers[kept]],
                "scores": [round(float(s), 6) for s in examined.ranking.scores[i][kept]],
                "right": examined.right[i][kept].tolist(),
                "first_right": int(examined.ranks[i]) + 1 if examined.ranks[i] != MISSED else None,
                "references": len(examined.tested.split.positives[i]),
                "nearest_right": gallery[nearest].file if nearest != NOTHING else None,
                "nearest_right_cosine": float(examined.nearest_cosine[i]),
            }
        )
    return out


def format_tables(groups: Mapping[str, tuple[Row, Sequence[Row]]]) -> str:
    """Text: for each set a heading, and a line for each row."""
    return "\n\n".join(f"{set_words(name, about)}\n{_table(rows)}" for name, (about, rows) in groups.items())


def set_words(name: str, about: Row) -> str:
    """A set in one line."""
    text = f"{name}, {about['split']}: {about['queries']} queries, {about['gallery']} references"
    if about["unmatched"]:
        text += f"; without a right one {about['unmatched']} (not in recall, wrong in precision)"
    if about["left_out"]:
        text += f"; left out, without a right one: {about['left_out']}"
    return f"{text}; right: {about['right']}" + ("; Tokyo 24/7 rule" if about["rule"] != PLAIN else "")


def heads(rows: Sequence[Row]) -> list[str]:
    """Headings of the table."""
    recalls = [f"R@{n}" for n in rows[0]["recall"]]
    sure = ["AP", "AUROC", "R@P=100"]
    return ["method", "values", recalls[0], "(95 %)", *recalls[1:], *sure, "image", "search"]


def cells(row: Row) -> list[str]:
    """The cells of one row under `heads`."""
    first, *others = row["recall"].values()
    interval = next(iter(row["recall_interval_95"].values()))
    confidence = row["confidence"]
    return [
        row["method"],
        str(row["dimension"]),
        _percent(first),
        words.interval(interval) if math.isfinite(interval[0]) else words.NONE,
        *map(_percent, others),
        _percent(confidence["average_precision"]),
        _percent(confidence["auroc"]),
        _percent(confidence["full_precision_recall"]),
        words.milliseconds(row["image_ms"]),
        words.milliseconds(row["search_ms"]),
    ]


def _table(rows: Sequence[Row]) -> str:
    lines = [heads(rows), *map(cells, rows)]
    widths = np.max([[len(cell) for cell in line] for line in lines], axis=0)
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def _percent(share: float) -> str:
    return words.NONE if math.isnan(share) else f"{100 * share:.1f}"
