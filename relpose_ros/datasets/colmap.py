"""COLMAP models (sparse folder, .bin or .txt) with their images folder as a `Source`.

The files are parsed here, byte by byte, because COLMAP's own reader ends the process on a broken file.
Format: https://colmap.github.io/format.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.splits import split_every
from relpose_ros.datasets.text_files import Row, add_unique, read_text, rows, safe_name
from relpose_ros.errors import CameraError, DatasetError
from relpose_ros.geometry.camera_colmap import MODEL_NAMES, PARAMETER_COUNTS, camera_from_colmap
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

MODEL_FOLDERS = (".", "sparse/0", "sparse", "model", "0")


def recognises(path: Path) -> bool:
    """Whether `path` is a COLMAP model, or a project folder that has one."""
    return path.is_dir() and find_model(path) is not None


def open_colmap(
    path: Path,
    *,
    image_folder: str | Path | None = None,
    metric: bool = False,
    split: Split = "map",
    query_every: int = 0,
) -> Source:
    """Open a COLMAP model: its registered images, in order of their names.

    A model is of arbitrary scale unless `metric` says that it was aligned. COLMAP knows no split: all
    images count as `split`, or with `query_every` every Nth is a query. The images lie in
    `image_folder`, or in a folder `images` beside or above the model. Raises DatasetError or CameraError.
    """
    model = find_model(path)
    if model is None:
        raise DatasetError(f"{path}: expected cameras.bin and images.bin (or .txt), here or in sparse/0")
    folder = _image_folder(path, model, image_folder)
    cameras, posed = _read_model(model)
    images = []
    for index, name in enumerate(sorted(posed)):
        entry = posed[name]
        if entry.camera_id not in cameras:
            raise DatasetError(
                f"{model}: image {name!r} refers to camera {entry.camera_id}, which is not there"
            )
        if not (folder / name).is_file():
            raise DatasetError(f"{folder / name}: no such image, though the model has it; pass image_folder")
        camera = cameras[entry.camera_id]
        load = ImageFile(folder / name, camera)
        images.append(
            PosedImage(name, camera, entry.map_from_camera, split_every(index, query_every, split), load)
        )
    if not images:
        raise DatasetError(f"{model}: the model has no registered image")
    return Source(path.resolve().name, path, tuple(images), metric)


@dataclass(frozen=True)
class _Posed:
    camera_id: int
    map_from_camera: Rigid


_Model = tuple[dict[int, Camera], dict[str, _Posed]]


def find_model(path: Path) -> Path | None:
    """The folder of a COLMAP model in `path`, or None."""
    for folder in MODEL_FOLDERS:
        for suffix in (".bin", ".txt"):
            if all((path / folder / f"{stem}{suffix}").is_file() for stem in ("cameras", "images")):
                return path / folder
    return None


def _image_folder(path: Path, model: Path, asked: str | Path | None) -> Path:
    if asked is not None:
        candidates = [Path(asked)]
    else:
        candidates = [base / "images" for base in (path, model, model.parent, model.parent.parent)]
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise DatasetError(f"{path}: found no folder of images ({candidates[0]}); pass image_folder")


def _read_model(model: Path) -> _Model:
    if (model / "images.bin").is_file():
        return _read_binary(model)
    return _read_cameras_text(model / "cameras.txt"), _read_images_text(model / "images.txt")


class ColmapBytes:
    """A little-endian reader that says where a file ends too early."""

    def __init__(self, path: Path) -> None:
        try:
            self.path, self.data, self.at = path, path.read_bytes(), 0
        except OSError as error:
            raise DatasetError(f"{path}: cannot read this file ({error.strerror})") from error

    def take(self, form: str) -> tuple[float, ...]:
        size = struct.calcsize(f"<{form}")
        self.skip(size)
        return struct.unpack_from(f"<{form}", self.data, self.at - size)

    def count(self, smallest: int) -> int:
        """A number of items, each at least `smallest` bytes: more than fit is refused before looping."""
        number = int(self.take("Q")[0])
        if number * smallest > len(self.data) - self.at:
            raise self.broken()
        return number

    def text(self) -> str:
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise self.broken()
        raw, self.at = self.data[self.at : end], end + 1
        return raw.decode("utf-8", "replace")

    def skip(self, size: int) -> None:
        if self.at + size > len(self.data):
            raise self.broken()
        self.at += size

    def broken(self) -> DatasetError:
        return DatasetError(f"{self.path}: the file ends too early, at byte {len(self.data)}; copy it again")


def _read_binary(model: Path) -> _Model:
    cameras: dict[int, Camera] = {}
    file = ColmapBytes(model / "cameras.bin")
    for _ in range(file.count(48)):
        identity, number, width, height = (int(v) for v in file.take("IiQQ"))
        name = MODEL_NAMES.get(number, f"number {number}")
        parameters = file.take(f"{PARAMETER_COUNTS.get(name, 0)}d")
        cameras[identity] = _camera(f"{file.path} camera {identity}", name, width, height, parameters)
    posed: dict[str, _Posed] = {}
    file = ColmapBytes(model / "images.bin")
    for index in range(file.count(73)):
        place = f"{file.path} image {index}"
        numbers = file.take("I7dI")
        name = safe_name(file.text(), place)
        file.skip(24 * file.count(24))
        row = Row(place, [repr(n) for n in numbers[1:8]])
        add_unique(posed, name, _Posed(int(numbers[8]), _pose(row, row.numbers())), place)
    return cameras, posed


def _read_cameras_text(path: Path) -> dict[int, Camera]:
    cameras: dict[int, Camera] = {}
    for row in rows(path):
        if len(row.fields) < 5:
            raise DatasetError(
                f"{row.place}: expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS[], got {row.fields}"
            )
        identity, width, height = (int(row.numbers(i, i + 1)[0]) for i in (0, 2, 3))
        cameras[identity] = _camera(row.place, row.fields[1], width, height, row.numbers(4))
    return cameras


def _read_images_text(path: Path) -> dict[str, _Posed]:
    posed: dict[str, _Posed] = {}
    for row in _image_rows(path):
        if len(row.fields) < 10:
            raise DatasetError(
                f"{row.place}: expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, got {row.fields}"
            )
        name = safe_name(" ".join(row.fields[9:]), row.place)
        camera_id = int(row.numbers(8, 9)[0])
        add_unique(posed, name, _Posed(camera_id, _pose(row, row.numbers(1, 8))), row.place)
    return posed


def _image_rows(path: Path) -> Iterator[Row]:
    """Every second line: the lines between hold keypoints, and may be empty."""
    lines = [(n, t) for n, t in enumerate(read_text(path).splitlines(), 1) if not t.startswith("#")]
    for number, text in lines[::2]:
        if text.strip():
            yield Row(f"{path}:{number}", text.split())


def _camera(
    place: str, model: str, width: int, height: int, parameters: tuple[float, ...] | list[float]
) -> Camera:
    try:
        return camera_from_colmap(model, width, height, parameters)
    except CameraError as error:
        raise CameraError(f"{place}: {error}") from error


def _pose(row: Row, numbers: list[float]) -> Rigid:
    """QW QX QY QZ TX TY TZ is camera-from-world."""
    qw, qx, qy, qz, *translation = numbers
    return row.pose(translation, [qx, qy, qz, qw]).inverse()
