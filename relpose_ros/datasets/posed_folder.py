"""The posed-image folder: images/, poses.txt, intrinsics.txt, split.txt, and optionally depth/ and more.

poses.txt                    name tx ty tz qx qy qz qw      (camera-to-world, OpenCV camera axes)
intrinsics.txt               fx fy cx cy width height [k1 k2 p1 p2 [k3]]
intrinsics_per_image.txt     name and the same              (instead, when cameras differ)
camera.yaml                  a ROS camera-info YAML         (instead, for other distortion models)
split.txt                    name map|query                 (all are map images without it)
stamps.txt                   name seconds                   (optional)
conditions.txt               name condition                 (optional: day, night, ...; one word)
depth/<stem>.png             uint16 millimetres, 0 unknown  (optional)
source.yaml                  metric: bool, licence: text, domain: real|simulated
                             (optional; before what SOURCE.md says)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, get_args

from relpose_ros.datasets.base import Domain, PosedImage, Source, Split
from relpose_ros.datasets.camera_files import camera_from_numbers, read_camera
from relpose_ros.datasets.image_files import ImageFile, depth_loader
from relpose_ros.datasets.text_files import Row, add_unique, read_text, rows, safe_name
from relpose_ros.datasets.yaml_files import parse_yaml, shown
from relpose_ros.errors import CameraError, DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

ARBITRARY_SCALE = re.compile(r"(?<!not )(scale\s+(is\s+)?arbitrary|arbitrary\s+scale)", re.IGNORECASE)
LICENCE_LINE = re.compile(r"^\W*licen[cs]e\s*:\s*(.+)$", re.IGNORECASE | re.MULTILINE)


def recognises(path: Path) -> bool:
    """Whether `path` is a posed-image folder."""
    return (path / "images").is_dir() and (path / "poses.txt").is_file()


def open_posed_folder(path: Path) -> Source:
    """Open a posed-image folder; images and depth are read when they are wanted.

    Images named in split.txt without a line in poses.txt have no pose. Raises DatasetError naming
    file and line for anything missing, listed twice, not finite, or outside the folder.
    """
    poses = _read_poses(path / "poses.txt")
    splits = _read_splits(path / "split.txt", poses)
    names = sorted({*poses, *splits})
    if not names:
        raise DatasetError(f"{path / 'poses.txt'}: expected at least one image, got none")
    cameras = _read_cameras(path, names)
    stamps = _read_stamps(path / "stamps.txt")
    conditions = _read_conditions(path / "conditions.txt")
    notes = read_source_notes(path)
    images = []
    for name in names:
        file = path / "images" / name
        if not file.is_file():
            raise DatasetError(
                f"{file}: no such image, though {path.name} lists it; remove its lines or add the file"
            )
        depth = depth_loader(path / "depth" / f"{Path(name).stem}.png")
        split = splits.get(name, "map")
        images.append(
            PosedImage(
                name, cameras[name], poses.get(name), split, ImageFile(file, cameras[name]),
                stamps.get(name, 0.0), depth, domain=notes.domain, condition=conditions.get(name, ""),
            )
        )  # fmt: skip
    return Source(path.resolve().name, path, tuple(images), notes.metric, notes.licence)


class SourceNotes(NamedTuple):
    """Whether the unit is the metre, the licence, and where the images are from."""

    metric: bool
    licence: str
    domain: Domain


def read_source_notes(path: Path) -> SourceNotes:
    """What source.yaml says, or else SOURCE.md in words."""
    notes = path / "SOURCE.md"
    text = read_text(notes) if notes.is_file() else ""
    line = LICENCE_LINE.search(text)
    metric, licence = not ARBITRARY_SCALE.search(text), line.group(1).strip() if line else ""
    if not (path / "source.yaml").is_file():
        return SourceNotes(metric, licence, "real")
    content = _read_source_yaml(path / "source.yaml")
    domain = content.get("domain", "real")
    if domain not in get_args(Domain):
        raise DatasetError(f"{path / 'source.yaml'}: domain: expected real or simulated, got {shown(domain)}")
    return SourceNotes(bool(content.get("metric", metric)), str(content.get("licence", licence)), domain)


def _read_source_yaml(path: Path) -> dict[str, Any]:
    try:
        content = parse_yaml(read_text(path)) or {}
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("metric", True), bool):
        raise DatasetError(
            f"{path}: expected a mapping like {{metric: true, licence: text}}, got {shown(content)}"
        )
    return content


def _read_poses(path: Path) -> dict[str, Rigid]:
    poses: dict[str, Rigid] = {}
    for row in rows(path):
        row.expect("name tx ty tz qx qy qz qw", 8)
        name = safe_name(row.fields[0], row.place)
        add_unique(poses, name, row.pose(row.numbers(1, 4), row.numbers(4, 8)), row.place)
    return poses


def _read_splits(path: Path, names: Iterable[str]) -> dict[str, Split]:
    if not path.is_file():
        return dict.fromkeys(names, "map")
    splits: dict[str, Split] = {}
    for row in rows(path):
        row.expect("name map|query", 2)
        name = safe_name(row.fields[0], row.place)
        add_unique(splits, name, _split(row), row.place)
    return splits


def _split(row: Row) -> Split:
    if row.fields[1] == "map":
        return "map"
    if row.fields[1] == "query":
        return "query"
    raise DatasetError(f"{row.place}: expected 'map' or 'query', got {row.fields[1]!r}")


def _read_stamps(path: Path) -> dict[str, float]:
    stamps: dict[str, float] = {}
    for row in rows(path) if path.is_file() else ():
        row.expect("name seconds", 2)
        add_unique(stamps, row.fields[0], row.numbers(1)[0], row.place)
    return stamps


def _read_conditions(path: Path) -> dict[str, str]:
    conditions: dict[str, str] = {}
    for row in rows(path) if path.is_file() else ():
        row.expect("name condition", 2)
        add_unique(conditions, row.fields[0], row.fields[1], row.place)
    return conditions


def _read_cameras(path: Path, names: list[str]) -> dict[str, Camera]:
    per_image, single = path / "intrinsics_per_image.txt", path / "intrinsics.txt"
    if per_image.is_file():
        cameras = _read_per_image(per_image)
        missing = [name for name in names if name not in cameras]
        if missing:
            raise DatasetError(f"{per_image}: no camera for {missing[0]!r} ({len(missing)} images lack one)")
        return cameras
    for file in (single, path / "camera.yaml"):
        if file.is_file():
            return dict.fromkeys(names, read_camera(file))
    raise DatasetError(f"{path}: no camera; expected intrinsics.txt, intrinsics_per_image.txt or camera.yaml")


def _read_per_image(path: Path) -> dict[str, Camera]:
    cameras: dict[str, Camera] = {}
    for row in rows(path):
        try:
            camera = camera_from_numbers(row.fields[1:])
        except CameraError as error:
            raise CameraError(f"{row.place}: {error}") from error
        add_unique(cameras, row.fields[0], camera, row.place)
    return cameras
