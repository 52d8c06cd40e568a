"""Correspondence files, pickled sets, samplers and batches of the one-to-one framework; its checkpoints."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.containers import read_torch
from relpose_ros.checkpoints.state_dicts import extract_state_dict
from relpose_training.data.context_order import Order
from relpose_training.data.oanet_hdf5 import CAMERA_GROUPS, PAIR_GROUPS, OANetFile
from relpose_training.data.pair_batches import CandidateBatch, candidate_batches, pair_batches
from relpose_training.data.pair_correspondences import PairCorrespondences
from relpose_training.data.pair_items import PairItem, make_item
from relpose_training.data.pickled_sets import read_set, read_shard, shard_paths
from tools.parity.case import Deviation, deviation, exact, golden, load, path_of
from tools.parity.cases.one_to_one_n_to_n import SYSTEM

DATASETS = "fixture_datasets/01_datasets"
SAMPLES = "dataset_samplers.npz"
ORDERS: tuple[Order, ...] = ("given", "shuffled", "shuffled", "disparity")
"""By the last digit of model_CNN_cont."""

ROUNDING = 5e-7
"""Of virtual points in float32: ours are found in another way than OpenCV's."""

Stored = dict[str, NDArray[Any]]


def train_pairs() -> list[PairCorrespondences]:
    """The pairs of set 0."""
    return list(read_set(path_of(SYSTEM, DATASETS) / "0", "train"))


@golden(SYSTEM, "OANet's HDF5 files, pickled sets 0 and 1", DATASETS, SAMPLES)
def datasets() -> Iterator[Deviation]:
    folder = path_of(SYSTEM, DATASETS)
    for split in ("train", "val", "test"):
        with OANetFile(folder / f"yfcc-sift-2000-{split}.hdf5") as file:
            pairs = [file[i] for i in range(len(file))]
            yield from compare_hdf5(folder, split, file, pairs)
        for number, shards in ((0, 1), (1, 4)):
            yield exact(
                f"shards of set {number}, {split}", len(shard_paths(folder / str(number), split)), shards
            )
            again = list(read_set(folder / str(number), split))
            yield exact(f"pairs of set {number}, {split}", len(again), len(pairs))
            for ours, theirs in zip(again, pairs, strict=True):
                yield from compare_pairs(f"set {number}, {split}", ours, theirs)
    stored = load(SYSTEM, SAMPLES)
    sizes = [len(read_shard(path)) for path in shard_paths(folder / "1", "train")]
    yield exact("shard sizes", np.array(sizes), stored["shard_sizes_train"])
    yield exact("val", len(list(read_set(folder / "1", "val"))), int(stored["val_all_size"]))


def compare_hdf5(
    folder: Path, split: str, file: OANetFile, pairs: Sequence[PairCorrespondences]
) -> Iterator[Deviation]:
    """Against h5py, group by group, and against the geometry: `ys` must follow from the pose."""
    import h5py

    from relpose_ros.geometry.epipolar import essential_matrix
    from relpose_ros.geometry.rigid import Rigid

    with h5py.File(folder / f"yfcc-sift-2000-{split}.hdf5") as raw:
        yield exact(f"{split}: groups", sorted(raw), sorted((*PAIR_GROUPS, *CAMERA_GROUPS)))
        for i, pair in enumerate(pairs):
            fields = (pair.points[None], pair.distances[:, None], pair.ratios, pair.mutual, pair.rotation)
            for name, value in zip(PAIR_GROUPS, (*fields, pair.direction[:, None]), strict=True):
                yield exact(f"{split} {i}: {name}", value, np.asarray(raw[name][str(i)]))
            k1, k2 = file.cameras(i)
            found = [k1[0, 2], k1[1, 2], np.diag(k1)[:2], k2[0, 2], k2[1, 2], np.diag(k2)[:2]]
            for name, value in zip(CAMERA_GROUPS, found, strict=True):
                yield exact(f"{split} {i}: {name}", np.ravel(value), np.ravel(raw[name][str(i)]))
            pose = Rigid(pair.rotation.astype(float), pair.direction.astype(float))
            yield deviation(f"{split} {i}: E", pair.essential(), essential_matrix(pose), 1e-6)


def compare_pairs(what: str, ours: PairCorrespondences, theirs: PairCorrespondences) -> Iterator[Deviation]:
    """Every field."""
    for name in ("points", "distances", "ratios", "mutual", "rotation", "direction"):
        yield exact(f"{what}: {name}", getattr(ours, name), getattr(theirs, name))


@golden(SYSTEM, "items for whole sets", SAMPLES, DATASETS)
def whole_sets() -> Iterator[Deviation]:
    stored, pairs = load(SYSTEM, SAMPLES), train_pairs()[:3]
    variants: tuple[tuple[str, Order, int], ...] = (
        *(("nn_shuffle", "permuted", 6), ("nn_plain", "given", 6)),
        ("nn_noside", "permuted", 4),
    )
    for name, order, width in variants:
        rng = np.random.RandomState(7) if order == "permuted" else None
        for i, pair in enumerate(pairs):
            item = make_item(pair, 64, order, rng, width=width)
            expected = {key: stored[f"{name}.{key}"][i] for key in ("xs", "ys", "xs_ess", "R", "t", "virtPt")}
            yield exact(f"{name} {i}: xs", item.correspondences[None], expected["xs"])
            yield from compare_item(f"{name} {i}", item, expected)


def compare_item(what: str, item: PairItem, stored: Stored) -> Iterator[Deviation]:
    """Everything but the features."""
    yield exact(f"{what}: ys", item.distances[:, None], stored["ys"])
    yield exact(f"{what}: xs_ess", item.correspondences[None, :, :4], stored["xs_ess"])
    yield exact(f"{what}: R", item.rotation, stored["R"])
    yield exact(f"{what}: t", item.direction[:, None], stored["t"])
    if "virtPt" in stored:
        yield deviation(f"{what}: virtPt", item.virtual, stored["virtPt"], ROUNDING)


@golden(SYSTEM, "items for candidates", SAMPLES, DATASETS)
def candidates() -> Iterator[Deviation]:
    stored, pairs = load(SYSTEM, SAMPLES), train_pairs()
    for number, order in enumerate(ORDERS):
        for index in (0, 2):
            start = f"c{number}.s{index}."
            expected = {k.removeprefix(start): v for k, v in stored.items() if k.startswith(start)}
            rng = np.random.RandomState(21 + index)
            item = make_item(pairs[index], 48, order, rng, compat=True)
            ours = published_layout(item, nearest_first=number == 2)
            yield exact(f"{start} shape", np.array(ours.shape), expected["xs_shape"])
            yield exact(f"{start} xs", ours[[0, 5, 17]], expected["xs_cands_0_5_17"])
            yield from compare_item(start, item, expected)


def published_layout(item: PairItem, nearest_first: bool) -> NDArray[np.float32]:
    """The original's input (N, 2, N, w): what the networks make of context and candidates themselves."""
    import torch

    from relpose_ros.networks.one_to_one.candidates import nearest_order

    points = item.correspondences
    size = len(points)
    context = np.broadcast_to(points, (size, *points.shape))
    if nearest_first:
        batch = torch.from_numpy(points).unsqueeze(0)
        context = points[nearest_order(batch, batch)[0].T.numpy()]
    repeated = np.broadcast_to(points[:, None], (size, *points.shape))
    return np.stack([repeated, context] if nearest_first else [context, repeated], axis=1)


@golden(SYSTEM, "batches of pairs and of candidates", SAMPLES, DATASETS)
def batches() -> Iterator[Deviation]:
    stored = load(SYSTEM, SAMPLES)
    for name, batch in (("nn", 3), ("s11", 1), ("s11_2", 2)):
        found = list(pair_batches(10, batch, np.random.RandomState(3)))
        yield from compare_batches(name, found, stored)
    for name, learn in (("mb", True), ("mbval", False)):
        passes = candidate_batches(10, 32, 8, np.random.RandomState(3), learn=learn)
        yield from compare_batches(name, [published_indices(p, pairs=10, size=32) for p in passes], stored)
    item = make_item(train_pairs()[1], 32)
    yield exact("context", item.correspondences, stored["mb.data.xs_c0"][0])
    repeated = np.broadcast_to(item.correspondences[8], (32, 6))
    yield exact("candidate", repeated, stored["mb.data.xs_c0"][1])
    yield exact(
        "shape of a batch", published_layout(item, False)[8:16].shape, tuple(stored["mb.data.xs_shape"])
    )
    yield exact("labels", item.distances[8:16, None], stored["mb.data.ys"])
    yield exact("pose batch", item.correspondences[None, :, :4], stored["mb.ess.xs_ess"])
    yield deviation("virtual points", item.virtual, stored["mb.ess.virtPt"], ROUNDING)


def compare_batches(name: str, found: list[list[int]], stored: Stored) -> Iterator[Deviation]:
    """Number, first index and size of each batch."""
    yield exact(f"{name}: number", len(found), int(stored[f"sampler.{name}.len"]))
    yield exact(f"{name}: first", np.array([b[0] for b in found]), stored[f"sampler.{name}.first_of_each"])
    yield exact(f"{name}: sizes", np.array([len(b) for b in found]), stored[f"sampler.{name}.sizes"])


def published_indices(batch: CandidateBatch, pairs: int, size: int) -> list[int]:
    """The original numbers candidates pair * N + candidate, and adds pairs * N for the pose."""
    start = batch.pair * size + (pairs * size if batch.phase == "pose" else 0)
    return list(range(start + batch.first, start + batch.last))


HISTORY = {
    "success_checkpoint": (2, 3, 2, 4),
    "loss_checkpoint": (2, 3, 2, 3),
    "proc_time_checkpoint": (2, 3, 2),
}
"""What a training checkpoint of 3 epochs of 2 chunks holds: (train and val, epoch, chunk, numbers)."""

TESTED = {"success": (1, 4, 1, 4), "loss": (1, 4, 1, 3), "proc_time": (1, 4, 1), "mAP": (1, 4, 1, 3, 360)}


@golden(SYSTEM, "checkpoints and the table of the best", "fixture_checkpoint")
def checkpoints() -> Iterator[Deviation]:
    folder = path_of(SYSTEM, "fixture_checkpoint")
    names = [f"model_{epoch:04d}_{chunk:04d}" for epoch, chunk in ((0, 0), (0, 1), (1, 0))]
    stored = [read_torch(folder / "checkpoints" / f"{name}.pth.tar") for name in (*names, "model")]
    for step, checkpoint in enumerate(stored):
        yield exact(f"{step}: next", (checkpoint["epoch"], checkpoint["chunk"]), divmod(step, 2))
        shapes = {name: checkpoint[name].shape for name in HISTORY}
        yield exact(f"{step}: shapes", shapes, HISTORY)
        weights = {
            name: tuple(value.shape) for name, value in extract_state_dict(checkpoint, names[0]).items()
        }
        yield exact(f"{step}: weights", weights, {"weight": (2, 3), "bias": (2,)})
        steps = {int(state["step"]) for state in checkpoint["optimizer_state_dict"]["state"].values()}
        yield exact(f"{step}: optimizer", steps, {step} if step else set())
        # A numbered file holds the weights BEFORE its chunk: so many chunks have results.
        done = (checkpoint["loss_checkpoint"][0].reshape(6, 3) > 0).all(axis=1)
        yield exact(f"{step}: chunks with results", done, np.arange(6) < step)
    for before, after in itertools.pairwise(stored):
        # Adam with a constant gradient moves everything by the learning rate.
        moved = before["model_state_dict"]["bias"] - after["model_state_dict"]["bias"]
        yield deviation("step", moved, [1e-4, 1e-4], 1e-6)
    tested = read_torch(folder / "checkpoints_test" / "checkpoint_test.pth.tar")
    shapes = {name: tested[f"{name}_checkpoint"].shape for name in TESTED}
    yield exact("test: shapes", shapes, TESTED)
    yield exact("table", table_of_best(tested), (folder / "output_text.txt").read_text())


def table_of_best(tested: dict[str, NDArray[Any]]) -> str:
    """The line that the original writes: best checkpoint / last, accuracies, AUCs, losses.

    Accuracies of the checkpoint with the best at 5 degrees; AUCs and losses of that with the best AUC at 5.
    """
    counts = tested["mAP_checkpoint"][0, :, 0, 2]
    accuracy = 100 * counts.cumsum(axis=1)[:, [4, 9, 19]] / counts.sum(axis=1, keepdims=True)
    area = 100 * tested["mAP_exact_checkpoint"][0, :, 0, 2]
    best = int(area[:, 0].argmax())
    numbers = (*accuracy[accuracy[:, 0].argmax()], *area[best], *tested["loss_checkpoint"][0, best, 0])
    return "\t".join([f"{best}/{len(area) - 1}", *(f"{n:.3f}" for n in numbers), "\n"])
