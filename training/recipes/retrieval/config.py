"""What can be set when a network of global descriptors is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import (
    STRICT,
    Count,
    EngineConfig,
    Positive,
    Rate,
    Share,
    check_used,
)

NetworkName = Literal["netvlad_vgg16", "mobile", "mobile_netvlad"]

MOBILE = ("mobile", "mobile_netvlad")
NETVLAD = ("netvlad_vgg16", "mobile_netvlad")
OF_NETWORKS: Mapping[str, tuple[str, ...]] = {
    "dimension": MOBILE,
    "clusters": NETVLAD,
    "channels": ("netvlad_vgg16",),
    "trunk_width": MOBILE,
    "stride": MOBILE,
    "centres": NETVLAD,
    "freeze_statistics": MOBILE,
}
"""Settings that some networks alone use -> these networks."""

SARE = ("sare_ind", "sare_joint")
TRIPLET = ("triplet", "sfrs with hard=triplet")
SFRS = ("sfrs",)
OF_LOSSES: Mapping[str, tuple[str, ...]] = {
    "margin": TRIPLET,
    "squared": TRIPLET,
    "temperature": SARE,
    "share_negatives": SARE,
    "hard": SFRS,
    "temperatures": SFRS,
    "soft_weight": SFRS,
    "first_generation": SFRS,
    "teacher_average": SFRS,
    "positives": SFRS,
    "positive_pool": SFRS,
}
"""Settings that some losses alone use -> these losses."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RetrievalConfig(EngineConfig):
    """Triplets, SARE or SFRS on mined tuples. Raises ConfigurationError where settings do not fit."""

    data: Path
    """Folder of a place recognition set: one of `relpose prepare places`, or a published one as it is."""
    dataset: str = "auto"
    """What the folder is: pitts30k, pitts250k, tokyo, places, ...; auto finds out."""
    network: NetworkName = "netvlad_vgg16"
    """netvlad_vgg16 as published; mobile (GeM) and mobile_netvlad on a trunk that a robot can run."""
    dimension: Positive | None = None
    """Of mobile networks: size of a linear layer that is trained with the rest; unset: none."""
    clusters: Positive = 64
    """Of NetVLAD."""
    channels: tuple[Positive, Positive, Positive, Positive, Positive] | None = None
    """Of the five stages of VGG16; unset: as published."""
    trunk_width: Rate = 1.0
    """Of mobile networks: how wide, as a share of the published one."""
    stride: Literal[16, 32] = 16
    """Of mobile networks: pixels of the image that a cell of the map stands for."""
    start_from: Path | None = None
    """Weights to begin with: a checkpoint of a trunk or of a whole network. Unset: random ones."""
    centres: Path | None = None
    """Cluster centres of NetVLAD and the descriptors they are of (`relpose prepare clusters`)."""
    train_from: str | None = None
    """First stage that is trained, those before stay as they are: conv5 to conv2 of VGG16, blocks.0 to
    blocks.4 of mobile networks, or full. Unset: with start_from conv5 or blocks.0, otherwise full."""
    freeze_statistics: bool = True
    """Of mobile networks: batch norms keep the statistics that they begin with, those of start_from, or else
    0 and 1. What they would learn from tuples fits no other images (docs/networks/retrieval.md)."""
    height: Positive = 480
    """Of what the network is fed, px; images are resized to exactly this."""
    width: Positive = 640
    """Of what the network is fed, px."""
    jitter: Share = 0.7
    """How far brightness, contrast and saturation of training images change."""
    jitter_hue: Annotated[float, Field(ge=0, le=0.5)] = 0.5
    """How far hues of training images turn, as a share of the circle."""
    crop: Share = 0.0
    """Training images are cut to a random part, of this much less than the whole at most."""
    channels_last: bool = False
    """Keep images in memory as GPUs of today and many CPUs like them."""

    loss: Literal["triplet", "sare_ind", "sare_joint", "sfrs"] = "sare_ind"
    """triplet: of NetVLAD; sare_ind: each negative by itself; sare_joint: all together; sfrs: in generations,
    with region similarities."""
    margin: Rate | None = None
    """Of triplets, also as SFRS's hard loss; unset: the root of 0.1, and 0.1 with squared=true."""
    squared: bool = False
    """Of triplets, also as SFRS's hard loss: squared distances, as in the paper of NetVLAD."""
    temperature: Rate | None = None
    """Of SARE: similarity is the dot product divided by this; unset: minus the squared distance."""
    hard: Literal["triplet", "sare_ind", "sare_joint"] = "sare_ind"
    """Of SFRS: its loss on positive and negatives."""
    temperatures: tuple[Rate, ...] = (0.07, 0.07, 0.06, 0.05)
    """Of SFRS: the teacher's, one a generation; the first is the student's in all of them."""
    soft_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    """Of SFRS: of the loss that the teacher's similarities supervise, from the second generation on."""
    first_generation: Positive | None = None
    """Of SFRS: steps of the first generation; unset: a fifth of each of the others, which share the rest."""
    teacher_average: Share | None = None
    """Of SFRS: decay of the moving average of a generation that teaches the next, as 0.999; unset: its last
    weights do, as published."""
    positives: Positive = 10
    """Of SFRS: difficult positives in a tuple, at most."""
    positive_pool: Positive = 20
    """Nearest positives among which these are looked for."""

    batch_size: Positive = 1
    """Tuples in a step, on each device."""
    negatives: Positive = 10
    """In a tuple: the hardest of a random pool and those of last time."""
    share_negatives: bool = False
    """Of SARE: a query also repels the gallery images of the other tuples of its batch, on its device, that
    are known not to show its place. Many negatives for the price of few; a batch of 16 tuples or more."""
    pool: Positive = 1000
    """Of random negatives."""
    refresh: Positive = 1000
    """Queries of a round: before each, descriptors are made anew and tuples mined."""
    mined_gallery: Count = 0
    """Gallery images that a round looks at, at random, beside the positives and last negatives of its
    queries; 0: all. For large sets."""
    describe_batch: Positive = 32
    """Images that are described at once, on each device."""

    optimizer: Literal["adam", "adamw", "sgd"] = "sgd"
    """Which optimizer."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    """Decoupled with adamw, coupled (L2) otherwise."""
    licence: str = "not stated"
    """Of the weights: what the licence of the data allows."""

    def __post_init__(self) -> None:
        check_used(self, "network", (self.network,), OF_NETWORKS)
        losses = (self.loss, f"sfrs with hard={self.hard}") if self.loss == "sfrs" else (self.loss,)
        check_used(self, "loss", losses, OF_LOSSES)
        if self.train_from not in (None, "full") and self.start_from is None:
            raise ConfigurationError(
                f"train_from={self.train_from} leaves the stages before as they are, and these are random: "
                "expected start_from=FILE, or train_from=full"
            )
        if self.loss == "sfrs":
            self._check_generations()

    def _check_generations(self) -> None:
        cells = 2 * self.stride  # VGG16's stride is 16, and `stride` is then left at that
        if any(side % cells for side in (self.height, self.width)):
            raise ConfigurationError(
                f"loss=sfrs compares halves of images: expected height and width in multiples of {cells} "
                f"(twice the network's stride), got {self.height} and {self.width}"
            )
        if not 0 < len(self.temperatures) <= self.steps + 1 - (self.first_generation or 1):
            raise ConfigurationError(
                f"loss=sfrs has a generation for each of temperatures={list(self.temperatures)}: expected at "
                f"least one, and a step for each after the first; there are steps={self.steps}"
            )

    @property
    def can_be_longer(self) -> bool:
        return super().can_be_longer and self.loss != "sfrs"

    @property
    def generation_starts(self) -> tuple[int, ...]:
        """First step of each generation of SFRS; others have one."""
        count = len(self.temperatures) if self.loss == "sfrs" else 1
        if count == 1:
            return (0,)
        first = self.first_generation or max(1, round(self.steps / (1 + 5 * (count - 1))))
        rest = self.steps - first
        return (0, *(first + rest * k // (count - 1) for k in range(count - 1)))

    @property
    def tuple_positives(self) -> int:
        """Difficult positives in a tuple."""
        return self.positives if self.loss == "sfrs" else 0
