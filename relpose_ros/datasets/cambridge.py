"""Cambridge Landmarks: dataset_train.txt, dataset_test.txt, and the focal lengths in reconstruction.nvm.

A line of the split files is `file X Y Z W P Q R`: the camera's centre, and the quaternion w x y z of
camera-from-world. The cameras are taken as ideal, with the centre of the image as principal point;
VisualSFM's small radial term is left out, as everybody does who uses these files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.image_files import ImageFile, image_size
from relpose_ros.datasets.text_files import Row, add_unique, read_text, rows, safe_name
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

LICENCE = "Cambridge Landmarks (Kendall et al. 2015): non-commercial research; see its page"
SPLITS: dict[str, Split] = {"dataset_train.txt": "map", "dataset_test.txt": "query"}
FAR = 1e4
"""Metres; a few published poses are far outside their scene, and everybody drops them."""


def recognises(path: Path) -> bool:
    """Whether `path` is a scene of Cambridge Landmarks."""
    return all((path / name).is_file() for name in SPLITS)


def open_cambridge(path: Path, *, focal: float | None = None) -> Source:
    """Open a scene: dataset_train.txt is the map, dataset_test.txt the queries.

    Focal lengths in pixels come from reconstruction.nvm, or are all `focal` when it is given. Raises
    DatasetError when a focal length or an image is missing.
    """
    focals = {} if focal else _read_focals(path / "reconstruction.nvm")
    sizes: dict[str, tuple[int, int]] = {}
    found: dict[str, PosedImage] = {}
    for file, split in SPLITS.items():
        for row in _image_rows(path / file):
            name = safe_name(row.fields[0], row.place)
            pose = _pose(row)
            if np.abs(pose.translation).max() > FAR:
                continue
            length = focal or focals.get(_stem(name))
            if not length:
                raise DatasetError(
                    f"{row.place}: reconstruction.nvm has no focal length for {name!r}; pass focal"
                )
            camera = _camera(path / name, row.place, length, sizes)
            image = PosedImage(name, camera, pose, split, ImageFile(path / name, camera))
            add_unique(found, name, image, row.place)
    if not found:
        raise DatasetError(f"{path}: its split files list no image")
    return Source(path.resolve().name, path, tuple(found.values()), True, LICENCE)


def _image_rows(path: Path) -> Iterator[Row]:
    """Rows behind the two header lines."""
    for row in rows(path):
        if row.fields[0] in ("Visual", "ImageFile,"):
            continue
        row.expect("file X Y Z W P Q R", 8)
        yield row


def _pose(row: Row) -> Rigid:
    """The centre of the camera and camera-from-world's quaternion -> map_from_camera."""
    centre, (w, x, y, z) = row.numbers(1, 4), row.numbers(4, 8)
    rotation = row.pose(centre, [x, y, z, w]).rotation.T
    return Rigid(rotation, np.array(centre))


def _camera(file: Path, place: str, focal: float, sizes: dict[str, tuple[int, int]]) -> Camera:
    """All images of a sequence have one size: only the first is opened to see it."""
    if not file.is_file():
        raise DatasetError(f"{place}: there is no image {file}; unpack the scene again")
    sequence = str(file.parent)
    if sequence not in sizes:
        sizes[sequence] = image_size(file)
    width, height = sizes[sequence]
    return Camera("pinhole", focal, focal, (width - 1) / 2, (height - 1) / 2, width, height)


def _stem(name: str) -> str:
    """The model was made of JPEGs and the dataset has PNGs of the same names."""
    return name.replace("\\", "/").rsplit(".", 1)[0]


def _read_focals(path: Path) -> dict[str, float]:
    """`name focal qw qx qy qz X Y Z radial 0` for each camera of a VisualSFM NVM_V3 file."""
    if not path.is_file():
        raise DatasetError(
            f"{path}: expected the published reconstruction for its focal lengths; add it or pass focal"
        )
    lines = read_text(path).splitlines()
    numbered = [(n, line.split()) for n, line in enumerate(lines, 1) if line.strip()]
    if len(numbered) < 2 or not numbered[0][1][0].startswith("NVM_V3") or not numbered[1][1][0].isdigit():
        raise DatasetError(f"{path}:1: expected an NVM_V3 file with its number of cameras")
    count = int(numbered[1][1][0])
    if len(numbered) < count + 2:
        raise DatasetError(f"{path}: expected {count} cameras, the file ends after {len(numbered) - 2}")
    focals: dict[str, float] = {}
    for number, fields in numbered[2 : count + 2]:
        row = Row(f"{path}:{number}", fields)
        row.expect("name focal qw qx qy qz X Y Z radial 0", 11)
        focals[_stem(row.fields[0])] = row.numbers(1, 2)[0]
    return focals
