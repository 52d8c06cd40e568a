"""Posed images -> pairs of putative correspondences with the truth about them, as OANet's data have them.

For every keypoint of the first image its nearest neighbour in the second, with the ratio to the second
nearest and whether it is mutual (Zhang et al., ICCV 2019, dump_match); the truth is the pose of the images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.features.base import Features
from relpose_ros.features.matching import nearest_neighbours
from relpose_ros.features.registry import make_extractor
from relpose_ros.geometry.epipolar import epipolar_line_distances, essential_matrix
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.progress import Progress, silent
from relpose_training.data.sequences import PosedSequence
from relpose_training.data.shards import Sample
from relpose_training.data.view_pairs import (
    Sight,
    easy_to_hard,
    overlaps,
    sight_from_depth,
    sight_without_depth,
    typical_distance,
)
from relpose_training.data.virtual_points import virtual_correspondences

Array = NDArray[np.float64]

VARYING = ("xs", "ys", "ratios", "mutuals")
"""Fields of a sample that are as long as it has correspondences."""
INLIER = 1e-4
"""Squared symmetric epipolar distance below which a correspondence counts as right."""
FARTHEST = 1e6
"""Distances are cut off here: a point at the epipole has no line to be far from."""
CONFIDENT_RATIO = 0.9


@dataclass(frozen=True)
class CorrespondenceOptions:
    """How pairs are made. Raises ConfigurationError for what cannot be.

    `features`, `max_keypoints`: see `make_extractor`. Of a sequence at most `images` (evenly spread) are
    used, and `pairs` are made, of every overlap from `least_overlap` up. A pair needs `least_matches`
    correspondences, `least_true` right ones (mutual, with a ratio below 0.9), and a translation longer than
    `least_baseline` in the unit of the poses: without one there is no direction to learn.
    """

    features: str = "rootsift64"
    max_keypoints: int = 2000
    images: int = 300
    pairs: int = 1000
    least_overlap: float = 0.1
    least_matches: int = 50
    least_true: int = 12
    least_baseline: float = 0.02
    seed: int = 0

    varying: ClassVar[tuple[str, ...]] = VARYING

    def __post_init__(self) -> None:
        counts = (self.max_keypoints, self.images, self.pairs, self.least_matches)
        if min(counts) < 2 or min(self.least_true, self.seed) < 0 or self.least_baseline <= 0:
            raise ConfigurationError(
                f"expected counts of 2 or more, a positive baseline and a seed of 0 or more; got {self}"
            )
        if not 0 <= self.least_overlap < 1:
            raise ConfigurationError(f"least_overlap must be in [0, 1), got {self.least_overlap}")

    def new_tally(self) -> Tally:
        """For one sequence."""
        return Tally()

    def meta(self) -> dict[str, Any]:
        """What the index of a split says of the pairs."""
        return {"features": self.features}

    def samples(
        self, sequence: PosedSequence, folder: Path, progress: Progress, tally: Tally
    ) -> Iterator[Sample]:
        """The pairs of a sequence; nothing is kept in `folder`."""
        return sequence_pairs(sequence.name, sequence.images(), self, progress, tally)


@dataclass
class Tally:
    """What became of a sequence's images and of the pairs that were looked at."""

    images: int = 0
    without_pose: int = 0
    overlapping: int = 0
    few_matches: int = 0
    few_true: int = 0
    kept: int = 0
    matches: list[int] = field(default_factory=list)
    true_share: list[float] = field(default_factory=list)

    def sentence(self) -> str:
        """In words."""
        text = (
            f"{self.kept} pairs of {self.images} images ({self.without_pose} more have no pose); "
            f"{self.overlapping} pairs overlap, {self.few_matches} of those looked at had too few matches, "
            f"{self.few_true} too few right ones"
        )
        if self.kept:
            text += f"; median {np.median(self.matches):.0f} matches, {np.median(self.true_share):.0%} right"
        return text


@dataclass(frozen=True)
class View:
    """One posed image as pairs need it: features, and their rays (n, 2) on the plane z = 1."""

    sight: Sight
    features: Features
    rays: Array


def sequence_pairs(
    name: str,
    images: Sequence[PosedImage],
    options: CorrespondenceOptions,
    progress: Progress = silent,
    tally: Tally | None = None,
) -> Iterator[Sample]:
    """The pairs of one sequence: images whose poses are in one frame. `tally` is filled on the way.

    `progress` counts images, then pairs. Raises DatasetError when fewer than two images have a pose.
    """
    tally = tally if tally is not None else Tally()
    posed = [image for image in images if image.map_from_camera is not None]
    tally.without_pose = len(images) - len(posed)
    if len(posed) < 2:
        raise DatasetError(
            f"{name}: {len(posed)} of {len(images)} images have a pose; expected two or more: "
            "without poses there is no truth to learn from"
        )
    posed = [posed[k] for k in evenly(len(posed), options.images)]
    tally.images = len(posed)
    total = len(posed) + options.pairs
    views = _views(posed, options, progress, total, name)
    rng = np.random.default_rng([options.seed, 11])
    table = overlaps([view.sight for view in views])
    table[_baselines(views) < options.least_baseline] = 0
    tally.overlapping = int((np.triu(table, 1) >= max(options.least_overlap, 1e-9)).sum())
    for i, j in easy_to_hard(table, max(options.least_overlap, 1e-9), rng):
        if tally.kept == options.pairs:
            break
        sample = _checked_pair(views[i], views[j], options, tally)
        if sample is not None:
            tally.kept += 1
            progress(len(posed) + tally.kept, total, f"{name}: pair {tally.kept}")
            yield sample


def pair_sample(first: View, second: View) -> Sample:
    """All correspondences of a pair: xs (n, 4), ys, ratios, mutuals (n,), R (3, 3), t (3,) and cameras.

    `cameras` (2, 4): fx, fy, cx, cy of both, in pixels. `ys`: |x2' E x1|^2 (1 / |l1|^2 + 1 / |l2|^2), l1 and
    l2 the normals of the epipolar lines in both images (OANet).
    """
    nearest = nearest_neighbours(first.features.descriptors, second.features.descriptors)
    partners = second.rays[nearest.index]
    second_from_first = second.sight.map_from_camera.inverse() @ first.sight.map_from_camera
    away = np.linalg.norm(second_from_first.translation)
    unit = Rigid(second_from_first.rotation, second_from_first.translation / away)
    essential = essential_matrix(unit)
    cameras = [(c.fx, c.fy, c.cx, c.cy) for c in (first.sight.camera, second.sight.camera)]
    return {
        "xs": np.concatenate([first.rays, partners], axis=1).astype(np.float32),
        "ys": squared_distances(essential, first.rays, partners).astype(np.float32),
        "ratios": nearest.ratio.astype(np.float32),
        "mutuals": nearest.mutual.astype(np.float32),
        "R": unit.rotation.astype(np.float32),
        "t": unit.translation.astype(np.float32),
        "cameras": np.array(cameras, np.float32),
    }


def squared_distances(essential: Array, first: Array, second: Array) -> Array:
    """Squared symmetric epipolar distances (n,) of rays (n, 2), (n, 2); at most `FARTHEST`, never NaN."""
    in_first, in_second = epipolar_line_distances(essential, first, second)
    # At an epipole every line fits, and the quotient is 0 / 0.
    squared = np.nan_to_num(in_first, nan=0.0) ** 2 + np.nan_to_num(in_second, nan=0.0) ** 2
    return np.minimum(squared, FARTHEST)


def _checked_pair(first: View, second: View, options: CorrespondenceOptions, tally: Tally) -> Sample | None:
    """A pair that is worth learning from, or None."""
    if min(len(first.features), len(second.features)) < options.least_matches:
        tally.few_matches += 1
        return None
    sample = pair_sample(first, second)
    right = sample["ys"] < INLIER
    confident = (sample["mutuals"] > 0) & (sample["ratios"] < CONFIDENT_RATIO)
    if (right & confident).sum() < options.least_true:
        tally.few_true += 1
        return None
    tally.matches.append(len(right))
    tally.true_share.append(float(right.mean()))
    essential = essential_matrix(Rigid(sample["R"].astype(float), sample["t"].astype(float)))
    return {**sample, "virtual": virtual_correspondences(essential)}


def _views(
    images: Sequence[PosedImage], options: CorrespondenceOptions, progress: Progress, total: int, name: str
) -> list[View]:
    extractor = make_extractor(options.features, options.max_keypoints)
    poses = [pose for image in images if (pose := image.map_from_camera) is not None]
    distance = typical_distance(np.stack([pose.translation for pose in poses]))
    views = []
    for done, (image, pose) in enumerate(zip(images, poses, strict=True), 1):
        features = extractor.extract(image.load())
        rays = image.camera.rays(features.keypoints)
        usable = np.flatnonzero(np.isfinite(rays).all(axis=1))
        if image.load_depth is not None:
            sight = sight_from_depth(image.camera, pose, image.load_depth())
        else:
            sight = sight_without_depth(image.camera, pose, distance)
        views.append(View(sight, features[usable], rays[usable]))
        progress(done, total, f"{name}: image {done}")
    return views


def _baselines(views: Sequence[View]) -> Array:
    """Distances (V, V) between the cameras."""
    positions = np.stack([view.sight.map_from_camera.translation for view in views])
    return np.asarray(np.linalg.norm(positions[:, None] - positions, axis=2))


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of the indices 0 to count - 1, evenly spread."""
    chosen = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
    return [int(k) for k in chosen]
