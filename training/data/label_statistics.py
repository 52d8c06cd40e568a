"""Means of labels and images of the scenes that TransPose and CrossLoc released weights for."""

from __future__ import annotations

from dataclasses import dataclass

from relpose_ros.errors import ConfigurationError


@dataclass(frozen=True)
class LabelMeans:
    """Mean labels of a scene, over its training images."""

    coordinate: tuple[float, float, float]  # m, in the scene's local frame
    depth: float  # m
    normal: tuple[float, float]  # radians, azimuth and elevation


@dataclass(frozen=True)
class ImageStatistics:
    """What images in 0..1 are normalised by, a channel at a time."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


LABEL_MEANS = {
    "comballaz": LabelMeans((-382.85, 430.71, 449.71), 311.39, (-0.8816, -0.8308)),
    "EPFL": LabelMeans((-31.31, 184.46, 92.98), 136.91, (-1.2142, -0.9927)),
    "naturescape": LabelMeans((-455.934, 417.50, 520.31), 241.47, (-0.7943, -0.9986)),
    "urbanscape": LabelMeans((-29.34, 184.17, 91.96), 136.24, (-1.0454, -0.9858)),
}
"""The first two are TransPose's, the others CrossLoc's names and values of the same two places."""

IMAGE_STATISTICS = {
    "transpose": ImageStatistics((0.4641, 0.4781, 0.3662), (0.2123, 0.1976, 0.2189)),
    "transpose_gray": ImageStatistics((0.4670,), (0.1998,)),
    "crossloc": ImageStatistics((0.4245, 0.4375, 0.3836), (0.1823, 0.1701, 0.1854)),
    "crossloc_gray": ImageStatistics((0.4308,), (0.1724,)),
    "dsacstar": ImageStatistics((0.4,), (0.25,)),
}

RAW_CLASSES = {0: 0, 1: 1, 2: 1, 3: 2, 6: 3, 9: 4, 17: 5}
"""Class numbers in CrossLoc's files -> sky, ground or none, low vegetation, building, water, bridge."""


def mean_label(scene: str, task: str) -> list[float]:
    """The `mean` of a TransPoseNet for `task` in `scene`; normals as logits, semantics as zeros.

    Raises ConfigurationError for a scene or task that is not known.
    """
    if scene not in LABEL_MEANS or task not in ("coord", "depth", "normal", "semantics"):
        raise ConfigurationError(
            f"no mean label for scene {scene!r} and task {task!r}; expected a scene of {sorted(LABEL_MEANS)} "
            "and a task of coord, depth, normal, semantics; compute the mean of the training labels otherwise"
        )
    means = LABEL_MEANS[scene]
    if task == "coord":
        return list(means.coordinate)
    if task == "depth":
        return [means.depth]
    if task == "semantics":
        return [0.0] * (max(RAW_CLASSES.values()) + 1)
    return _logits(means.normal)


def _logits(angles: tuple[float, float]) -> list[float]:
    import torch

    from relpose_ros.networks.scene_coordinates.normals import logits_of_angles

    return [float(x) for x in logits_of_angles(torch.tensor(angles, dtype=torch.float64))]
