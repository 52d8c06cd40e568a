"""The DSAC* loss on the output of a network: `expected_pose_error` of every image of a batch, with its
gradient.

It runs on the CPU in double precision, image after image: the number of hypotheses and of inliers depends
on the data, so there is nothing here for XLA to compile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.scene_hypotheses import Hypotheses
from relpose_ros.geometry.scene_hypotheses_published import draw_published_rgb, draw_published_rgbd
from relpose_ros.geometry.scene_targets import PointTargets, RayTargets
from relpose_training.losses.expected_pose_error import ExpectedPoseOptions, expected_pose_error

Array = NDArray[np.float64]


def expected_pose_loss(
    coordinates: Tensor,
    targets: Sequence[RayTargets | PointTargets],
    map_from_camera: Rigid,
    options: ExpectedPoseOptions | None = None,
) -> Tensor:
    """E of each image (B,) from scene coordinates (B, 3, H, W) in metres, differentiable by them.

    `targets` has one entry an image, of all H * W cells row by row (`cell_targets`; for a depth camera its
    points, NaN where it measured none); `map_from_camera` are the true poses, batched (B). Cells whose target
    is not finite take no part; an image with hardly any other has loss 0. Image b draws with
    `options.ransac.seed` + b; give another seed in each step. Raises ConfigurationError when sizes do not fit
    or a coordinate is not finite.
    """
    options = options or ExpectedPoseOptions()
    batch, channels, height, width = coordinates.shape
    if channels != 3 or len(targets) != batch or map_from_camera.translation.shape != (batch, 3):
        raise ConfigurationError(
            f"expected coordinates (B, 3, H, W), B targets and B poses, got {tuple(coordinates.shape)}, "
            f"{len(targets)} and {map_from_camera.translation.shape}"
        )
    if any(len(t) != height * width for t in targets):
        raise ConfigurationError(
            f"expected {height * width} cells in each target, got {[len(t) for t in targets]}"
        )
    if not torch.isfinite(coordinates).all():
        raise ConfigurationError(
            "expected finite scene coordinates; lower the learning rate or clip gradients"
        )
    loss: Tensor = _Expectation.apply(coordinates, targets, map_from_camera, options)
    return loss


class _Expectation(torch.autograd.Function):
    """Value and gradient are found together; backward only scales the gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        coordinates: Tensor,
        targets: Sequence[RayTargets | PointTargets],
        map_from_camera: Rigid,
        options: ExpectedPoseOptions,
    ) -> Tensor:
        maps = coordinates.detach().to("cpu", torch.float64).numpy()
        values, gradients = np.zeros(len(maps)), np.zeros_like(maps)
        for b, (image, seen) in enumerate(zip(maps, targets, strict=True)):
            seeded = replace(options, ransac=replace(options.ransac, seed=options.ransac.seed + b))
            values[b], gradients[b] = _one_image(image, seen, map_from_camera[b], seeded)
        ctx.save_for_backward(torch.from_numpy(gradients).to(coordinates))
        return torch.from_numpy(values).to(coordinates)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (by_coordinates,) = ctx.saved_tensors
        return gradients[0][:, None, None, None] * by_coordinates, None, None, None


def _one_image(
    image: Array, targets: RayTargets | PointTargets, truth: Rigid, options: ExpectedPoseOptions
) -> tuple[float, Array]:
    """Value and gradient (3, H, W) of one map (3, H, W)."""
    points = image.reshape(3, -1).T
    if options.compat:  # every cell takes part; those without a measurement have the largest error
        drawn = _published(points, targets, image.shape[1:], options)
        found = expected_pose_error(points, targets, truth, options, drawn)
        return found.value, found.gradient.T.reshape(image.shape)
    valid = np.isfinite(targets.rays if isinstance(targets, RayTargets) else targets.points).all(axis=1)
    gradient = np.zeros_like(points)
    if np.count_nonzero(valid) <= targets.minimum:  # an image without depth, all padding
        return 0.0, gradient.T.reshape(image.shape)
    found = expected_pose_error(points[valid], targets[valid], truth, options)
    gradient[valid] = found.gradient
    return found.value, gradient.T.reshape(image.shape)


def _published(
    points: Array, targets: RayTargets | PointTargets, shape: tuple[int, ...], options: ExpectedPoseOptions
) -> Hypotheses:
    size = (shape[0], shape[1])
    if isinstance(targets, RayTargets):
        return draw_published_rgb(points, targets, size, options.ransac)
    return draw_published_rgbd(points, targets, size, options.ransac)
