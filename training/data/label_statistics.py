"""Means of labels and images: of a set, and of the scenes of TransPose's and CrossLoc's weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from relpose_ros.datasets.crossloc import RAW_CLASSES
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.data.shards import Sample
from relpose_training.data.stream import Dataset


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


def mean_coordinate(views: Dataset, most: int = 400, seed: int = 0, labels: bool = True) -> list[float]:
    """The mean (3) of all known coordinates of up to `most` views, spread over the set; without `labels`, of
    the camera centres (DSAC* does so where nothing else is known).

    Raises DatasetError if nothing is known.
    """
    total, count = np.zeros(3), 0
    for sample in spread_samples(views, most, seed):
        if labels:
            points = sample["coordinates"][:, sample["known"]].astype(np.float64)
        else:
            points = sample["pose"][:3, 3:].astype(np.float64)
        total, count = total + points.sum(axis=1), count + points.shape[1]
    if not count:
        raise DatasetError(
            "the set knows no scene coordinate: expected depth, landmarks or coordinates in its source; "
            "supervision=rgb needs poses alone"
        )
    return [float(x) for x in total / count]


def spread_samples(views: Dataset, most: int, seed: int = 0) -> Iterator[Sample]:
    """Up to `most` samples at equal distances in the set; each drawn with its own seed."""
    everything = [(group, item) for group, size in enumerate(views.group_sizes()) for item in range(size)]
    chosen = np.linspace(0, len(everything) - 1, min(most, len(everything))).round().astype(int)
    for group, item in (everything[i] for i in chosen):
        yield views.sample(group, item, np.random.default_rng([seed, group, item]))


def _logits(angles: tuple[float, float]) -> list[float]:
    import torch

    from relpose_ros.networks.scene_coordinates.normals import logits_of_angles

    return [float(x) for x in logits_of_angles(torch.tensor(angles, dtype=torch.float64))]
