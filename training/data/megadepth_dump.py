"""The published training dump of MegaDepth: keypoints and true matches in pickled .npy files.

keypoints_<feature>/<scene>/<image>_<feature>.npy     one image
matches_sep_<feature>/<scene>/<i>.npy                 one pair of images
mega_scene_nmatches_<feature>.npy                     how many pairs each scene has
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.pickled_arrays import read_pickled_npy
from relpose_training.data.reprojection_matches import PosedKeypoints

Float32 = NDArray[np.float32]


def shifted(matrix: NDArray[Any], pixels: float) -> NDArray[np.float64]:
    """Intrinsics (3, 3) with the principal point moved by so many pixels, right and down."""
    moved = np.array(matrix, np.float64)
    moved[:2, 2] += pixels
    return moved


@dataclass(frozen=True, eq=False)
class DumpedImage(PosedKeypoints):
    """One image's N keypoints: `scores` (N,), `descriptors` (N, D); `size` is (width, height) in pixels."""

    image_path: str
    scores: Float32
    descriptors: Float32
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class DumpedPair:
    """Paths of two images, below the data set's root, and true matches (M, 2) of their keypoints."""

    image_paths: tuple[str, str]
    matches: NDArray[np.int64]


@dataclass(frozen=True)
class MegaDepthDump:
    """A dump in the folder `root`, of `feature` `spp` (SuperPoint) or `sift`.

    Every method raises DatasetError that names the file when it is missing, damaged, not of this layout,
    or would run code.
    """

    root: Path
    feature: str = "spp"

    def pair_counts(self) -> dict[str, int]:
        """Scene -> number of pairs."""
        path = self.root / f"mega_scene_nmatches_{self.feature}.npy"
        counts = read_pickled_npy(path)
        if not isinstance(counts, dict) or not all(type(n) is int and n >= 0 for n in counts.values()):
            raise DatasetError(f"{path}: expected a dictionary of scenes and numbers of pairs")
        return {str(scene): n for scene, n in counts.items()}

    def image(self, scene: str, image_path: str) -> DumpedImage:
        """The keypoints of an image of a scene, by the path that its pairs name."""
        name = f"{PurePosixPath(image_path).name}_{self.feature}.npy"
        path = self._folder("keypoints", scene) / name
        record = _Record(path)
        keypoints = record.array("keypoints", (None, 2))
        count = len(keypoints)
        height, width = record.array("image_size", (None,))[:2]
        return DumpedImage(
            keypoints=keypoints,
            depth=record.array("depth", (count,)),
            matrix=shifted(record.array("intrinsics", (3, 3)), -0.5),  # COLMAP counts from the corner
            camera_from_world=Rigid.from_matrix(record.array("pose", (4, 4))),
            image_path=record.text("image_path"),
            scores=record.array("scores", (count,)),
            descriptors=record.array("descriptors", (count, None)),
            size=(int(width), int(height)),
        )

    def pair(self, scene: str, index: int) -> DumpedPair:
        """Pair `index`, from 0, of a scene."""
        record = _Record(self._folder("matches_sep", scene) / f"{index}.npy")
        first = record.array("matched_ids1", (None,))
        second = record.array("matched_ids2", (len(first),))
        paths = record.text("image_path1"), record.text("image_path2")
        return DumpedPair(paths, np.stack([first, second], axis=1).astype(np.int64))

    def _folder(self, kind: str, scene: str) -> Path:
        if scene in ("", ".", "..") or "/" in scene or "\\" in scene:
            raise DatasetError(f"{self.root}: {scene!r} cannot be the name of a scene")
        return self.root / f"{kind}_{self.feature}" / scene


class _Record:
    """The dictionary in a file, with what is expected in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fields = read_pickled_npy(path)
        if not isinstance(self.fields, dict):
            raise DatasetError(f"{path}: expected a dictionary, got {type(self.fields).__name__}")

    def array(self, key: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
        """An array of numbers of this shape; None: any length."""
        value = np.asarray(self.fields.get(key))
        fits = value.ndim == len(shape) and all(
            n in (None, m) for n, m in zip(shape, value.shape, strict=True)
        )
        if not fits or value.dtype.kind not in "iuf":
            raise DatasetError(
                f"{self.path}: expected numbers of shape {shape} under {key!r}, "
                f"got {value.dtype} {value.shape}; is it of the right dump?"
            )
        return value

    def text(self, key: str) -> str:
        """A string."""
        value = self.fields.get(key)
        if not isinstance(value, str):
            raise DatasetError(f"{self.path}: expected text under {key!r}, got {type(value).__name__}")
        return value
