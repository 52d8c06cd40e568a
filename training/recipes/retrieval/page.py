"""One HTML file of a retrieval test: tables, curves, and hits and misses as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from relpose_ros.evaluation.files import write_text
from relpose_ros.evaluation.page.css import CSS
from relpose_ros.evaluation.page.figures import card, section
from relpose_ros.evaluation.plots.style import house_style
from relpose_ros.networks.retrieval.region import REGIONS
from relpose_training.recipes.retrieval.examination import Examined
from relpose_training.recipes.retrieval.pictures import found_later, thumbnail, weakest_hits, worst_misses
from relpose_training.recipes.retrieval.plots import draw_precision, draw_recall, new_card
from relpose_training.recipes.retrieval.ranking import NOTHING
from relpose_training.recipes.retrieval.regions import BOXES, RegionComparer, RegionMatch
from relpose_training.recipes.retrieval.summary import Row, cells, heads, set_words

SHOWN = 5
"""Answers that are shown of a query."""

MAX_PICTURES = 1600
"""On one page: some 8 MB."""

LEAST, MOST = 4, 40
"""Queries shown of each row of the table."""

OWN_CSS = """
.shots{display:flex;flex-wrap:wrap;gap:8px;margin:0 0 14px;padding:0 0 10px}
.shots figure{margin:0;width:150px}.shots img{max-width:100%;display:block}
.frame{position:relative;display:inline-block;border:3px solid var(--line)}
.right .frame{border-color:var(--good)}.wrong .frame{border-color:var(--bad)}
.missed .frame{border:3px dashed var(--warn)}.frame i{position:absolute;box-sizing:border-box}
.frame .box{border:2px solid var(--blue)}
.shots figcaption{font-size:.75rem;overflow-wrap:anywhere}
"""

LEGEND = (
    "Each line: the query, its first answers with their scores (green frame: right, red: wrong), and, if "
    "none of the answers shown is right, the most similar of the right references that were missed (dashed). "
    "Mistakes begin with the most confident one, hits with the least confident."
)

REGION_LEGEND = (
    "On the first answer: the region that is most like the whole query (blue box), and how like it the "
    "quarters are (glow), by the network without a PCA."
)

MOST_GLOW = 0.5

Groups = Mapping[str, tuple[Row, Sequence[Row], Sequence[Examined]]]


def write_page(
    groups: Groups, head: Mapping[str, Any], path: Path, comparers: Mapping[str, RegionComparer] | None = None
) -> Path:
    """Write the page: of each set what it is, the rows of its table and what they were made from.

    `comparers`, by subject: they mark the region of the first answer that is most like the query. Raises
    RelposeError when it cannot be written.
    """
    known = comparers or {}
    title = f"Retrieval on {', '.join(groups)}"
    shown = queries_shown(sum(len(rows) for _, rows, _ in groups.values()))
    with house_style():
        parts = [
            _set(name, *group, number, shown, known) for number, (name, group) in enumerate(groups.items())
        ]
    return write_text(
        path,
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}{OWN_CSS}</style></head>"
        f'<body><main><h1>{escape(title)}</h1><p class="sub">{escape(str(head["command"]))}</p>'
        + "\n".join(parts)
        + _meanings(head["definitions"])
        + "</main></body></html>\n",
    )


def queries_shown(rows: int) -> int:
    """How many queries of each of so many rows: together no more than MAX_PICTURES, but LEAST anyway."""
    return max(LEAST, min(MOST, MAX_PICTURES // ((SHOWN + 2) * max(rows, 1))))


def _set(
    name: str,
    about: Row,
    rows: Sequence[Row],
    examined: Sequence[Examined],
    number: int,
    shown: int,
    comparers: Mapping[str, RegionComparer],
) -> str:
    curves = [
        card("Recall", "Queries with a right one among the first N answers.",
             new_card(draw_recall, examined), f"recall-{number}", ""),
        card("Does the similarity know", "Precision when only the most similar first answers are accepted.",
             new_card(draw_precision, examined), f"precision-{number}", ""),
    ]  # fmt: skip
    head = "".join(f"<th>{escape(h)}</th>" for h in heads(rows))
    body = "".join(f"<tr>{''.join(f'<td>{escape(c)}</td>' for c in cells(row))}</tr>" for row in rows)
    galleries = "".join(
        _gallery(row, shown, comparers.get(row.subject), opened=k == 0) for k, row in enumerate(examined)
    )
    legend = f"{LEGEND} {REGION_LEGEND}" if comparers else LEGEND
    return (
        f'<h2>{escape(name)}</h2><p class="sub">{escape(set_words(name, about))}</p>'
        f'<div class="card scroll"><table><tr>{head}</tr>{body}</table></div>'
        f'{section("Curves", curves)}<h2>Misses and hits</h2><p class="sub">{escape(legend)}</p>{galleries}'
    )


def _gallery(examined: Examined, shown: int, comparer: RegionComparer | None, opened: bool) -> str:
    misses, hits = int((~examined.right[:, 0]).sum()), int(examined.right[:, 0].sum())
    worst = worst_misses(examined, shown - min(hits, shown // 4))
    weakest = weakest_hits(examined, shown - len(worst))
    head = f"{escape(examined.method)}: {misses} wrong, {hits} right"
    lines = _lines("wrong", worst, misses, examined, comparer)
    lines += _lines("right", weakest, hits, examined, comparer)
    return f"<details{' open' if opened else ''}><summary>{head}</summary>{lines}</details>"


def _lines(
    what: str, queries: Sequence[int], total: int, examined: Examined, comparer: RegionComparer | None
) -> str:
    if not queries:
        return ""
    head = f"<h3>{len(queries)} of {total} {what}</h3>"
    return head + "".join(_line(examined, query, comparer) for query in queries)


def _line(examined: Examined, query: int, comparer: RegionComparer | None) -> str:
    split, asked = examined.tested.split, examined.query_path(query)
    shots = [_shot("", asked, f"query {split.queries[query].file}")]
    answers = examined.ranking.answers[query][:SHOWN]
    for place, answer in enumerate(answers[answers != NOTHING]):
        kind = "right" if examined.right[query, place] else "wrong"
        score = examined.ranking.scores[query, place]
        text = f"{place + 1}. {score:.3f} {split.gallery[answer].file}"
        path = examined.gallery_path(int(answer))
        match = comparer.match(asked, path) if comparer and not place else None
        shots.append(_shot(kind, path, text, match))
    return f'<div class="shots">{"".join(shots)}{_missed(examined, query)}</div>'


def _missed(examined: Examined, query: int) -> str:
    """The best right reference, where none of the answers shown is right."""
    if examined.right[query, :SHOWN].any():
        return ""
    best = int(examined.nearest_right[query])
    if best == NOTHING:
        return '<figure class="missed"><figcaption>no reference shows this place</figcaption></figure>'
    place = found_later(examined, query)
    first = f"first right answer: {place}" if place else f"none of {examined.right.shape[1]} answers is right"
    text = f"missed, cosine {examined.nearest_cosine[query]:.3f}; {first}"
    name = examined.tested.split.gallery[best].file
    return _shot("missed", examined.gallery_path(best), f"{text} {name}")


def _shot(kind: str, path: Path, text: str, match: RegionMatch | None = None) -> str:
    words = escape(text if match is None else f"{text}; most like the query: {match.best}", quote=True)
    image = f'<img loading="lazy" alt="{words}" src="{thumbnail(path)}">{_overlay(match)}'
    return f'<figure class="{kind}"><div class="frame">{image}</div><figcaption>{words}</figcaption></figure>'


def _overlay(match: RegionMatch | None) -> str:
    """Quarters that glow with their similarity, and a box around the best region."""
    if match is None:
        return ""
    heat = match.quarters - match.quarters.min()
    alphas = MOST_GLOW * heat / max(float(heat.max()), 1e-6)
    cells = [
        f'<i style="{_place(region)};background:rgba(255,140,0,{alpha:.2f})"></i>'
        for region, alpha in zip(REGIONS[5:], alphas, strict=True)
    ]
    return f'{"".join(cells)}<i class="box" style="{_place(match.best)}"></i>'


def _place(region: str) -> str:
    left, top, width, height = BOXES[region]
    return f"left:{left}%;top:{top}%;width:{width}%;height:{height}%"


def _meanings(definitions: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(v)}</td></tr>" for k, v in definitions.items())
    return f'<h2>What the columns are</h2><div class="card"><table class="stack">{rows}</table></div>'
