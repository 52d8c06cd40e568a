"""From simulated images to a real camera: what a few real images, contrast and a depth encoder give.

    python -m benchmarks sim_to_real [--world N] [--steps N] [--views N] [--out FOLDER]

One simulated office in two appearances; all is tested on images of the real one, from a drive that was not
trained on. Small, for a CPU: images 320x240, of which the networks see 160x120. With --out, sets and runs are
kept there, and what is done is not done again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.report import describe_machine, markdown, number, percent
from benchmarks.sim_to_real_runs import IMAGES, Outcome, train_all
from benchmarks.sim_to_real_sets import HEIGHT, WIDTH, World, error_of_the_mean, prepare_sets

HEADER = (
    "network",
    "trained on",
    "cells, cm",
    "within 10 px, %",
    "median pose",
    "failures, %",
    "steps",
    "training, CPU s",
    "wall s",
)

FAMILIES = {"scene_cells": "cells", "scene_coordinates": "coord_tiny", "mid_level": "depth"}

FAILED_M = 1000.0
"""From here on a median says that most images have no pose."""


def table(outcomes: Sequence[Outcome]) -> str:
    """A row for every network of coordinates."""
    return markdown(HEADER, [_row(o) for o in outcomes if o.recipe != "mid_level"])


def encoders(outcomes: Sequence[Outcome]) -> str:
    """A line for every encoder trained for another task: its time comes on top of the run that uses it."""
    lines = [
        f"Depth encoder ({o.what}): {o.steps} steps, {o.cpu_s:.0f} CPU s, {o.wall_s:.0f} s; mean "
        f"relative error of its depth {percent(o.metrics['absolute_relative'])} % on the test images"
        for o in outcomes
        if o.recipe == "mid_level"
    ]
    return "  \n".join(lines)


def _row(outcome: Outcome) -> list[str]:
    metrics = outcome.metrics
    cells = metrics.get("median_coordinate_m")
    return [
        FAMILIES[outcome.recipe],
        outcome.what,
        number(None if cells is None else 100 * cells),
        percent(metrics["within_10px"]),
        _pose(metrics),
        percent(metrics["failures"]),
        str(outcome.steps),
        number(outcome.cpu_s, 0),
        number(outcome.wall_s, 0),
    ]


def _pose(metrics: Mapping[str, float]) -> str:
    if metrics["median_translation_m"] >= FAILED_M:
        return "-"
    return f"{100 * metrics['median_translation_m']:.1f} cm, {metrics['median_rotation_deg']:.2f}°"


def describe(counts: Mapping[str, int], world: World, seed: int, unlearned_m: float) -> str:
    """What the figures are of. `unlearned_m`: how far off all cells are that lie at the mean of the scene."""
    import torch

    return (
        f"simulate:office, world {world.number}, seed {seed}, {torch.get_num_threads()} thread(s). "
        f"Small because of the CPU: images {WIDTH}x{HEIGHT}, seen at "
        f"{WIDTH * IMAGES['height'] // HEIGHT}x{IMAGES['height']}, px are pixels of that. Trained on "
        f"{counts['simulated']} simulated images, {counts['mixed']} with {world.few} real ones, or "
        f"{counts['real']} real ones; tested on {counts['test']} real ones of another drive. "
        f"The mean of the scene, said of every cell, is {100 * unlearned_m:.1f} cm off."
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--world", type=int, default=0, metavar="N", help="number of the world (default 0)")
    parser.add_argument(
        "--steps", type=int, default=2000, metavar="N", help="of coord_tiny (default 2000: hours)"
    )
    parser.add_argument("--cell-steps", type=int, default=1000, metavar="N", help="of cells (default 1000)")
    parser.add_argument("--views", type=int, default=80, metavar="N", help="of each domain (default 80)")
    parser.add_argument("--few", type=int, default=10, metavar="N", help="real ones beside simulated")
    parser.add_argument("--queries", type=int, default=40, metavar="N", help="images of the drive to test on")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="keep sets and runs, and go on with them")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks sim_to_real", description=(__doc__ or "").splitlines()[0]
    )
    add_arguments(parser)
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="relpose-sim-to-real-") as folder:
        _measure(args, args.out or Path(folder))


def _measure(args: argparse.Namespace, out: Path) -> None:
    world = World(args.world, args.views, args.few, args.queries)
    sets = out / world.name
    counts = prepare_sets(world, sets)
    unlearned = error_of_the_mean(sets / "mixed", IMAGES["height"])
    print(f"{describe(counts, world, args.seed, unlearned)}\n", flush=True)
    steps = dict.fromkeys(FAMILIES, args.steps) | {"scene_cells": args.cell_steps}
    outcomes = []
    for outcome in train_all(sets, sets / "runs", steps, args.seed):
        outcomes.append(outcome)
        print(f"{outcome.name}: {outcome.wall_s:.0f} s", flush=True)
    print(f"\n{table(outcomes)}\n\n{encoders(outcomes)}")


if __name__ == "__main__":
    main()
