"""12-Scenes as Stanford publishes it: info.txt, split.txt, data/frame-*.{color.jpg,depth.png,pose.txt}."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.depth_registration import RegisteredDepth
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.pose_files import read_pose_file
from relpose_ros.datasets.text_files import read_text
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

LICENCE = "12-Scenes (Stanford, Valentin et al. 2016): research use; see its page"


def recognises(path: Path) -> bool:
    """Whether `path` is a scene of 12-Scenes."""
    return (path / "info.txt").is_file() and (path / "data").is_dir()


def open_twelve_scenes(path: Path, *, every: int = 1) -> Source:
    """Open a scene: the first sequence of split.txt holds the queries, the others the map, as published.

    Frames without a valid pose are dropped; `every` keeps every Nth frame. Raises DatasetError.
    """
    info = _read_info(path / "info.txt")
    colour, depth = _camera(path, info, "Color"), _camera(path, info, "Depth")
    colour_from_depth = _extrinsic(path, info, "Color").inverse() @ _extrinsic(path, info, "Depth")
    queries = _query_range(path / "split.txt")
    units = float(info.get("m_depthShift", "1000"))
    images = []
    for pose_file in sorted((path / "data").glob("frame-*.pose.txt"))[:: max(every, 1)]:
        stem = pose_file.name.removesuffix(".pose.txt")
        file, depth_file = pose_file.with_name(f"{stem}.color.jpg"), pose_file.with_name(f"{stem}.depth.png")
        if not file.is_file():
            raise DatasetError(f"{file}: no such image, though it has a pose; unpack the scene again")
        pose = read_pose_file(pose_file)
        if pose is None:
            continue
        load_depth = None
        if depth_file.is_file():
            load_depth = RegisteredDepth(depth_file, depth, colour, colour_from_depth, units)
        split: Split = "query" if _number(stem, pose_file) in queries else "map"
        images.append(
            PosedImage(file.name, colour, pose, split, ImageFile(file, colour), load_depth=load_depth)
        )
    if not images:
        raise DatasetError(f"{path / 'data'}: no frame with a valid pose")
    return Source(path.resolve().name, path, tuple(images), True, LICENCE)


def _read_info(path: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in read_text(path).splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _camera(path: Path, info: dict[str, str], which: str) -> Camera:
    matrix = _matrix(path, info, f"m_calibration{which}Intrinsic")
    width, height = (_value(path, info, f"m_{which.lower()}{side}") for side in ("Width", "Height"))
    return Camera("pinhole", matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2], int(width), int(height))


def _extrinsic(path: Path, info: dict[str, str], which: str) -> Rigid:
    key = f"m_calibration{which}Extrinsic"
    return Rigid.from_matrix(_matrix(path, info, key)) if key in info else Rigid.identity()


def _matrix(path: Path, info: dict[str, str], key: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    try:
        return np.array(info[key].split(), float).reshape(4, 4)
    except (KeyError, ValueError):
        raise DatasetError(
            f"{path / 'info.txt'}: expected 16 numbers in {key}, got {info.get(key)!r}"
        ) from None


def _value(path: Path, info: dict[str, str], key: str) -> float:
    try:
        return float(info[key])
    except (KeyError, ValueError):
        raise DatasetError(
            f"{path / 'info.txt'}: expected a number in {key}, got {info.get(key)!r}"
        ) from None


def _query_range(path: Path) -> range:
    """Frame numbers of the first sequence: `sequence0 [frames=357] [start=0 ; end=356]`."""
    first = next(iter(read_text(path).splitlines()), "")
    frames = re.search(r"\[\s*frames\s*=\s*(\d+)\s*\]", first)
    if not frames:
        raise DatasetError(f"{path}:1: expected 'sequence0 [frames=N] [start=A ; end=B]', got {first[:80]!r}")
    start = re.search(r"start\s*=\s*(\d+)", first)
    begin = int(start.group(1)) if start else 0
    return range(begin, begin + int(frames.group(1)))


def _number(stem: str, path: Path) -> int:
    digits = stem.removeprefix("frame-")
    if not digits.isdigit():
        raise DatasetError(f"{path}: expected a name like frame-000000.pose.txt")
    return int(digits)
