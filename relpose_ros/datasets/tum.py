"""TUM RGB-D sequences: rgb.txt, depth.txt, groundtruth.txt, tied together by their stamps.

Intrinsics: https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats (OpenCV calibration of the colour
cameras; the images of freiburg3 are already undistorted). Depth is registered to colour, 5000 a metre.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from pathlib import Path

from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.camera_files import camera_from_numbers, read_camera
from relpose_ros.datasets.image_files import ImageFile, depth_loader
from relpose_ros.datasets.keyframes import keyframes
from relpose_ros.datasets.splits import split_every
from relpose_ros.datasets.text_files import Row, rows, safe_name
from relpose_ros.datasets.tracks import PoseTrack
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

LICENCE = "TUM RGB-D (Sturm et al. 2012): CC BY 4.0"
_LAST_SECOND = 9e9
"""The largest stamp that nanoseconds in 64 bits can hold, about."""

ASSOCIATION_NS = 20_000_000
"""Stamps this close belong together; the publisher's associate.py uses the same 20 ms."""
DEPTH_UNITS_PER_METRE = 5000.0
INTRINSICS: dict[str, tuple[float, ...]] = {
    "1": (517.3, 516.5, 318.6, 255.3, 640, 480, 0.2624, -0.9531, -0.0054, 0.0026, 1.1633),
    "2": (520.9, 521.0, 325.1, 249.7, 640, 480, 0.2312, -0.7849, -0.0033, -0.0001, 0.9172),
    "3": (535.4, 539.2, 320.1, 247.6, 640, 480),
}
"""Number of the freiburg camera -> fx fy cx cy width height [k1 k2 p1 p2 k3]."""


def recognises(path: Path) -> bool:
    """Whether `path` is a TUM RGB-D sequence."""
    return (path / "rgb.txt").is_file() and (path / "groundtruth.txt").is_file()


def open_tum(
    path: Path,
    *,
    camera: Camera | str | Path | None = None,
    split: Split = "map",
    query_every: int = 0,
    every: int = 1,
    min_distance_m: float = 0.0,
    min_angle_deg: float = 0.0,
) -> Source:
    """Open a sequence; images without ground truth within 20 ms have no pose.

    The camera follows from freiburg1..3 in the folder's name, or is `camera`. The dataset has no split:
    all images count as `split`, or with `query_every` every Nth kept one is a query. `every` and the
    two limits thin the sequence (`keyframes`). Raises DatasetError.
    """
    description = _camera(path, camera)
    colours, depths = _read_list(path / "rgb.txt"), _read_list(path / "depth.txt", required=False)
    truth, depth_stamps = _read_truth(path / "groundtruth.txt"), sorted(depths)
    stamps = sorted(colours)
    poses = [_pose_at(truth, stamp) for stamp in stamps]
    if not any(poses):
        raise DatasetError(
            f"{path}: no image of rgb.txt has ground truth within 20 ms; do the files belong together?"
        )
    images = []
    for index, kept in enumerate(keyframes(poses, every, min_distance_m, min_angle_deg)):
        stamp, name = stamps[kept], colours[stamps[kept]]
        if not (path / name).is_file():
            raise DatasetError(f"{path / name}: no such image, though rgb.txt lists it")
        near = _nearest(depth_stamps, stamp)
        depth = None if near is None else depth_loader(path / depths[near], DEPTH_UNITS_PER_METRE)
        part = split_every(index, query_every, split)
        load = ImageFile(path / name, description)
        images.append(PosedImage(name, description, poses[kept], part, load, stamp / 1e9, depth))
    return Source(path.resolve().name, path, tuple(images), True, LICENCE)


def _camera(path: Path, asked: Camera | str | Path | None) -> Camera:
    if asked is not None:
        return asked if isinstance(asked, Camera) else read_camera(asked)
    match = re.search(r"(?:freiburg|fr)([123])", path.resolve().name.lower())
    if not match:
        raise DatasetError(
            f"{path}: expected freiburg1, 2 or 3 in the folder's name to know the camera; pass camera"
        )
    return camera_from_numbers(INTRINSICS[match.group(1)])


def _nanoseconds(row: Row) -> int:
    seconds = row.numbers(0, 1)[0]
    if abs(seconds) > _LAST_SECOND:
        raise DatasetError(f"{row.place}: expected a stamp in seconds, got {row.fields[0]!r}")
    return round(seconds * 1e9)


def _read_list(path: Path, required: bool = True) -> dict[int, str]:
    """`seconds file` lines -> file by stamp in nanoseconds."""
    if not required and not path.is_file():
        return {}
    files: dict[int, str] = {}
    for row in rows(path):
        row.expect("stamp file", 2)
        stamp = _nanoseconds(row)
        if stamp in files:
            raise DatasetError(
                f"{row.place}: the stamp {row.fields[0]} is listed twice; remove one of the lines"
            )
        files[stamp] = safe_name(row.fields[1], row.place)
    return files


def _read_truth(path: Path) -> PoseTrack:
    track = PoseTrack()
    for row in rows(path):
        row.expect("stamp tx ty tz qx qy qz qw", 8)
        numbers = row.numbers()
        track.add(_nanoseconds(row), row.pose(numbers[1:4], numbers[4:8]))
    return track


def _pose_at(truth: PoseTrack, stamp: int) -> Rigid | None:
    """Ground truth at `stamp`, interpolated, if a sample lies within 20 ms of it."""
    near = _nearest(truth.stamps, stamp)
    if near is None:
        return None
    return truth.at(stamp) or truth.samples[near]


def _nearest(stamps: Sequence[int], stamp: int) -> int | None:
    at = bisect.bisect_left(stamps, stamp)
    near = min(stamps[max(at - 1, 0) : at + 1], key=lambda s: abs(s - stamp), default=None)
    return near if near is not None and abs(near - stamp) <= ASSOCIATION_NS else None
