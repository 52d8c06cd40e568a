"""Recall of a split, described and searched by all processes together."""

from __future__ import annotations

import numpy as np

from relpose_ros.datasets.place_recognition.splits import PlaceSplit
from relpose_ros.evaluation.retrieval_recall import AT, recalls
from relpose_training.recipes.retrieval.shared_descriptors import BLOCK, Describe


def recall_of(split: PlaceSplit, describe: Describe) -> dict[str, float]:
    """recall@1, recall@5 and recall@10; images are counted through queries and then the gallery."""
    total = len(split.queries)
    described = describe(range(total + len(split.gallery)))
    found = np.zeros(len(AT))
    for start in range(0, total, BLOCK):
        block = range(start, min(start + BLOCK, total))
        distances = described.distances(block)[:, total:]
        found += len(block) * recalls(distances, split.positives[start : block.stop], AT)
    return {f"recall@{n}": float(value) for n, value in zip(AT, found / total, strict=True)}
