"""Pairs of a test split, one after the other: what the network says, and the poses that follow from it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.evaluation.pose_auc import relative_pose_errors_deg
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.progress import Progress, silent
from relpose_training.data.pair_correspondences import PairCorrespondences
from relpose_training.data.shards import ShardSet
from relpose_training.recipes.one_to_one.dataset import CorrespondencePairs, stored_pair
from relpose_training.recipes.one_to_one.estimators import (
    THRESHOLD,
    Estimator,
    different,
    make_estimator,
    plain_filters,
)
from relpose_training.recipes.one_to_one.judgement import NO_POSE, Judgement, pose_errors_deg
from relpose_training.recipes.one_to_one.subject import Subject

NETWORK = "network"


@dataclass(frozen=True)
class Protocol:
    """How poses are found. `pairs`: at most so many of each split, spread over it."""

    estimators: tuple[str, ...] = ("poselib", "opencv")
    threshold: float = THRESHOLD
    ratio: float = 0.8
    pairs: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class PairResult:
    """One pair: counts of its labels, seconds of the network, and errors (rotation, direction) in degrees
    of every method; 180 where a method finds no pose. `trained`: whether its sequence was trained on."""

    sequence: str
    trained: bool
    hits: int
    called: int
    right: int
    count: int
    seconds: float
    errors: Mapping[str, tuple[float, float]]


def examine_pairs(
    subject: Subject,
    shards: ShardSet,
    trained: Sequence[str],
    protocol: Protocol | None = None,
    progress: Progress = silent,
) -> Iterator[PairResult]:
    """Results of the pairs of one split. `trained`: names of the sequences of the training split.

    Raises DatasetError if the shards hold no correspondences.
    """
    protocol = protocol or Protocol()
    estimators = {name: make_estimator(name, protocol.threshold) for name in protocol.estimators}
    dataset = subject.pairs(shards)
    chosen = _spread(dataset.group_sizes(), protocol.pairs)
    for done, (group, item) in enumerate(chosen, 1):
        yield _examine(subject, dataset, group, item, trained, protocol, estimators)
        progress(done, len(chosen), shards.split)


def trained_sequences(url: str) -> list[str]:
    """Names of the sequences of the training split in the same folder; none if it is not there."""
    try:
        return [str(name) for name in ShardSet(url, "train").index.meta.get("sequences", [])]
    except DatasetError:
        return []


def _spread(sizes: Sequence[int], most: int | None) -> list[tuple[int, int]]:
    """(group, item) of all pairs, or of `most` of them at equal distances."""
    everything = [(group, item) for group, size in enumerate(sizes) for item in range(size)]
    if most is None or most >= len(everything):
        return everything
    return [everything[i] for i in np.linspace(0, len(everything) - 1, most).round().astype(int)]


def _examine(
    subject: Subject,
    dataset: CorrespondencePairs,
    group: int,
    item: int,
    trained: Sequence[str],
    protocol: Protocol,
    estimators: Mapping[str, Estimator],
) -> PairResult:
    generator = np.random.default_rng([protocol.seed, group, item])
    sample = {
        name: torch.from_numpy(np.ascontiguousarray(value))[None]
        for name, value in dataset.sample(group, item, generator).items()
    }
    pair = stored_pair(dataset.shards.shard(dataset.numbers[group]).sample(item))
    started = time.perf_counter()
    judged = subject.judge(sample["correspondences"])
    seconds = time.perf_counter() - started
    inputs = {NETWORK: called_inliers(judged, sample["correspondences"])}
    inputs |= {
        name: pair.points[mask].astype(float) for name, mask in plain_filters(pair, protocol.ratio).items()
    }
    alone = pose_errors_deg(judged, sample["correspondences"], sample["R"], sample["t"])[0]
    called = judged.logits[0] > 0
    right = sample["labels_distance"][0] < subject.label_threshold
    hits, found, truly = (int(x.sum()) for x in (called & right, called, right))
    sequence = _name(dataset, int(sample["sequence"]))
    errors = {NETWORK: (float(alone[0]), float(alone[1])), **_robust_errors(inputs, estimators, pair)}
    return PairResult(sequence, sequence in trained, hits, found, truly, len(called), seconds, errors)


def _robust_errors(
    inputs: Mapping[str, NDArray[np.float64]], estimators: Mapping[str, Estimator], pair: PairCorrespondences
) -> dict[str, tuple[float, float]]:
    """Errors of every estimator on every set of correspondences (M, 4)."""
    truth = Rigid(pair.rotation.astype(float), pair.direction.astype(float))
    return {
        f"{name} + {estimator}": _errors(estimate(points), truth)
        for name, points in inputs.items()
        for estimator, estimate in estimators.items()
    }


def called_inliers(judged: Judgement, correspondences: torch.Tensor) -> NDArray[np.float64]:
    """The different correspondences (M, 4) of one pair (1, N, width) that are called inliers: logit >= 0."""
    points = correspondences[0, :, :4].double().numpy()
    return different(points[judged.logits[0].numpy() >= 0])


def _errors(estimate: Rigid | None, truth: Rigid) -> tuple[float, float]:
    rotation, translation = relative_pose_errors_deg(estimate, truth)
    return min(rotation, NO_POSE), min(translation, NO_POSE)


def _name(dataset: CorrespondencePairs, number: int) -> str:
    return dataset.names[number] if number < len(dataset.names) else str(number)
