"""A simulation's two drives as rosbag2 files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from relpose_ros.datasets.bag_writer import BagFrame, BagLayout, BagOdometry, write_bag
from relpose_ros.datasets.base import Split
from relpose_ros.datasets.simulate.folder import LICENCE
from relpose_ros.datasets.simulate.odometry import odometry, reading_times
from relpose_ros.datasets.simulate.painters import seeded
from relpose_ros.datasets.simulate.simulation import START, Shot, Simulation

BAGS: dict[Split, str] = {"map": "mapping_bag", "query": "query_bag"}


def write_bags(simulation: Simulation, folder: Path) -> None:
    """Write the drives from the images in `folder` as `mapping_bag/` and `query_bag/` beside them.

    TF is map -> odom -> base_link -> camera_optical_frame (REP-105); its first link holds the truth
    together, so that the chain to `map` is exact while /odom drifts. A drive without images has no bag.
    """
    layout = BagLayout(base_from_camera=simulation.options.base_from_camera)
    for split, name in BAGS.items():
        shots = [shot for shot in simulation.shots if shot.split == split]
        if shots:
            frames = _frames(simulation, shots, folder / "images")
            compressed = simulation.options.compressed
            write_bag(folder / name, frames, layout=layout, compressed=compressed, licence=LICENCE)


def _frames(simulation: Simulation, shots: list[Shot], images: Path) -> Iterator[BagFrame]:
    split = shots[0].split
    times = np.array([shot.time for shot in shots])
    readings = odometry(
        simulation.drive(split), reading_times(times), seeded(simulation.options.seed, "odometry", split)
    )
    for shot in shots:
        since: list[BagOdometry] = []
        for reading in readings:
            since.append(BagOdometry(START[split] + reading.time, reading.odom_from_base, reading.twist))
            if reading.time >= shot.time:
                break
        pose = simulation.map_from_camera(split, shot.time)
        data = (images / shot.name).read_bytes()
        yield BagFrame(shot.stamp, data, simulation.options.lens, pose, tuple(since))
