"""Short trainings on OpenIBL's toy Pittsburgh by the recipe `retrieval`, on the tuples of the original.

The trunk is frozen up to conv5 and colours do not change, so its maps are computed once. What the original
mined is trained on, so that every step can be compared: with weights that differ in the last bits, negatives
that are nearly as far as others would be chosen differently after the first chunk.
"""

from __future__ import annotations

import copy
import json
import tempfile
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.checkpoints.containers import read_container
from relpose_ros.datasets.place_recognition.splits import PlaceSplit
from relpose_ros.networks.retrieval.region import EmbedRegionNet
from relpose_ros.retrieval.pca import Pca
from relpose_training.data.hard_negatives import TrainingTuple
from relpose_training.data.image_transforms import PLAIN, Augmentation
from relpose_training.data.shards import Sample
from relpose_training.data.stream import Dataset
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.journal import read_metrics
from relpose_training.engine.loop import train
from relpose_training.engine.recipe import TrainingModule
from relpose_training.engine.rounds import Rounds, Run
from relpose_training.recipes.retrieval.config import RetrievalConfig
from relpose_training.recipes.retrieval.evaluation import (
    RetrievalTest,
    describe_images,
    evaluation_inputs,
    score_retrieval,
)
from relpose_training.recipes.retrieval.mined_rounds import MinedRounds
from relpose_training.recipes.retrieval.mining import ChunkMiner
from relpose_training.recipes.retrieval.module import RetrievalModule
from relpose_training.recipes.retrieval.plan import Chunk
from relpose_training.recipes.retrieval.recipe import RetrievalRecipe
from relpose_training.recipes.retrieval.sfrs_module import SfrsModule
from tools.parity.case import path_of
from tools.parity.cases.openibl_networks import filled, rule
from tools.parity.cases.openibl_toy import toy

CHUNK, EPOCHS, SIDE, FROZEN, SEED = 6, 2, 64, 24, 43


@cache
def initial() -> EmbedRegionNet:
    """The network before training, without its frozen part, which `maps` has applied."""
    network: EmbedRegionNet = filled(EmbedRegionNet)
    centres = rule().array("openibl.train.centroids", (64, 512)) / np.sqrt(512)
    descriptors = rule().array("openibl.train.descriptors", (400, 512))
    descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
    network.net_vlad.init_from_clusters(torch.from_numpy(centres), torch.from_numpy(descriptors))
    trunk: Any = network.base_model
    trunk.base = trunk.base[FROZEN:]
    return network


@cache
def maps(split: str) -> tuple[Tensor, Tensor]:
    """Maps of the frozen part for queries and gallery of a split, each (N, 512, 4, 4)."""
    frozen = filled(EmbedRegionNet).base_model.base[:FROZEN]
    images: PlaceSplit = getattr(toy("pitts"), split)
    with torch.no_grad():
        queries, gallery = (
            torch.cat(
                [frozen(torch.from_numpy(x)[None]) for x in evaluation_inputs(toy("pitts"), side, SIDE, SIDE)]
            )
            for side in (images.queries, images.gallery)
        )
    return queries, gallery


def described(network: EmbedRegionNet, split: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Descriptors of queries and gallery."""
    queries, gallery = (describe_images(network, side.numpy(), batch=64) for side in maps(split))
    return queries, gallery


class Maps(Dataset):
    """`maps` of a split as the recipe wants images."""

    def __init__(self, split: str) -> None:
        self.sides = maps(split)

    def group_sizes(self) -> list[int]:
        return [len(side) for side in self.sides]

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        return {"image": self.sides[group][item].numpy()}


class ToldRounds(MinedRounds):
    """Mines, keeps what it finds in `mined`, and trains on what it is `told`."""

    mined: list[list[int]]
    told: list[list[int]]

    def _mine(self, chunk: Chunk) -> list[TrainingTuple]:
        queries = len(self.miner.split.queries)
        self.mined += [found.items(queries) for found in super()._mine(chunk)]
        return [_tuple_of(items, queries) for items in self.told[chunk.steps.start : chunk.steps.stop]]


def _tuple_of(items: list[int], queries: int) -> TrainingTuple:
    """Of a list as OpenIBL has them: query, positive, four negatives, difficult positives."""
    gallery = [item - queries for item in items[1:]]
    return TrainingTuple(items[0], gallery[0], tuple(gallery[1:5]), tuple(gallery[5:]))


class ToyRecipe(RetrievalRecipe):
    """The recipe on maps in place of images, begun and told as the original was."""

    dataset = toy("pitts")

    def __init__(self, config: RetrievalConfig, told: list[list[int]]) -> None:
        super().__init__(config)
        self.told: list[list[int]] = told
        self.mined: list[list[int]] = []

    def module(self) -> RetrievalModule:
        make = SfrsModule if self.config.loss == "sfrs" else RetrievalModule
        return make(copy.deepcopy(initial()), self.config)

    def start(self, module: TrainingModule) -> None:
        if isinstance(module, SfrsModule):
            module.begin()

    def images(self, split: str, augment: Augmentation = PLAIN) -> Dataset:
        return Maps(split)

    def split(self, name: str) -> PlaceSplit:
        found: PlaceSplit = getattr(toy("pitts"), name)
        return found

    def rounds(self, run: Run) -> Rounds:
        ours = super().rounds(run)
        assert isinstance(ours, MinedRounds)
        plan = replace(ours.plan, first_epochs=(EPOCHS - 1, 0, 0)) if len(ours.plan.starts) > 1 else ours.plan
        miner = ChunkMiner(self.split("train"), replace(ours.miner.mining, compat=True))
        told = ToldRounds(run, plan, miner, ours.describe)
        told.mined, told.told = self.mined, self.told
        return told


@dataclass
class Replay:
    """One run: what the original wrote, and what we get on its tuples."""

    name: str
    told: dict[str, Any]
    student: EmbedRegionNet = field(default_factory=lambda: copy.deepcopy(initial()))
    losses: list[Any] = field(default_factory=list)
    mined: list[list[int]] = field(default_factory=list)
    recalls: list[list[float]] = field(default_factory=list)

    def run(self, out: Path) -> None:
        """Validate, train with a validation an epoch, and test the best weights."""
        recipe, device = ToyRecipe(self._settings(out), self.told["tuples"]), TorchDevice("cpu", Place())
        self._recall(recipe.validate(recipe.module(), device))
        if train(recipe, device):
            raise RuntimeError(f"{self.name}: stopped by a signal before its end")
        self.mined = recipe.mined
        for line in read_metrics(out / "metrics.jsonl"):
            if line["split"] == "validation":
                self._recall(line)
            else:
                self.losses.append([line["hard"], line["soft"]] if self.name == "sfrs" else line["loss"])
        self.student.load_state_dict(read_container(out / "last.safetensors"))
        self._test(read_container(out / "best.safetensors"))

    def _settings(self, out: Path) -> RetrievalConfig:
        epoch = len(toy("pitts").train.queries)
        settings: dict[str, Any] = {
            "out": out, "data": out, "loss": self.name, "seed": SEED, "device": "cpu",
            "height": SIDE, "width": SIDE, "jitter": 0, "jitter_hue": 0,
            "negatives": 4, "pool": 10, "refresh": CHUNK, "describe_batch": 64, "learning_rate": 1e-3,
            "steps": len(self.told["loss"]), "validate_every": epoch, "save_every": 10**6, "log_every": 1,
        }  # fmt: skip
        if self.name == "sfrs":
            settings |= {"positives": 2, "positive_pool": 2}
            settings |= {"temperatures": (0.07, 0.07, 0.06), "first_generation": epoch}
        return RetrievalConfig(**settings)

    def _recall(self, metrics: dict[str, float]) -> None:
        self.recalls.append([metrics[f"recall@{n}"] for n in (1, 5, 10)])

    def _test(self, best: Any) -> None:
        """With a PCA of the training descriptors."""
        network = copy.deepcopy(initial())
        network.load_state_dict(best)
        pca = Pca.fit(np.concatenate(described(network, "train")), 12, compat=True)
        scores = score_retrieval(*described(network, "test"), toy("pitts").test, RetrievalTest(pca))
        self.recalls.append(list(scores.recall.values()))


def schedule(name: str) -> list[tuple[int, int]]:
    """Generations and epochs: SFRS has one epoch of generation 0, whose number is that of the last."""
    if name != "sfrs":
        return [(0, epoch) for epoch in range(EPOCHS)]
    return [(0, EPOCHS - 1), *((g, epoch) for g in (1, 2) for epoch in range(EPOCHS))]


@cache
def replayed(name: str) -> Replay:
    """One whole run."""
    replay = Replay(name, json.loads(path_of("openibl", "e2e_train.json").read_text())[name])
    with tempfile.TemporaryDirectory() as folder:
        replay.run(Path(folder))
    return replay
