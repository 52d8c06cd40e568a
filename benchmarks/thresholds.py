"""What every threshold that a user can set is worth: one is varied, the others stay.

    python -m benchmarks thresholds [--data FOLDER] [--scene NAME ...] [--limit N] [--page docs/tuning.md]

Single images: the queries of a few scenes and of the simulated office, the same in bad light, and images of
other places. Drives: the answers to the queries in order of time, with made odometry, through the tracker,
where some answers are wrong, some are missing, and the robot is carried off. `--page` renews a page's tables.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import threshold_drives, threshold_images
from benchmarks.report import describe_machine, markdown
from benchmarks.sources import DATA, fresh_map, limited, loose_images, scenes, simulated
from benchmarks.threshold_drives import DriveScore, drives
from benchmarks.threshold_images import Asked, Gallery, Score, Told, scored
from benchmarks.threshold_variants import (
    JUDGEMENT,
    PUBLISHING,
    SEARCH,
    TRACKING,
    Threshold,
    changed,
    check,
    default_of,
    filter_of,
)
from relpose_ros.datasets.base import Source
from relpose_ros.evaluation.evaluate import answers, spaced
from relpose_ros.evaluation.files import write_text
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.options import options_for
from relpose_ros.maps.bundle import Map

SCENES = ("redkitchen",)
BEGIN = "<!-- tables: written by `python -m benchmarks thresholds --page` -->"
END = "<!-- end of tables -->"

DRIVEN = ("redkitchen", "simulated")
"""Scenes whose queries are a drive, at metric scale."""


def make_gallery(sources: Sequence[Source], maps: dict[str, Map], args: argparse.Namespace) -> Gallery:
    """Queries in good and in bad light to their own map, strangers to all others."""
    asked = []
    for source in sources:
        for image in spaced(source.queries, args.limit):
            truth = image.map_from_camera
            asked += [Asked(source.name, image, source.name, truth, dim) for dim in (False, True)]
    groups = [(s.name, spaced(s.queries, args.strangers)) for s in scenes(args.data)]
    for group, images in [*groups, *loose_images(args.data, args.strangers)]:
        asked += [Asked(group, i, name, None) for i in images for name in maps if name != group]
    return Gallery(maps, asked)


def image_tables(gallery: Gallery, only: Sequence[str]) -> list[str]:
    """A table for each threshold of the localizer."""
    base = gallery.ask(options_for("default"))
    first = scored(base, gallery.limits)
    parts = []
    for threshold in _wanted((*PUBLISHING, *JUDGEMENT, *SEARCH), only):
        rows = [
            [_value(threshold, value), *_scored(gallery, threshold, value, base).cells(first)]
            for value in threshold.values
        ]
        parts.append(_say(_table(threshold, threshold_images.HEADER, rows)))
    return parts


def drive_tables(records: Sequence[Sequence[QueryRecord]], only: Sequence[str]) -> list[str]:
    """A table for each threshold of the tracker."""
    made = [drive for one in records for drive in drives(one)]
    first = threshold_drives.measure(made)
    parts = []
    for threshold in _wanted(TRACKING, only):
        found: dict[Any, DriveScore] = {
            v: first if v == default_of(threshold) else threshold_drives.measure(made, **{threshold.name: v})
            for v in threshold.values
        }
        rows = [[_value(threshold, value), *score.cells(first)] for value, score in found.items()]
        parts.append(_say(_table(threshold, threshold_drives.HEADER, rows, "tracking.")))
    return parts


def _wanted(thresholds: Sequence[Threshold], only: Sequence[str]) -> list[Threshold]:
    return [t for t in thresholds if not only or any(word in t.name for word in only)]


def _scored(gallery: Gallery, threshold: Threshold, value: Any, base: list[Told]) -> Score:
    if threshold in PUBLISHING:
        return scored(base, gallery.limits, filter_of(threshold.name, value))
    options = changed(threshold.name, value)
    if threshold in JUDGEMENT:
        return scored(gallery.judge_again(base, options), gallery.limits)
    again = base if value == default_of(threshold) else gallery.ask(options)
    return scored(again, gallery.limits)


def _value(threshold: Threshold, value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"**{text}**" if value == default_of(threshold) else text


def _table(threshold: Threshold, header: list[str], rows: list[list[str]], prefix: str = "") -> str:
    title = f"#### `{prefix}{threshold.name}` ({threshold.where})"
    return f"{title}\n\n{markdown(['value', *header], rows)}"


def _sources(args: argparse.Namespace) -> list[Source]:
    real = [limited(s, args.references, None) for s in scenes(args.data, list(args.scene or SCENES))]
    return [*real, simulated(args.references, args.frames)]


def measure(args: argparse.Namespace, folder: Path) -> str:
    """Everything, as Markdown; each table is printed when it is done."""
    sources = _sources(args)
    maps = {s.name: fresh_map(s, folder / f"{s.name}.relmap") for s in sources}
    counts = ", ".join(f"{s.name} {len(s.references)} references" for s in sources)
    parts = [_say(f"Maps: {counts}. Default values in bold.")]
    if "images" in args.parts:
        gallery = make_gallery(sources, maps, args)
        strangers = sum(asked.truth is None for asked in gallery.asked)
        queries = (len(gallery.asked) - strangers) // 2
        counts = f"{queries} queries, the same {queries} in bad light, {strangers} strangers"
        parts += [_say(f"### Single images\n\n{counts}."), *image_tables(gallery, args.only)]
    if "drives" in args.parts:
        driven = [s for s in sources if s.metric and any(word in s.name for word in DRIVEN)]
        records = [answers(Localizer(maps[s.name]), s) for s in driven]
        frames = f"{', '.join(s.name for s in driven)}, {sum(map(len, records))} frames"
        text = f"{frames}, each {len(threshold_drives.SEEDS)} times with other noise"
        parts += [_say(f"### Drives\n\n{text}."), *drive_tables(records, args.only)]
    return "\n\n".join(parts)


def with_tables(page: str, tables: str) -> str:
    """The page with its tables renewed. Raises ValueError where the marks are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected a line {BEGIN!r} and a line {END!r}")
    return f"{before}{begin}\n\n{tables}\n\n{end}{after}"


def _say(text: str) -> str:
    print(f"{text}\n", flush=True)
    return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(prog="benchmarks thresholds", description=lines[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of scenes (default: %(default)s)")
    parser.add_argument("--scene", action="append", help=f"scenes to use (default: {', '.join(SCENES)})")
    parser.add_argument("--limit", type=int, default=8, help="queries of a scene (default: %(default)s)")
    parser.add_argument("--references", type=int, default=50, help="of a scene (default: %(default)s)")
    parser.add_argument(
        "--frames", type=int, default=40, help="of the simulated drive (default: %(default)s)"
    )
    parser.add_argument("--strangers", type=int, default=1, help="of each folder (default: %(default)s)")
    parser.add_argument("--parts", nargs="+", choices=("images", "drives"), default=["images", "drives"])
    parser.add_argument("--only", nargs="+", default=[], help="thresholds whose name holds one of these")
    parser.add_argument("--maps", type=Path, help="keep the maps here, and use again what lies here")
    parser.add_argument("--page", type=Path, help="also write the tables into this page, between its marks")
    args = parser.parse_args(arguments)
    check((*SEARCH, *JUDGEMENT, *PUBLISHING, *TRACKING))
    machine = describe_machine()
    print(f"{machine}\n", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.maps or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        text = f"{machine}\n\n{measure(args, folder)}"
    if args.page:
        write_text(args.page, with_tables(args.page.read_text(), text))


if __name__ == "__main__":
    main()
