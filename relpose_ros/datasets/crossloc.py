"""The CrossLoc benchmark, and what TransPose's set-up scripts leave: sections with dense labels at stride 8.

A section is a folder `train_sim`, `train_drone_real`, `val_drone_sim`, `test_oop_drone_real`, ... with rgb,
poses, calibration, init (scene coordinates, -1 where unknown), depth, normal and semantics. Depth is that of
the coordinates, and normals are those of their surface: the files of them are not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.array_files import read_array
from relpose_ros.datasets.base import PosedImage, Source, Split
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.pose_files import read_pose_file
from relpose_ros.datasets.scene_sections import (
    CoordinateFile,
    DepthMap,
    is_section,
    read_calibration,
    section_files,
)
from relpose_ros.errors import DatasetError

LICENCE = "CrossLoc benchmark (EPFL TOPO): see doi 10.5061/dryad.mgqnk991c"
KINDS = ("train", "val", "test")
LABELS = {"init": (".dat", ".npy"), "depth": (".dat", ".npy"), "semantics": (".npy", ".dat")}
INVALID = -1.0
RAW_CLASSES = {0: 0, 1: 1, 2: 1, 3: 2, 6: 3, 9: 4, 17: 5}
"""Class numbers in the files -> sky, ground or none, low vegetation, building, water, bridge."""


@dataclass(frozen=True)
class ClassFile:
    """A `PosedImage.load_semantics`: raw class numbers (h, w) -> `RAW_CLASSES`."""

    path: Path

    def __call__(self) -> NDArray[np.uint8]:
        """Raises DatasetError for a broken file or a class that is none."""
        stored = read_array(self.path, (None, None), (1, None, None))
        raw = stored.reshape(stored.shape[-2:])
        unknown = sorted(set(np.unique(raw).tolist()) - set(RAW_CLASSES))
        if unknown:
            raise DatasetError(
                f"{self.path}: expected the classes {sorted(RAW_CLASSES)}, found {unknown[:5]}"
            )
        table = np.zeros(max(RAW_CLASSES) + 1, np.uint8)
        table[list(RAW_CLASSES)] = list(RAW_CLASSES.values())
        return np.asarray(table[raw.astype(np.int64)])


def recognises(path: Path) -> bool:
    """Whether `path` holds sections, or is one."""
    return bool(_sections(path))


def open_crossloc(
    path: Path, *, sections: Sequence[str] | str | None = None, label_pixel: str = "centre"
) -> Source:
    """Open a scene: train sections are the map, val and test ones the queries.

    `sections`: only those, as "train_sim,train_drone_real". `label_pixel`: "centre" of a cell, as in the
    benchmark, or "corner", its top-left pixel, as in files that TransPose's scripts made. Sections with
    "real" in their name were photographed, the others rendered. Raises DatasetError.
    """
    if label_pixel not in ("centre", "corner"):
        raise DatasetError(f"{path}: label_pixel={label_pixel}: expected centre or corner")
    found = _sections(path)
    wanted = sections.split(",") if isinstance(sections, str) else list(sections or found)
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DatasetError(f"{path}: no section {missing[0]!r}; there are {', '.join(found)}")
    images = [image for name in wanted for image in _section(found[name], name, label_pixel == "corner")]
    if not images:
        raise DatasetError(f"{path}: no image with a valid pose in {', '.join(wanted)}")
    return Source(path.resolve().name, path, tuple(images), True, LICENCE)


def _sections(path: Path) -> dict[str, Path]:
    """Name -> folder, train first."""
    inside = sorted(path.iterdir()) if path.is_dir() else []
    found = {
        folder.name: folder
        for kind in KINDS
        for folder in inside
        if folder.name.startswith(f"{kind}_") and is_section(folder)
    }
    name = path.resolve().name
    return found or ({name: path} if name.startswith(KINDS) and "_" in name and is_section(path) else {})


def _section(folder: Path, name: str, corners: bool) -> list[PosedImage]:
    files = section_files(folder, LABELS)
    split: Split = "map" if name.startswith("train") else "query"
    images = []
    for k, rgb in enumerate(files["rgb"]):
        pose = read_pose_file(files["poses"][k])
        if pose is None:
            continue
        camera = read_calibration(files["calibration"][k], rgb)
        labels = CoordinateFile(files["init"][k], INVALID, corners) if "init" in files else None
        depth = DepthMap(files["depth"][k], camera) if "depth" in files and labels is None else None
        images.append(
            PosedImage(
                f"{name}/{rgb.name}",
                camera,
                pose,
                split,
                ImageFile(rgb, camera),
                load_depth=depth,
                load_coordinates=labels,
                load_semantics=ClassFile(files["semantics"][k]) if "semantics" in files else None,
                domain="real" if "real" in name else "simulated",
            )
        )
    return images
