"""Frame lists of RelPoseGNN's authors: train_frames.bin and test_frames.bin, read without unpickling them.

Each is a pickled list of dictionaries: file_name ("<scene>/seq-XX/frame-NNNNNN.color.png"), extrinsic_Tcw
(3, 4) camera_from_map, camera_intrinsic (fx, fy, cx, cy, ...), frame_dim (height, width), timestamp, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relpose_ros.datasets.base import PosedImage, Split
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.text_files import safe_name
from relpose_ros.errors import CameraError, DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.pickled_arrays import parse_pickle

FILES: dict[str, Split] = {"train_frames.bin": "map", "test_frames.bin": "query"}
TURNED = 1e-3
"""Largest deviation of a rotation's columns from orthonormal: they are stored as float32."""


def holds_frames(path: Path) -> bool:
    """Whether a folder has such lists."""
    return path.is_dir() and any((path / name).is_file() for name in FILES)


@dataclass(frozen=True)
class FramesSequence:
    """The images that the lists in the folder `path` name, below the folder `root`."""

    path: Path
    root: Path
    metric: bool = True

    @property
    def name(self) -> str:
        """Of the scene."""
        return self.path.resolve().name

    def images(self) -> Sequence[PosedImage]:
        """Images of the train list have split "map", of the test list "query". Raises DatasetError."""
        out = []
        for name, split in FILES.items():
            if (self.path / name).is_file():
                out += [self._image(entry, split, name) for entry in read_frames(self.path / name)]
        return out

    def _image(self, entry: dict[str, Any], split: Split, list_name: str) -> PosedImage:
        where = f"{self.path / list_name}: {entry.get('file_name')!r:.100}"
        try:
            name = safe_name(str(entry["file_name"]), where)
            matrix = np.asarray(entry["extrinsic_Tcw"], float)
            fx, fy, cx, cy = np.asarray(entry["camera_intrinsic"], float)[:4].tolist()
            height, width = (int(side) for side in entry["frame_dim"])
            stamp = float(entry["timestamp"])
            camera = Camera("pinhole", fx, fy, cx, cy, width, height)
        except (KeyError, TypeError, ValueError, CameraError) as error:
            raise DatasetError(f"{where}: expected a frame of RelPoseGNN's lists ({error!r})") from None
        if matrix.shape != (3, 4) or not _is_rigid(matrix):
            raise DatasetError(f"{where}: extrinsic_Tcw: expected a rotation and a translation (3, 4)")
        file = ImageFile(self.root / name, camera)
        return PosedImage(name, camera, Rigid.from_matrix(matrix).inverse(), split, file, stamp)


def read_frames(path: Path) -> list[dict[str, Any]]:
    """The entries of a list. Raises DatasetError for anything else; nothing in it is executed."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error
    frames = parse_pickle(data, str(path))
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise DatasetError(f"{path}: expected a list of dictionaries, one a frame")
    return frames


def _is_rigid(matrix: np.ndarray) -> bool:
    rotation = matrix[:, :3]
    square = rotation @ rotation.T
    return bool(
        np.isfinite(matrix).all()
        and np.abs(square - np.eye(3)).max() < TURNED
        and np.linalg.det(rotation) > 0
    )
