"""How much images of one frame see of each other: what makes two of them the same place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.progress import Progress, silent
from relpose_training.data.scene_encoding import DENSE
from relpose_training.data.seen_views import coarse_depth, seen_view
from relpose_training.data.similarity import SimilarityOptions, similarity_table
from relpose_training.data.view_pairs import (
    Sight,
    seen_share,
    sight_from_depth,
    sight_without_depth,
    typical_distance,
)

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Metric = Literal["auto", "surface", "frustum"]

FINE = 160
"""Pixels of the short side of the depth that is looked at: 1,000 images of it fit into memory."""
RADIUS = 0.05
"""Within this share of the typical depth, surfaces are the same."""
NEAR = 0.5
"""Cameras this share of the typical depth apart are no honest negatives, wherever they look."""


@dataclass(frozen=True)
class OverlapOptions:
    """What makes positives, and what is too near for a negative.

    `positive`: share of what either image sees that the other sees too, at least. `near`: the same for what
    is no negative, of the image that shares more. `distance`: cameras no further apart are no negatives
    either (0: half of the typical depth). `depth`: how far things typically are (0: from depth or, without,
    from
    how far the cameras spread). Raises ConfigurationError out of range.
    """

    metric: Metric = "auto"
    positive: float = 0.3
    near: float = 0.05
    distance: float = 0.0
    depth: float = 0.0
    points: int = 300

    def __post_init__(self) -> None:
        if not 0 < self.near <= self.positive <= 1:
            raise ConfigurationError(
                f"expected overlaps 0 < near <= positive <= 1, got near {self.near:g} and positive "
                f"{self.positive:g}"
            )
        if min(self.distance, self.depth) < 0 or self.points < 1:
            raise ConfigurationError(f"expected distance and depth of 0 or more and points, got {self}")


class Overlaps(NamedTuple):
    """Of queries and gallery (Q, G): the `smaller` and the `larger` of both shares, and how far the cameras
    are `apart`; the `metric` that was used and the typical `depth`, in the unit of the poses."""

    smaller: Array
    larger: Array
    apart: Array
    metric: str
    depth: float

    def positives_and_near(self, options: OverlapOptions) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tables (Q, G) of positives, and of everything that is no negative (positives are among them)."""
        positive = self.smaller >= options.positive
        distance = options.distance or NEAR * self.depth
        return positive, positive | (self.larger >= options.near) | (self.apart <= distance)


def image_overlaps(
    images: Sequence[PosedImage],
    queries: Indices,
    gallery: Indices,
    options: OverlapOptions,
    part: Path | None = None,
    progress: Progress = silent,
) -> Overlaps:
    """Overlaps of some of the images, all of which have a pose, with others (indices).

    With depth or dense coordinates of all images: normalised surface overlap, so that walls hide what is
    behind them and two sides of one differ. Otherwise (or "frustum"): the share of points in the other's
    view, from a similar direction, at depths guessed where none is known. `part` keeps an interrupted
    surface table. Raises ConfigurationError if surfaces are asked for and depth is missing.
    """
    poses = [image.map_from_camera for image in images if image.map_from_camera is not None]
    assert len(poses) == len(images), "expected images with poses"
    depths = [_depth(image) for image in images]
    known = [depth for depth in depths if depth is not None]
    if options.metric == "surface" and len(known) < len(images):
        missing = next(i.name for i, depth in zip(images, depths, strict=True) if depth is None)
        raise ConfigurationError(
            f"{missing}: has neither depth nor dense coordinates, which --metric surface needs; expected "
            "--metric auto or frustum"
        )
    positions = np.stack([pose.translation for pose in poses])
    far = options.depth or _typical_depth(known) or typical_distance(positions)
    surfaces = options.metric != "frustum" and len(known) == len(images) > 1
    if surfaces:
        forth, back = _surface_shares(images, known, (queries, gallery), far, options, part, progress)
    else:
        sights = [_sight(*view, far) for view in zip(images, poses, depths, strict=True)]
        forth, back = _frustum_shares(sights, queries, gallery, progress)
    apart = np.linalg.norm(positions[queries][:, None] - positions[gallery], axis=2)
    metric = "surface" if surfaces else "frustum"
    return Overlaps(np.minimum(forth, back), np.maximum(forth, back), apart, metric, far)


def _surface_shares(
    images: Sequence[PosedImage],
    depths: Sequence[NDArray[np.float32]],
    chosen: tuple[Indices, Indices],
    far: float,
    options: OverlapOptions,
    part: Path | None,
    progress: Progress,
) -> tuple[Array, Array]:
    views = []
    for done, (image, depth) in enumerate(zip(images, depths, strict=True)):
        assert image.map_from_camera is not None
        views.append(
            seen_view(
                image.name, False, image.camera, image.map_from_camera, depth, None, options.points, True
            )
        )
        progress(done + 1, len(images), f"surface of {image.name}")
    settings = SimilarityOptions("surface", options.points, radius=RADIUS * far)
    table = similarity_table(views, settings, part, progress).overlap.astype(np.float64)
    queries, gallery = chosen
    return table[np.ix_(queries, gallery)], table[np.ix_(gallery, queries)].T


def _frustum_shares(
    sights: Sequence[Sight], queries: Indices, gallery: Indices, progress: Progress
) -> tuple[Array, Array]:
    forth, back = np.zeros((len(queries), len(gallery))), np.zeros((len(queries), len(gallery)))
    for i, query in enumerate(queries.tolist()):
        for j, reference in enumerate(gallery.tolist()):
            forth[i, j] = seen_share(sights[query], sights[reference])
            back[i, j] = seen_share(sights[reference], sights[query])
        progress(i + 1, len(queries), f"query {i + 1} of {len(queries)}")
    return forth, back


def _sight(image: PosedImage, map_from_camera: Rigid, depth: NDArray[np.float32] | None, far: float) -> Sight:
    if depth is None:
        return sight_without_depth(image.camera, map_from_camera, far)
    camera = image.camera.resized(depth.shape[1], depth.shape[0])
    return sight_from_depth(camera, map_from_camera, depth)


def _depth(image: PosedImage) -> NDArray[np.float32] | None:
    """Depth (h, w) in the camera's field of view, any size, 0 where unknown; None where there is none."""
    if image.load_depth is not None:
        return coarse_depth(image.load_depth(), FINE)
    if image.load_coordinates is None or image.map_from_camera is None:
        return None
    coordinates = image.load_coordinates()
    known = np.isfinite(coordinates).all(axis=2)
    if known.mean() < DENSE:
        return None
    metres = image.map_from_camera.inverse().apply(coordinates.reshape(-1, 3))[:, 2].reshape(known.shape)
    return coarse_depth(np.where(known, metres, 0).astype(np.float32), FINE)


def _typical_depth(depths: Sequence[NDArray[np.float32]]) -> float:
    """The median over images of their median depth; 0 if nothing is known."""
    medians = [float(np.median(depth[depth > 0])) for depth in depths if (depth > 0).any()]
    return float(np.median(medians)) if medians else 0.0
