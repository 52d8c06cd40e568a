"""The pose from dense scene coordinates: our batched, bounded estimator against a loop of OpenCV P3P calls.

    python -m benchmarks scene_ransac [--outliers 0 0.3 0.6 0.8 0.9] [--maps 5] [--json FILE]

Both get the same maps (60 x 80 cells), the same threshold and 64 hypotheses, on one thread, in turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.p3p_loop import P3PLoop
from benchmarks.report import describe_machine, machine, markdown, number
from relpose_ros.evaluation.files import plain, write_text
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_consensus import SceneRansacOptions
from relpose_ros.geometry.scene_coordinate_ransac import estimate_scene_pose
from relpose_ros.geometry.scene_targets import RayTargets, cell_targets

CAMERA = Camera("pinhole", 525.0, 525.0, 319.5, 239.5, 640, 480)
NOISE = 0.02
"""Standard deviation of a good coordinate, metres on each axis."""
RIGHT = (0.05, np.radians(5))
"""A pose nearer than this to the truth is right: metres, radians."""
FEWEST = 3
"""Maps that are timed in any case."""


@dataclass(frozen=True)
class Problem:
    """A map of scene coordinates (N, 3), metres, and the pose that it was made from."""

    points: NDArray[np.float64]
    truth: Rigid

    def is_right(self, map_from_camera: Rigid) -> bool:
        """Whether a pose is near the truth."""
        distance, angle = map_from_camera.distance_to(self.truth)
        return bool(distance < RIGHT[0] and angle < RIGHT[1])


@dataclass
class Row:
    """One share of outliers: milliseconds of each map, and what came out."""

    outliers: float
    ours: list[float] = field(default_factory=list)
    loop: list[float] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)
    draws: list[int] = field(default_factory=list)
    ours_right: int = 0
    ours_flagged: int = 0
    loop_right: int = 0

    def cells(self) -> list[str]:
        """Of the table."""
        maps = len(self.ours)
        ratios = np.divide(self.loop, self.ours) if self.loop else np.array([np.nan])
        return [
            f"{100 * self.outliers:.0f} %",
            number(float(np.median(self.ours))),
            number(float(np.median(self.loop)) if self.loop else None),
            f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f})" if self.loop else "-",
            f"{self.ours_right}/{maps}",
            f"{self.ours_flagged}/{maps}",
            f"{maps - self.ours_right - self.ours_flagged}/{maps}",
            f"{self.loop_right}/{len(self.loop)}" if self.loop else "-",
            f"{np.median(self.draws):.0f}",
            f"{np.median(self.tries):.0f}" if self.tries else "-",
        ]


HEADER = (
    "outliers",
    "ours, ms",
    "loop, ms",
    "loop / ours (range)",
    "ours right",
    "ours: failure flag",
    "ours wrong",
    "loop right",
    "our minimal sets",
    "its P3P calls",
)

OURS = (0, 1, 4, 5, 6, 8)
"""Columns without the loop."""


def make_problem(targets: RayTargets, outliers: float, seed: int) -> Problem:
    """Depths of 2 to 6 m; an outlier lies anywhere in a cube of 12 m around the camera."""
    generator = np.random.default_rng([seed, round(1000 * outliers)])
    truth = Rigid.from_rotation_vector(generator.normal(size=3), generator.normal(0, 5, 3))
    ahead = np.concatenate([targets.rays, np.ones((len(targets), 1))], axis=1)
    local = ahead * generator.uniform(2, 6, (len(targets), 1))
    points = truth.apply(local) + NOISE * generator.normal(size=local.shape)
    wrong = generator.permutation(len(points))[: round(outliers * len(points))]
    points[wrong] = truth.translation + generator.uniform(-6, 6, (len(wrong), 3))
    return Problem(points, truth)


def measure(targets: RayTargets, outliers: float, maps: int, patience: float, with_loop: bool) -> Row:
    """Ours, the loop and ours again on every map; fewer maps when `patience` seconds are over."""
    row, begin = Row(outliers), time.perf_counter()
    for seed in range(maps):
        if seed >= FEWEST and time.perf_counter() - begin > patience:
            break
        problem, options = make_problem(targets, outliers, seed), SceneRansacOptions(seed=seed)
        ours = partial(estimate_scene_pose, problem.points, targets, options)
        found, first = _timed(ours)
        if with_loop:
            answer, spent = _timed(partial(P3PLoop(targets, options), problem.points))
            row.loop.append(spent)
            row.tries.append(answer.tries)
            row.loop_right += problem.is_right(answer.map_from_camera)
        _, again = _timed(ours)
        row.ours.append((first + again) / 2)
        row.draws.append(found.hypotheses.draws)
        row.ours_flagged += found.map_from_camera is None
        row.ours_right += found.map_from_camera is not None and problem.is_right(found.map_from_camera)
    return row


def _timed(function: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    answer = function()
    return answer, 1e3 * (time.perf_counter() - start)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="benchmarks scene_ransac", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--outliers", type=float, nargs="+", default=[0.0, 0.3, 0.6, 0.8, 0.9])
    parser.add_argument("--maps", type=int, default=5, help="for each share of outliers (default: 5)")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds, then three maps are enough")
    parser.add_argument("--many", type=int, default=100, help="maps for ours alone (default: 100; 0: none)")
    parser.add_argument("--json", type=Path, help="also write every time to this file")
    args = parser.parse_args(arguments)
    print(f"{describe_machine()}\n", flush=True)
    at_start = machine()
    cv2.setNumThreads(1)
    targets, _ = cell_targets(CAMERA, 60, 80)
    with threadpool_limits(1):
        measure(targets, 0.0, 1, 0.0, True)  # the first calls load libraries
        both = [measure(targets, share, args.maps, args.patience, True) for share in args.outliers]
        print(markdown(HEADER, [row.cells() for row in both]))
        alone = [measure(targets, share, args.many, np.inf, False) for share in (*args.outliers, 0.95, 1.0)]
    if args.many:
        print("\nOurs alone, on more maps. At 100 % every pose is wrong, and the loop takes hours:\n")
        print(markdown([HEADER[i] for i in OURS], [[row.cells()[i] for i in OURS] for row in alone]))
    if args.json:
        rows = {"both": [asdict(row) for row in both], "alone": [asdict(row) for row in alone]}
        write_text(args.json, json.dumps(plain({"machine": at_start, **rows}), indent=1))


if __name__ == "__main__":
    main()
