"""The stages that only maps need: ours, and a straightforward version."""

from __future__ import annotations

import numpy as np

from benchmarks import plain
from benchmarks.timing import Row, race
from benchmarks.workload import Workload
from relpose_ros.geometry.triangulation import triangulate
from relpose_ros.maps.bundle import Map


def triangulation(work: Workload, subset: int = 150) -> list[Row]:
    """All landmarks of the map at once against one track after another (a subset, scaled)."""
    seen, count = work.map.observations, len(work.map.landmarks)
    order = np.argsort(seen.track, kind="stable")
    tracks = np.split(order, np.flatnonzero(np.diff(seen.track[order])) + 1)[:subset]
    times = race(
        {
            "ours": lambda: triangulate(seen, count),
            "cv2": lambda: plain.triangulate_opencv(seen, tracks),
            "loop": lambda: plain.triangulate_loop(seen, tracks),
        },
        repeats=3,
    )
    scale = count / max(len(tracks), 1)
    note = f"{count} tracks, {len(seen)} sightings; theirs on {len(tracks)}, scaled"
    two = "cv2.triangulatePoints a track (two views, unrefined, no covariance)"
    every = "DLT and least_squares a track (no outlier removal, no covariance)"
    return [
        Row("triangulation", times["ours"], two, scale * times["cv2"], note),
        Row("triangulation", times["ours"], every, scale * times["loop"], note),
    ]


def opening(work: Workload) -> list[Row]:
    """Open the map: checksum, decompression, checks; against its arrays in a compressed npz."""
    path = work.map.path
    assert path is not None
    beside = path.with_suffix(".npz")
    stored = [f.descriptors for f in work.map.features] + [f.keypoints for f in work.map.features]
    landmarks = work.map.landmarks
    np.savez_compressed(beside, *stored, landmarks.points, landmarks.covariances, landmarks.descriptors)

    def read() -> None:
        with np.load(beside, allow_pickle=False) as arrays:
            for name in arrays.files:
                arrays[name]

    times = race({"ours": lambda: Map.open(path), "npz": read})
    note = f"{path.stat().st_size / 1e3:.0f} kB and {beside.stat().st_size / 1e3:.0f} kB"
    return [Row("map open", times["ours"], "the float arrays in one .npz", times["npz"], note)]
