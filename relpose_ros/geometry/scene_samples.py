"""Other coordinate maps that the network might as well have said, and the poses that they give.

Kendall and Cipolla, "Modelling uncertainty in deep learning for camera relocalization", ICRA 2016, sample
poses; here the coordinates are sampled and every sample is solved anew. Samples that end in more than one
place are two answers: their mean would be none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.scene_cells import SceneCells
from relpose_ros.geometry.scene_pose import SceneEstimate, ScenePoseOptions, best_pose, same_place

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SamplingOptions:
    """`count`: maps that are drawn; `correlation`: width, in cells, of the Gaussian filter that makes the
    noise smooth (0: every cell for itself; None: as smooth as the residuals of the pose are); `cells`: at
    most so many of a map, drawn anew for each, are solved; `draws` and `hypotheses` of each; `split`: a
    share of the samples from which a second place is an answer of its own."""

    count: int = 8
    correlation: float | None = None
    cells: int = 400
    draws: int = 256
    hypotheses: int = 8
    split: float = 0.25
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 0 or (self.correlation or 0) < 0 or self.cells < 12 or not 0 < self.split <= 1:
            raise ConfigurationError(
                f"expected count >= 0, correlation >= 0, cells >= 12 and a split of 0 to 1, got {self}"
            )


def sampled_poses(
    cells: SceneCells, estimate: SceneEstimate, pose_options: ScenePoseOptions, options: SamplingOptions
) -> list[SceneEstimate]:
    """The poses of sampled maps X + L e, of those that give one; the same for a seed.

    L is the factor of the predicted covariances; where the network says none, of what the residuals of
    `estimate` amount to in the scene.
    """
    generator = np.random.default_rng(options.seed)
    factor = _factors(cells, estimate)
    # White noise through a Gaussian filter of width l has a correlation that sums to 4 pi l^2.
    fitted = ((estimate.cells_per_error - 1) / (4 * np.pi)) ** 0.5
    correlation = fitted if options.correlation is None else options.correlation
    poses = []
    for _ in range(options.count):
        noise = smooth_noise(generator, cells.grid, correlation)
        points = cells.points + np.einsum("nij,nj->ni", factor, noise)
        chosen = np.sort(generator.permutation(len(cells))[: options.cells])
        ransac = replace(
            pose_options.ransac,
            max_draws=options.draws,
            hypotheses=options.hypotheses,
            seed=int(generator.integers(2**31)),
        )
        sampled = replace(cells, points=points)[chosen]
        pose, _ = best_pose(sampled, replace(pose_options, rounds=2, ransac=ransac))
        poses += [pose] if pose is not None else []
    return poses


def is_split(
    estimate: SceneEstimate,
    poses: list[SceneEstimate],
    pose_options: ScenePoseOptions,
    options: SamplingOptions,
) -> bool:
    """Whether sampled poses agree on a second place as well.

    So many of them together, at one place well away from `estimate`; poses scattered all over speak of a map
    that is vague or wrong, which the inliers say.
    """
    far = replace(
        pose_options,
        same_distance=2 * pose_options.same_distance,
        same_angle=2 * pose_options.same_angle,
        same_sigma=2 * pose_options.same_sigma,
    )
    elsewhere = [p for p in poses if not same_place(estimate, p, far)]
    needed = max(2, int(np.ceil(options.split * len(poses))))
    return any(sum(same_place(a, b, pose_options) for b in elsewhere) >= needed for a in elsewhere)


def smooth_noise(generator: np.random.Generator, grid: NDArray[np.integer], correlation: float) -> Array:
    """Gaussian noise (N, 3) of unit variance at cells `grid` (N, 2), smooth over `correlation` cells."""
    from scipy.ndimage import gaussian_filter

    at = grid - grid.min(axis=0)
    width, height = at.max(axis=0) + 1
    noise = generator.normal(size=(height, width, 3))
    if correlation > 0:
        noise = gaussian_filter(noise, (correlation, correlation, 0), mode="wrap")
        noise /= max(float(noise.std()), 1e-12)
    return np.asarray(noise[at[:, 1], at[:, 0]])


def _factors(cells: SceneCells, estimate: SceneEstimate) -> Array:
    """Lower factors (N, 3, 3) of the covariances of the points."""
    if cells.covariances is not None:
        return np.asarray(np.linalg.cholesky(cells.covariances + 1e-12 * np.eye(3)), float)
    # The median length of a two-dimensional error is 1.18 of its standard deviation.
    depth = np.linalg.norm(cells.points - estimate.map_from_camera.translation, axis=1)
    sigma = estimate.residual_px / 1.18 / cells.focal * depth
    return np.asarray(sigma[:, None, None] * np.eye(3))
