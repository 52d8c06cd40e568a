"""A graph matcher where nearest neighbours find too little: does it earn its place?

    python -m benchmarks matcher --checkpoint FILE [--data FOLDER] [--scene NAME ...] [--limit N]

Every scene's queries, and strangers (images of the other folders), with and without the network, on
the map as it is and on the same map without landmarks, where the relative road is the only one and the
network matches every pair. Maps and their calibration are built without it, as on a robot.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks import contest
from benchmarks.contest import Variant
from benchmarks.strangers import RecordingLocalizer
from relpose_ros.features.graph_matching import GraphMatcher
from relpose_ros.localization.options import options_for
from relpose_ros.maps.bundle import Map


def variants(matcher: GraphMatcher, profile: str) -> list[Variant]:
    """Nearest neighbours alone, and the network beside them, in both kinds of map."""

    def without(map_: Map) -> RecordingLocalizer:
        return RecordingLocalizer(map_, profile)

    def beside(map_: Map) -> RecordingLocalizer:
        return RecordingLocalizer(map_, profile, matcher=matcher)

    ways = (("without", without), ("matcher", beside))
    return [Variant(name, make, bare) for bare in (False, True) for name, make in ways]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks matcher", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="of a graph matcher (imp.*)")
    parser.add_argument("--threshold", type=float, default=0.2, help="assignment of a match that is kept")
    parser.add_argument(
        "--iterations", type=int, help="of the network (default: as the profile says, or all)"
    )
    contest.add_arguments(parser)
    args = parser.parse_args(arguments)
    options = options_for(args.profile)
    matcher = GraphMatcher(
        args.checkpoint,
        args.iterations or options.matcher_iterations,
        threshold=args.threshold,
        keypoints=options.matcher_keypoints,
    )
    heading = f"{args.checkpoint.name}: {matcher.name}, at most {matcher.keypoints} keypoints"
    contest.run(args, variants(matcher, args.profile), heading)


if __name__ == "__main__":
    main()
