"""A correspondence network between matching and the solvers: does it earn its place?

    python -m benchmarks pruner --checkpoint FILE [--data FOLDER] [--scene NAME ...] [--limit N]

Every scene's queries, and strangers (images of the other folders), with and without the network, on
the map as it is and on the same map without landmarks, where the relative road is the only one.
Maps and their calibration are built without a pruner, as on a robot.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import contest
from benchmarks.contest import Variant
from benchmarks.strangers import RecordingLocalizer
from relpose_ros.features.pruning import Pruner, size_for
from relpose_ros.localization.options import LocalizerOptions, options_for
from relpose_ros.maps.bundle import Map

LOOSE = 1.01
"""A ratio that every match passes which is mutual: what is right is left to the network."""

BOTH = ("structure", "relative")
WAYS: tuple[tuple[str, tuple[str, ...], float | None, bool], ...] = (
    ("without", (), None, False),
    ("relative pruned", BOTH[1:], None, False),
    ("both pruned", BOTH, None, False),
    ("no ratio test", (), LOOSE, False),
    ("both pruned, no ratio test", BOTH, LOOSE, False),
    ("without", (), None, True),
    ("relative pruned", BOTH[1:], None, True),
    ("no ratio test", (), LOOSE, True),
    ("relative pruned, no ratio test", BOTH[1:], LOOSE, True),
)
"""Name, pruned roads, Lowe's ratio where it is not the default, without landmarks. Those without ratio test
and pruner show what loosening alone does."""


def variants(pruner: Pruner, profile: str) -> list[Variant]:
    """All ways, with this network."""
    made = []
    for name, roads, ratio, bare in WAYS:
        options = with_ratio(options_for(profile, pruned_roads=roads), ratio)

        def localizer(map_: Map, options: LocalizerOptions = options) -> RecordingLocalizer:
            return RecordingLocalizer(map_, options, pruner)

        made.append(Variant(name, localizer, bare))
    return made


def with_ratio(options: LocalizerOptions, ratio: float | None) -> LocalizerOptions:
    """Another ratio on both roads, if one is given."""
    if ratio is None:
        return options
    structure = replace(options.structure, ratio=ratio)
    return replace(options, structure=structure, relative=replace(options.relative, ratio=ratio))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks pruner", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="of a correspondence network")
    parser.add_argument("--threshold", type=float, default=0.5, help="weight of a match that is kept")
    parser.add_argument(
        "--threads", type=int, default=1, help="of the network (default: 1, as in the localizer)"
    )
    contest.add_arguments(parser)
    args = parser.parse_args(arguments)
    size = size_for(options_for(args.profile).max_keypoints)
    pruner = Pruner(args.checkpoint, size, args.threshold, threads=args.threads)
    heading = f"{args.checkpoint.name}: {pruner.info.network}, threshold {args.threshold}"
    contest.run(args, variants(pruner, args.profile), heading)


if __name__ == "__main__":
    main()
