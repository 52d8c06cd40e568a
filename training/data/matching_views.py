"""Posed images as pairs for matchers need them: features, where their keypoints are, what they see."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import DatasetError
from relpose_ros.features.base import Extractor, Features, rank_scores
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.matching_fields import Storage, StoredImage, decode, encode
from relpose_training.data.reprojection_matches import PosedKeypoints, depth_at
from relpose_training.data.view_pairs import STEP, Sight, sight_from_depth

Array = NDArray[np.float64]
Scores = Literal["rank", "detector"]

NEAR_A_POINT = 2.0
"""Pixels: a keypoint this near to where a landmark of its image projects to is as far away as that."""


@dataclass(frozen=True, eq=False)
class MatchingView:
    """A posed image: `image` as it is stored, `depth` (N,) of its keypoints (0: unknown), and its `sight`.

    `sight.points` (P, 3) are its landmarks where there is no depth image.
    """

    name: str
    image: StoredImage
    depth: NDArray[np.float32]
    sight: Sight

    @property
    def descriptors(self) -> NDArray[np.float32]:
        """(N, D) of length 1, as a network will see them."""
        return decode(self.image.descriptors)

    @property
    def posed(self) -> PosedKeypoints:
        """Its keypoints without the distortion of the lens."""
        K = self.image.matrix
        ideal = self.image.rays.astype(float) * K[[0, 1], [0, 1]] + K[:2, 2]
        return PosedKeypoints(ideal, self.depth, K, self.sight.map_from_camera.inverse())


@dataclass(frozen=True)
class ViewMaker:
    """Makes views of images, and keeps them in `folder`: what was made before is not made again.

    `points`: what images without a depth image see, by name: (M, 3) in the frame of the poses.
    """

    extractor: Extractor
    folder: Path
    storage: Storage = "uint8"
    scores: Scores = "rank"
    points: Mapping[str, Array] | None = None

    def view(self, number: int, image: PosedImage) -> MatchingView:
        """Image `number` of its sequence. Raises ImageError, and DatasetError if nothing tells its depth."""
        path = self.folder / f"{number:06d}.npz"
        kept = _read(path)
        if kept is None:
            kept = self._measure(image)
            _write(path, kept)
        return _assembled(image, kept, self._landmarks(image))

    def _measure(self, image: PosedImage) -> dict[str, NDArray[np.generic]]:
        """What is kept on disk of an image."""
        pixels = image.load()
        features = self.extractor.extract(pixels)
        rays = image.camera.rays(features.keypoints)
        usable = np.flatnonzero(np.isfinite(rays).all(axis=1))
        features, rays = features[usable], rays[usable].astype(np.float32)
        kept: dict[str, NDArray[np.generic]] = {
            "keypoints": features.keypoints,
            "scores": self._scores(features),
            "descriptors": encode(features.descriptors, self.storage),
            "rays": rays,
        }
        if image.load_depth is not None:
            depth = image.load_depth()
            sight_from_depth(image.camera, Rigid.identity(), depth)  # refuses another size
            kept["depth"] = depth_at(depth, features.keypoints).astype(np.float32)
            kept["sight"] = np.ascontiguousarray(depth[::STEP, ::STEP], np.float32)
            return kept
        local = _pose(image).inverse().apply(self._landmarks(image))
        kept["depth"] = depth_of_landmarks(local, image.camera, features.keypoints)
        return kept

    def _scores(self, features: Features) -> NDArray[np.float32]:
        if self.scores == "rank":
            return rank_scores(len(features))
        if features.scores is None:
            raise DatasetError(f"{self.extractor.name} gives no scores; leave them to the rank")
        return features.scores

    def _landmarks(self, image: PosedImage) -> Array:
        if image.load_depth is not None:
            return np.zeros((0, 3))
        if self.points is None:
            raise DatasetError(
                f"{image.name}: neither depth nor landmarks: nothing says which keypoints match. Give a "
                "COLMAP model, or build a map of these images and give it with --landmarks MAP.relmap"
            )
        return self.points.get(image.name, np.zeros((0, 3)))


def depth_of_landmarks(
    points: Array, camera: Camera, keypoints: NDArray[np.floating], within_px: float = NEAR_A_POINT
) -> NDArray[np.float32]:
    """Depth (N,) of the nearest of `points` (M, 3), camera axes, that project near to keypoints; else 0."""
    from scipy.spatial import cKDTree

    depth = np.zeros(len(keypoints), np.float32)
    pixels = camera.project(points)
    seen = np.flatnonzero(camera.contains(pixels) & (points[:, 2] > 0))
    if not len(seen) or not len(keypoints):
        return depth
    distance, nearest = cKDTree(pixels[seen]).query(keypoints)
    near = distance <= within_px
    depth[near] = points[seen[nearest[near]], 2]
    return depth


def _assembled(image: PosedImage, kept: dict[str, NDArray[np.generic]], landmarks: Array) -> MatchingView:
    camera, pose = image.camera, _pose(image)
    if "sight" in kept:
        full = np.zeros((camera.height, camera.width), np.float32)
        full[::STEP, ::STEP] = kept["sight"]
        sight = sight_from_depth(camera, pose, full)
    else:
        sight = Sight(camera, pose, pose.inverse().apply(landmarks).reshape(-1, 3))
    stored = StoredImage(
        np.asarray(kept["keypoints"], np.float32),
        np.asarray(kept["scores"], np.float32),
        kept["descriptors"],
        np.asarray(kept["rays"], np.float32),
        camera.matrix,
        (camera.width, camera.height),
    )
    return MatchingView(image.name, stored, np.asarray(kept["depth"], np.float32), sight)


def _pose(image: PosedImage) -> Rigid:
    if image.map_from_camera is None:
        raise DatasetError(f"{image.name}: has no pose; expected images with poses")
    return image.map_from_camera


def _read(path: Path) -> dict[str, NDArray[np.generic]] | None:
    """What was kept, or None if there is nothing that can be read."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        path.unlink(missing_ok=True)  # by a process that was killed: made again
        return None


def _write(path: Path, kept: dict[str, NDArray[np.generic]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}.npz")
    np.savez(part, **kept)  # type: ignore[arg-type]
    part.replace(path)
