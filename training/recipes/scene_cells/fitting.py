"""What is fitted to a scene before its network learns: components of the descriptors, and anchors."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_training.recipes.scene_cells.described import DescribedCells

Floats = NDArray[np.float32]

WEAKEST = 0.02
"""Added to the deviation of a component: the last ones are noise of the camera, and stay small."""

FITTED_CELLS = 60_000


class Fitted(NamedTuple):
    """`mean` (320,), `projection` (components, 320), `anchors` (K, 3) and the usual distance to one, m."""

    mean: Floats
    projection: Floats
    anchors: Floats
    unit: float


def fit_scene(cells: DescribedCells, components: int, anchors: int, seed: int) -> Fitted:
    """Whitened principal components of the descriptors, and k-means of the coordinates.

    Raises ConfigurationError if there are fewer points than anchors.
    """
    images, each = cells.coordinates.shape[:2]
    every = max(1, images * each // FITTED_CELLS)
    generator = np.random.default_rng(seed)
    chosen = [np.sort(generator.choice(each, max(1, each // every), replace=False)) for _ in range(images)]
    described = np.concatenate([cells.descriptors[i][c] for i, c in enumerate(chosen)])
    points = np.concatenate([cells.coordinates[i][c] for i, c in enumerate(chosen)])
    if len(points) < anchors:
        raise ConfigurationError(f"expected fewer anchors than points, got {anchors} and {len(points)}")
    mean, projection = _components(described.astype(np.float32) / np.float32(255), components)
    centres, unit = _anchors(points, anchors, seed)
    return Fitted(mean, projection, centres, unit)


def _components(described: Floats, count: int) -> tuple[Floats, Floats]:
    mean = described.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(described - mean, rowvar=False))
    order = np.argsort(-values)[:count]
    deviation = np.sqrt(np.maximum(values[order], 0)) + WEAKEST
    return mean, (vectors[:, order] / deviation).T.astype(np.float32)


def _anchors(points: Floats, count: int, seed: int) -> tuple[Floats, float]:
    import faiss

    kmeans = faiss.Kmeans(3, count, niter=20, seed=seed + 1, max_points_per_centroid=1000)
    kmeans.train(np.ascontiguousarray(points))
    squared, _ = kmeans.index.search(np.ascontiguousarray(points), 1)
    return np.array(kmeans.centroids), float(np.sqrt(np.median(squared)) + 1e-6)
