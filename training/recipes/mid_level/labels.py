"""The mean label of a training set, which a network starts from."""

from __future__ import annotations

import numpy as np
import torch

from relpose_ros.errors import DatasetError
from relpose_ros.networks.scene_coordinates.crossloc import TASKS
from relpose_ros.networks.scene_coordinates.normals import angles_of_vectors, logits_of_angles
from relpose_training.data.label_statistics import spread_samples
from relpose_training.data.scene_views import SceneViews
from relpose_training.recipes.mid_level.config import Task

STEEPEST = 0.98
"""Of an angle's mean, as a share of pi: its logit stays finite."""


def mean_label(views: SceneViews, task: Task, samples: int) -> list[float]:
    """Of `samples` views, spread over the set: metres; logits of the mean normal; zeros for semantics.

    Raises DatasetError if none of them has a label, or a class is unknown.
    """
    total = np.zeros(3)
    count = 0
    for sample in spread_samples(views, samples):
        if task == "semantics":
            _check_classes(sample["semantics"])
        label = sample["depth"][None] if task == "depth" else sample.get("normals", sample["depth"][None])
        known = np.abs(label).sum(axis=0) > 0
        total[: len(label)] += label[:, known].sum(axis=1)
        count += int(known.sum())
    if task == "semantics":
        return [0.0] * TASKS[task]
    if not count:
        raise DatasetError(
            f"{views.shards.url}: no cell of {samples} images has a {task}; prepare the set from a "
            "source with depth"
        )
    if task == "depth":
        return [float(total[0] / count)]
    angles = angles_of_vectors(torch.from_numpy(total[None]))[0].clamp(-STEEPEST * np.pi, STEEPEST * np.pi)
    return [float(x) for x in logits_of_angles(angles)]


def _check_classes(classes: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
    if classes.max(initial=0) >= TASKS["semantics"]:
        raise DatasetError(
            f"expected classes 0 to {TASKS['semantics'] - 1}, found {classes.max()}; see RAW_CLASSES in "
            "training/data/label_statistics.py"
        )
