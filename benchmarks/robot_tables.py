"""The tables of `benchmarks robot`, and what misses its target."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.report import markdown, number, percent
from relpose_ros.evaluation.consistency import Share

Results = dict[str, Any]

COVERAGE = (0.90, 0.98)
"""Between these the share of errors inside of the 95 % region should lie."""

HARDEST = 0.80
"""At least so many in the quarter of the queries that is furthest from references."""

FALSE = 1e-3
"""At most that share of published poses is false."""

ENOUGH = 30
"""Fewer poses of a scene say nothing about a share: they count in the pool alone."""

COLUMNS = ("scene", "profile", "frames", "queries", "available %", "median error", "false poses (at most)",
           "coverage at 95 % (interval)", "hardest quartile", "right after a kidnapping")  # fmt: skip


class Row:
    """Figures of one scene, or of several together, either of single frames or with odometry.

    With odometry each figure is over all seeds; intervals are those of one, for the frames are the same.
    """

    def __init__(self, name: str, results: Sequence[Results], tracked: bool) -> None:
        self.name, self.tracked, self.results = name, tracked, results
        self.profile = results[0]["profile"]
        self.runs = [run for r in results for run in (r["with_odometry"] if tracked else [r["single_frame"]])]
        self.seeds = len(results[0]["with_odometry"]) if tracked else 1
        self.kidnapped = [k for r in results for k in r["kidnapped"]] if tracked else []

    def sum(self, value: Callable[[Results], float]) -> int:
        """Over scenes and seeds."""
        return round(sum(value(run) for run in self.runs))

    def share(self, hits: int, count: int) -> Share:
        """Of distinct frames."""
        return Share(round(hits / self.seeds), round(count / self.seeds))

    @property
    def published(self) -> int:
        """Poses published, over all seeds, without those of kidnappings."""
        return self.sum(_published)

    @property
    def false(self) -> tuple[int, int]:
        """False poses and all poses published, over all seeds, without those of kidnappings."""
        return sum(run["false_claims"] for run in self.runs), self.published

    @property
    def false_around_kidnappings(self) -> tuple[int, int]:
        """The same of the drives with a kidnapping."""
        runs = [k["with_odometry"] for k in self.kidnapped]
        return sum(run["false_claims"] for run in runs), sum(_published(run) for run in runs)

    @property
    def coverage(self) -> tuple[int, int]:
        """Errors inside of the 95 % region, and all that were judged."""
        return self.sum(lambda r: (r["coverage_95"] or 0) * r["coverage_count"]), self.sum(
            lambda r: r["coverage_count"]
        )

    @property
    def hardest(self) -> tuple[int, int]:
        """The same in each scene's quarter of queries that is furthest from references."""
        parts = [run["hardest_quartile"] for run in self.runs]
        counts = [round((p["availability"] or 0) * p["queries"]) for p in parts]
        hits = [(p["coverage_95"] or 0) * n for p, n in zip(parts, counts, strict=True)]
        return round(sum(hits)), sum(counts)

    def cells(self) -> list[object]:
        """As `COLUMNS`."""
        queries = self.sum(lambda r: r["queries"])
        available = self.sum(lambda r: (r["availability"] or 0) * r["queries"])
        return [
            self.name, self.profile, "odometry" if self.tracked else "single", round(queries / self.seeds),
            percent(available / queries), self._error(), self._false(), self._coverage(), self._hardest(),
            self._recovery(),
        ]  # fmt: skip

    def _error(self) -> str:
        if len({r["scene"] for r in self.results}) > 1:
            return ""
        metres, degrees = (
            [run[key] for run in self.runs if run[key] is not None]
            for key in ("median_translation_m", "median_rotation_deg")
        )
        if not metres:
            return "-"
        length = np.median(metres) / self.results[0]["metre"]
        unit = f"{100 * length:.2f} cm" if self.results[0]["metric"] else f"{100 * length:.2f} ‰ of extent"
        return f"{unit}, {np.median(degrees):.3f}°"

    def _false(self) -> str:
        hits, count = self.false
        distinct = Share(-(-hits // self.seeds), round(self.published / self.seeds))
        return f"{hits} of {count} ({percent(distinct.at_most)} %)" if count else "-"

    def _coverage(self) -> str:
        hits, count = self.coverage
        if not count:
            return "-"
        low, high = self.share(hits, count).interval
        return f"{percent(hits / count)} ({percent(low)} to {percent(high)})"

    def _hardest(self) -> str:
        hits, count = self.hardest
        return f"{percent(hits / count)} of {round(count / self.seeds)}" if count else "-"

    def _recovery(self) -> str:
        if not self.kidnapped:
            return ""
        hits, count = self.false_around_kidnappings
        false = f"; {hits} of {count} poses false" if hits else ""
        return self._seconds_to_recover() + false

    def _seconds_to_recover(self) -> str:
        found = [k["kidnapping"] for k in self.kidnapped]
        right = [k for k in found if k["recovery_seconds"] is not None]
        never = f", {len(found) - len(right)} never" if len(right) < len(found) else ""
        if not right:
            return f"never in {len(found)}"
        seconds = [k["recovery_seconds"] for k in right]
        frames = [k["recovery_frames"] for k in right]
        worst = f" (most {max(seconds):.1f} s, {max(frames)})" if max(frames) > np.median(frames) else ""
        return f"{np.median(seconds):.1f} s, {np.median(frames):.0f} frames{worst}{never}"

    def misses(self) -> list[str]:
        """Targets that are not met, in words."""
        return [*self._misses_truth(), *self._misses_coverage(), *self._misses_hardest()]

    def _misses_truth(self) -> Iterator[str]:
        hits, count = self.false
        if count and hits > FALSE * count:
            yield f"{hits} false poses of {count}"
        hits, count = self.false_around_kidnappings
        if count and hits > FALSE * count:
            yield f"{hits} false poses of {count} in drives with a kidnapping"

    def _misses_coverage(self) -> Iterator[str]:
        hits, count = self.coverage
        low, high = COVERAGE
        if not count or low <= round(hits / count, 3) <= high:
            return
        interval = self.share(hits, count).interval
        chance = ", within chance" if interval[0] <= high and interval[1] >= low else ""
        what = "too little" if hits < low * count else "too careful"
        yield f"coverage {percent(hits / count)} %, {what}{chance}"

    def _misses_hardest(self) -> Iterator[str]:
        hits, count = self.hardest
        if count and hits < HARDEST * count:
            yield f"hardest quartile {percent(hits / count)} % of {round(count / self.seeds)}"


def _published(run: Results) -> int:
    return int(run["states"]["localized"] + run["states"]["degraded"])


def table(results: Sequence[Results]) -> str:
    """All scenes, then all metric ones and all together, and which targets are missed."""
    rows = list(_rows(results))
    return f"{markdown(COLUMNS, [row.cells() for row in rows])}\n\n{_targets(rows)}"


def one_line(result: Results) -> str:
    """How it went, for watching the run."""
    single = result["single_frame"]
    return (
        f"{result['scene']} {result['profile']}: available {percent(single['availability'])} %, coverage "
        f"{number(single['coverage_95'], 3)}, with odometry "
        + ", ".join(number(run["coverage_95"], 3) for run in result["with_odometry"])
    )


def _rows(results: Sequence[Results]) -> Iterator[Row]:
    for result in results:
        yield from (Row(result["scene"], [result], tracked) for tracked in (False, True))
    for profile in dict.fromkeys(r["profile"] for r in results):
        for name, group in _pools([r for r in results if r["profile"] == profile]):
            yield from (Row(f"**{name}**", group, tracked) for tracked in (False, True))


def _pools(results: Sequence[Results]) -> Iterator[tuple[str, list[Results]]]:
    """What is counted together: also each place that was asked in several ways, and each way."""
    for place in dict.fromkeys(r["place"] for r in results):
        group = [r for r in results if r["place"] == place]
        if len(group) > 1:
            yield place, group
    deals = dict.fromkeys(r["deal"] for r in results)
    for deal in deals if len(deals) > 1 else ():
        yield f"all {deal}", [r for r in results if r["deal"] == deal]
    metric = [r for r in results if r["metric"]]
    if metric:
        yield "all metric", metric
    yield "all", list(results)


def _targets(rows: Sequence[Row]) -> str:
    """One line for each row that says enough and misses something."""
    asked = (
        f"Targets: false poses at most {FALSE:g} of those published, coverage {COVERAGE[0]:.0%} to "
        f"{COVERAGE[1]:.0%}, hardest quartile {HARDEST:.0%}; with {ENOUGH} poses or more, and pooled."
    )
    lines = [
        f"- {row.name}, {row.profile}, {'with odometry' if row.tracked else 'single frames'}: {missed}"
        for row in rows
        if row.published >= ENOUGH * row.seeds
        for missed in row.misses()
    ]
    return "\n".join([asked, *(lines or ["All are met."])])
