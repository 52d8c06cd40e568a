"""MegaDepth as D2-Net prepared it: scenes of undistorted photographs with poses, depth and known overlaps.

scene_info/<scene>.0.npz              image_paths, depth_paths, intrinsics, poses, overlap_matrix
Undistorted_SfM/<scene>/images/*.jpg  (as image_paths say, below the base folder)
phoenix/.../*.h5                      depth maps (as depth_paths say)
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.image_headers import quick_image_size
from relpose_ros.datasets.text_files import safe_name
from relpose_ros.errors import CameraError, DatasetError, ImageError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.megadepth_dump import shifted
from relpose_training.data.pickled_arrays import parse_npy

LICENCE = "research only (MegaDepth; photographs are their authors')"


@dataclass(frozen=True)
class DepthFile:
    """A `PosedImage.load_depth`: reads `/depth` of an HDF5 file. Raises ImageError."""

    path: Path
    camera: Camera

    def __call__(self) -> NDArray[np.float32]:
        """Depth (H, W), 0 where unknown."""
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                depth = np.asarray(file["depth"][()], np.float32)
        except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
            raise ImageError(
                f"{self.path}: expected a depth map of MegaDepth, cannot read it: {error}"
            ) from error
        if depth.shape != (self.camera.height, self.camera.width):
            raise ImageError(f"{self.path}: depth of {depth.shape} for an image of another size")
        return np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)


@dataclass(frozen=True)
class MegaDepthScene:
    """One scene; a `PosedSequence` of arbitrary scale."""

    base: Path
    scene: str
    licence: str = LICENCE

    @property
    def name(self) -> str:
        return self.scene

    def images(self) -> Sequence[PosedImage]:
        """The images that have a depth map. Raises DatasetError."""
        info = self._info("image_paths", "depth_paths", "intrinsics", "poses")
        rows = zip(*(info[key] for key in ("image_paths", "depth_paths", "intrinsics", "poses")), strict=True)
        # Places of photographs that D2-Net left out hold None.
        return [self._image(*row) for row in rows if row[0] is not None and row[1] is not None]

    def overlaps(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Overlaps (V, V) of these images, the smaller of both directions; 0 on the diagonal."""
        info = self._info("image_paths", "overlap_matrix")
        place = {name: k for k, name in enumerate(info["image_paths"].tolist())}
        chosen = [place[name] for name in names]
        table = np.asarray(info["overlap_matrix"], float)[np.ix_(chosen, chosen)]
        table = np.clip(np.minimum(table, table.T), 0.0, 1.0)
        np.fill_diagonal(table, 0.0)
        return np.asarray(np.nan_to_num(table))

    def _image(self, image: str, depth: str, intrinsics: Any, pose: Any) -> PosedImage:
        path = self.base / safe_name(image, str(self._path))
        try:
            K = shifted(intrinsics, -0.5)  # COLMAP counts from the corner
            camera = Camera("pinhole", K[0, 0], K[1, 1], K[0, 2], K[1, 2], *quick_image_size(path))
            camera_from_world = Rigid.from_matrix(np.asarray(pose, float))
        except (ValueError, IndexError, TypeError, CameraError) as error:
            raise DatasetError(f"{self._path}: {image}: not a camera with a pose ({error})") from error
        depth_file = DepthFile(self.base / safe_name(depth, str(self._path)), camera)
        return PosedImage(
            image, camera, camera_from_world.inverse(), "map", ImageFile(path, camera), load_depth=depth_file
        )

    @property
    def _path(self) -> Path:
        return self.base / "scene_info" / f"{self.scene}.0.npz"

    def _info(self, *keys: str) -> dict[str, NDArray[Any]]:
        """Arrays of the scene's file, which are pickled where they hold text; nothing is unpickled."""
        info = {}
        try:
            with zipfile.ZipFile(self._path) as archive:
                for key in keys:
                    with archive.open(f"{key}.npy") as member:
                        info[key] = parse_npy(member, f"{self._path}:{key}")
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise DatasetError(
                f"{self._path}: expected a scene of MegaDepth as D2-Net prepared it ({error})"
            ) from error
        if any(not isinstance(values, np.ndarray) or not values.ndim for values in info.values()):
            raise DatasetError(f"{self._path}: expected arrays {', '.join(keys)}")
        if len({len(values) for values in info.values()}) != 1:
            raise DatasetError(f"{self._path}: {', '.join(keys)} are of different lengths; copy it again")
        return info


def megadepth_scenes(base: Path, names: Sequence[str] | None = None) -> list[MegaDepthScene]:
    """The scenes of a base folder, or those named. Raises DatasetError for one that is not there."""
    there = sorted(path.name.removesuffix(".0.npz") for path in (base / "scene_info").glob("*.0.npz"))
    missing = sorted(set(names or ()) - set(there))
    if not there or missing:
        raise DatasetError(
            f"{base}: expected scene_info/{missing[0] if missing else '<scene>'}.0.npz of MegaDepth as "
            f"D2-Net prepared it; {len(there)} scenes are there"
        )
    return [MegaDepthScene(base, name) for name in (there if names is None else dict.fromkeys(names))]
