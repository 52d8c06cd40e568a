"""How similar the views of a scene are to each other: a table, made column by column, that can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.surface_overlap import Surface, surface_agreement
from relpose_ros.geometry.view_similarity import (
    DistanceWeights,
    geometric_distance,
    rotation_angles,
    seen_points,
)
from relpose_ros.progress import Progress, silent
from relpose_ros.retrieval.rerank import RerankOptions, k_reciprocal_distances_within
from relpose_training.data.seen_views import SeenView
from relpose_training.data.similarity_table import SimilarityTable

Array = NDArray[np.float64]
Metric = Literal["frustum", "surface", "distance"]

SECONDS_BETWEEN_SAVES = 20.0
HIDDEN = 0.1
"""A point is hidden that lies this share further than what is seen there, and so many metres."""


@dataclass(frozen=True)
class SimilarityOptions:
    """Of what the similarity is made.

    `metric`: "frustum" and "surface" overlap, or "distance", which mixes frustum overlap with rotation and
    translation by `weights` (overlap, rotation, translation). `points` of each view are looked at; `hidden`
    ones count as well where it is True; `radius` (m) within which surfaces are the same. `rerank`: k1, k2
    and lambda of k-reciprocal re-ranking, or None. Raises ConfigurationError out of range.
    """

    metric: Metric = "distance"
    points: int = 300
    hidden: bool = False
    radius: float = 0.1
    weights: tuple[float, float, float] = (0.5, 0.5, 0.0)
    rerank: tuple[int, int, float] | None = None

    def __post_init__(self) -> None:
        if self.points < 1 or self.radius <= 0:
            raise ConfigurationError(f"expected points of 1 or more and a radius above 0, got {self}")
        DistanceWeights(*self.weights)
        if self.rerank is not None:
            RerankOptions(*self.rerank)


def similarity_table(
    views: Sequence[SeenView],
    options: SimilarityOptions,
    part: Path | None = None,
    progress: Progress = silent,
) -> SimilarityTable:
    """The table of views of one scene. `part`: a file in which an interrupted one is kept and taken up again.

    Raises DatasetError for fewer than two views, or if the metric needs points and no view has any.
    """
    if len(views) < 2:
        raise DatasetError(f"expected two views or more to compare, got {len(views)}")
    poses = Rigid.stack([view.map_from_camera for view in views])
    overlap = _overlaps(views, options, part, progress)
    distance = distances(overlap, poses, options)
    angles = np.degrees(rotation_angles(poses.rotation))
    metres = np.linalg.norm(poses.translation[:, None] - poses.translation, axis=2)
    return SimilarityTable(
        names=tuple(view.name for view in views),
        simulated=np.array([view.simulated for view in views]),
        overlap=overlap.astype(np.float32),
        distance=distance.astype(np.float32),
        metres=metres.astype(np.float32),
        degrees=angles.astype(np.float32),
        options=asdict(options),
    )


def distances(overlap: Array, poses: Rigid, options: SimilarityOptions) -> Array:
    """Symmetric distances (V, V), 0 to 100, or 0 to 1 after re-ranking, of overlaps one way (V, V).

    Both ways count alike. A view is 0 from itself.
    """
    weights = DistanceWeights(*options.weights) if options.metric == "distance" else DistanceWeights(1, 0, 0)
    distance = geometric_distance(overlap, poses, weights)
    np.fill_diagonal(distance, 0)
    if options.rerank is not None:
        ranked = k_reciprocal_distances_within(distance, RerankOptions(*options.rerank))
        distance = (ranked + ranked.T) / 2  # the paper's is not symmetric: rows have their own scale
        np.fill_diagonal(distance, 0)
    return np.asarray(distance, np.float64)


def _overlaps(
    views: Sequence[SeenView], options: SimilarityOptions, part: Path | None, progress: Progress
) -> Array:
    """Share (V, V) of what view i (row) sees that view j (column) sees too; 0 where nothing is known."""
    count = len(views)
    points = np.concatenate([view.points for view in views])
    owner = np.repeat(np.arange(count), [len(view.points) for view in views])
    if not len(points):
        if options.metric == "distance" and options.weights[0] == 0:
            return np.zeros((count, count))
        raise DatasetError(
            "no view knows what it sees (depth, landmarks or coordinates), so there is no overlap; expected "
            "such a set, or --metric distance --weights 0 0.5 0.5"
        )
    column = _surface_column(views, options) if options.metric == "surface" else _seen_column(points, options)
    table, start = _taken_up(part, _mark(views, options), count)
    per_view = np.maximum(np.bincount(owner, minlength=count), 1)
    saved = time.monotonic()
    for j in range(start, count):
        table[:, j] = np.bincount(owner, column(views[j]), minlength=count) / per_view
        progress(j + 1, count, f"view {j + 1} of {count}")
        if part is not None and time.monotonic() - saved > SECONDS_BETWEEN_SAVES:
            _keep(part, _mark(views, options), table, j + 1)
            saved = time.monotonic()
    return table


def _seen_column(points: Array, options: SimilarityOptions) -> Callable[[SeenView], Array]:
    """Which of all points a view sees: 0 or 1 each."""

    def column(view: SeenView) -> Array:
        at, local = _ahead(points, view)
        visible = seen_points(local, view.camera)
        if view.depth is not None and not options.hidden:
            visible[visible] = ~_hidden(local[visible], view)
        seen = np.zeros(len(points))
        seen[at] = visible
        return seen

    return column


def _ahead(points: Array, view: SeenView, margin: float = 0.0) -> tuple[NDArray[np.int64], Array]:
    """Which of the points (N, 3) lie in the cone about the view, or within `margin` (m) of it: indices (M,)
    and the points (M, 3) in its axes. All others are out of sight, which costs much less to see so."""
    camera = view.camera
    width, height = camera.width - 0.5, camera.height - 0.5
    rim = np.array([[x, y] for x in np.linspace(-0.5, width, 9) for y in np.linspace(-0.5, height, 9)])
    rays = camera.rays(rim)
    inverse = view.map_from_camera.inverse()
    if not np.isfinite(rays).all():
        return np.arange(len(points)), inverse.apply(points)
    slope = 1.02 * float(np.linalg.norm(rays, axis=1).max())
    local = inverse.apply(points)
    reach = slope * local[:, 2] + margin * (1 + slope)
    at = np.flatnonzero((reach > 0) & (local[:, 0] ** 2 + local[:, 1] ** 2 <= reach**2))
    return at, local[at]


def _hidden(local: Array, view: SeenView) -> NDArray[np.bool_]:
    """Which of the points (N, 3) in camera axes, all in the image, lie behind what the view sees there."""
    assert view.depth is not None
    height, width = view.depth.shape
    scale = np.array([width / view.camera.width, height / view.camera.height])
    x, y = np.floor((view.camera.project(local) + 0.5) * scale).astype(int).T
    seen = view.depth[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.asarray((seen > 0) & (local[:, 2] > seen * (1 + HIDDEN) + HIDDEN))


def _surface_column(views: Sequence[SeenView], options: SimilarityOptions) -> Callable[[SeenView], Array]:
    """How far each point of all views lies on the surface that a view sees, from the same side: 0 to 1."""
    parts = [_thinned(view) for view in views]
    everything = Surface(
        np.concatenate([part.points for part in parts]), np.concatenate([part.normals for part in parts])
    )

    def column(view: SeenView) -> Array:
        assert view.surface is not None
        at, _ = _ahead(everything.points, view, options.radius)
        near = Surface(everything.points[at], everything.normals[at])
        agreement = np.zeros(len(everything.points))
        agreement[at] = surface_agreement(near, view.surface, options.radius)
        return agreement

    return column


def _thinned(view: SeenView) -> Surface:
    """The view's `points` with their normals."""
    assert view.surface is not None
    at = np.linspace(0, len(view.surface.points) - 1, len(view.points)).astype(int)
    return Surface(view.surface.points[at], view.surface.normals[at])


def _mark(views: Sequence[SeenView], options: SimilarityOptions) -> str:
    """Identifies the views and what overlaps depend on."""
    mark = hashlib.sha256(
        json.dumps([options.metric == "surface", options.points, options.hidden, options.radius]).encode()
    )
    for view in views:
        mark.update(view.name.encode())
        mark.update(np.ascontiguousarray(view.map_from_camera.matrix).tobytes())
        mark.update(np.ascontiguousarray(view.points).tobytes())
    return mark.hexdigest()


def _taken_up(part: Path | None, mark: str, count: int) -> tuple[Array, int]:
    """The table so far and its number of columns; an empty one if there is none of these views."""
    if part is not None and part.is_file():
        try:
            with np.load(part, allow_pickle=False) as kept:
                if str(kept["mark"]) == mark and kept["table"].shape == (count, count):
                    return np.array(kept["table"]), int(kept["columns"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            part.unlink()
    return np.zeros((count, count)), 0


def _keep(part: Path, mark: str, table: Array, columns: int) -> None:
    written = part.with_name(f"{part.name}.{os.getpid()}.npz")
    np.savez(written, mark=mark, table=table, columns=columns)
    os.replace(written, part)
