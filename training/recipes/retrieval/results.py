"""What a retrieval test leaves: results.json, the table, curves and the page."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.evaluation.provenance import command_line, hardware, software
from relpose_ros.evaluation.retrieval_confidence import DEFINITIONS as CONFIDENCE
from relpose_training.recipes.retrieval.examination import Examined, by_set
from relpose_training.recipes.retrieval.fitting import FittedTo
from relpose_training.recipes.retrieval.page import Groups, write_page
from relpose_training.recipes.retrieval.plots import save_curves
from relpose_training.recipes.retrieval.regions import RegionComparer
from relpose_training.recipes.retrieval.subjects import Subject
from relpose_training.recipes.retrieval.summary import describe_set, format_tables, query_results, summarise

SCHEMA, VERSION = "relpose_ros/retrieval", 1

DEFINITIONS = {
    "recall": "R@N: share of the queries that have a right reference with one among the first N answers, and "
    "Wilson's interval (95 %) of R@1",
    "average_precision": f"AP: {CONFIDENCE['average_precision']}",
    "auroc": f"AUROC: {CONFIDENCE['auroc']}",
    "full_precision_recall": f"R@P=100: {CONFIDENCE['full_precision_recall']}",
    "scores": "cosine; of re-ranked answers 1 less the re-ranked distance",
    "image_ms": "image: mean over queries and gallery, reading (and for vlad its training) included",
    "search_ms": "search: mean of a query, re-ranking included",
}


@dataclass(frozen=True)
class Results:
    """The `content` of results.json, the `table`, and the `groups` that the pictures are made from."""

    content: dict[str, Any]
    table: str
    groups: Groups


def collect_results(
    rows: Sequence[Examined], subjects: Sequence[Subject], fitted: FittedTo | None, args: argparse.Namespace
) -> Results:
    """Everything that was found, and how."""
    groups: Groups = {
        name: (describe_set(part[0]), [summarise(row, args.at) for row in part], part)
        for name, part in by_set(rows).items()
    }
    reranking = {key: getattr(args, key) for key in ("k1", "k2", "distance_weight")}
    reranking |= {"shortlist": None if args.whole else args.shortlist, "compat": args.compat}
    content = {
        "schema": SCHEMA,
        "schema_version": VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "software": software(),
        "hardware": hardware(),
        "subjects": [subject.about for subject in subjects],
        "pca": {"dimension": args.pca, "fitted_to": asdict(fitted)} if fitted else None,
        "reranking": reranking if args.rerank else None,
        "definitions": DEFINITIONS,
        "sets": [
            {
                "name": name,
                **about,
                "rows": [
                    {**summary, "per_query": query_results(row)}
                    for summary, row in zip(summaries, part, strict=True)
                ],
            }
            for name, (about, summaries, part) in groups.items()
        ],
    }
    table = format_tables({name: (about, summaries) for name, (about, summaries, _) in groups.items()})
    return Results(plain(content), table, groups)


def write_files(
    results: Results, file: Path | None, folder: Path | None, comparers: Mapping[str, RegionComparer]
) -> list[str]:
    """Write what was asked for; returns lines that say so. Raises RelposeError when it cannot be written."""
    text = json.dumps(results.content, allow_nan=False)
    said = []
    if file is not None:
        write_text(file, text)
        said.append(f"{file}: every query")
    if folder is not None:
        write_text(folder / "results.json", text)
        write_text(folder / "table.txt", f"{results.table}\n")
        curves = save_curves({name: part for name, (_, _, part) in results.groups.items()}, folder)
        write_page(results.groups, results.content, folder / "index.html", comparers)
        said.append(f"{folder}: {', '.join(['index.html', 'results.json', 'table.txt', *curves])}")
    return said
