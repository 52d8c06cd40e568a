"""Short trainings on OpenIBL's toy Pittsburgh, step by step on the tuples of the original.

The trunk is frozen up to conv5 and colours do not change, so its maps are computed once. What the original
mined is trained on, so that every step can be compared: with weights that differ in the last bits, negatives
that are nearly as far as others would be chosen differently after the first chunk.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.datasets.place_recognition.splits import PlaceSplit
from relpose_ros.evaluation.retrieval_recall import squared_distances
from relpose_ros.networks.retrieval.region import EmbedRegionNet
from relpose_ros.retrieval.pca import Pca
from relpose_training.data.hard_negatives import HardNegatives, MiningOptions
from relpose_training.data.query_chunks import query_chunks
from relpose_training.data.reranked_distances import SFRS, reranked_distances
from relpose_training.losses.sare import sare_ind_loss, sare_joint_loss
from relpose_training.losses.sfrs import SfrsOptions, sfrs_loss
from relpose_training.losses.triplet import triplet_loss
from relpose_training.recipes.retrieval.evaluation import (
    RetrievalTest,
    describe_images,
    evaluation_inputs,
    score_retrieval,
)
from tools.parity.case import path_of
from tools.parity.cases.openibl_networks import filled, rule
from tools.parity.cases.openibl_toy import toy

CHUNK, EPOCHS, SIDE, FROZEN = 6, 2, 64, 24
BASELINES: dict[str, Callable[..., Tensor]] = {
    "triplet": triplet_loss,
    "sare_ind": sare_ind_loss,
    "sare_joint": sare_joint_loss,
}
SFRS_OPTIONS = SfrsOptions("sare_ind", (0.07, 0.07, 0.06), soft_weight=0.5)


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


@dataclass
class Replay:
    """One run: what the original wrote, and what we get on its tuples."""

    name: str
    told: dict[str, Any]
    student: EmbedRegionNet = field(default_factory=lambda: copy.deepcopy(initial()))
    teacher: EmbedRegionNet = field(default_factory=lambda: copy.deepcopy(initial()))
    losses: list[Any] = field(default_factory=list)
    mined: list[list[int]] = field(default_factory=list)
    recalls: list[list[float]] = field(default_factory=list)
    best: tuple[float, EmbedRegionNet | None] = (-1.0, None)

    def __post_init__(self) -> None:
        train = toy("pitts").train
        sfrs = {"difficult": 2, "positive_pool": 2} if self.name == "sfrs" else {}
        self.miner = HardNegatives(train.positives, train.near, MiningOptions(4, 10, **sfrs))
        self.restart()

    def restart(self) -> None:
        """Initial weights and a new optimiser; the last weights become the teacher's."""
        self.teacher.load_state_dict(self.student.state_dict())
        self.student.load_state_dict(initial().state_dict())
        self.optimiser = torch.optim.SGD(self.student.parameters(), 1e-3, momentum=0.9, weight_decay=1e-3)

    def epoch(self, number: int, generation: int = 0) -> None:
        """Mine and train chunk by chunk, then validate."""
        for chunk in query_chunks(len(toy("pitts").train.queries), CHUNK, number):
            self.mine(chunk, generation)
            for items in self.told["tuples"][len(self.losses) : len(self.losses) + len(chunk)]:
                self.step(items, generation)
        recall = self.validate()
        if recall[1] > self.best[0]:
            self.best = (recall[1], copy.deepcopy(self.student))

    def mine(self, chunk: list[int], generation: int) -> None:
        queries, gallery = described(self.student, "train")
        reranked = reranked_distances(queries, gallery, SFRS, compat=True)[chunk] if generation else None
        tuples = self.miner.mine(chunk, squared_distances(queries[chunk], gallery), reranked)
        self.mined += [found.items(len(queries)) for found in tuples]

    def step(self, items: list[int], generation: int) -> None:
        images = torch.cat(maps("train"))[items]
        self.optimiser.zero_grad()
        if self.name == "sfrs":
            loss = self._sfrs(images, generation)
        else:
            desc = self.student(images)[1]
            loss = BASELINES[self.name](desc[:1], desc[1:2], desc[None, 2:])
            self.losses.append(loss.item())
        loss.backward()
        self.optimiser.step()

    def _sfrs(self, images: Tensor, generation: int) -> Tensor:
        easy, difficult = images[:6], torch.cat([images[:1], images[6:]])  # positive and 4 negatives
        with torch.no_grad():
            scores = self.teacher.compare_regions(difficult).scores
        pair = self.student.compare_regions(easy), self.student.compare_regions(difficult)
        loss = sfrs_loss(*pair, scores, generation, SFRS_OPTIONS)
        self.losses.append([loss.hard.item(), loss.soft.item()])
        return loss.total

    def validate(self) -> list[float]:
        scores = score_retrieval(*described(self.student, "val"), toy("pitts").val)
        self.recalls.append(list(scores.recall.values()))
        return self.recalls[-1]

    def test(self) -> None:
        """The best network with a PCA of its training descriptors."""
        assert self.best[1] is not None
        pca = Pca.fit(np.concatenate(described(self.best[1], "train")), 12, compat=True)
        scores = score_retrieval(*described(self.best[1], "test"), toy("pitts").test, RetrievalTest(pca))
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
    replay.validate()
    previous = 0
    for generation, epoch in schedule(name):
        if generation != previous:
            replay.restart()
        replay.epoch(epoch, generation)
        previous = generation
    replay.test()
    return replay
