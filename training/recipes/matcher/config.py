"""What can be set when a matcher is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import STRICT, Count, EngineConfig, Positive, Rate, Share

Model = Literal["gm", "dgnns", "adagmn"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MatcherConfig(EngineConfig):
    """A network, its keypoints and its losses. Raises ConfigurationError where they do not fit."""

    data: str | None = None
    """Folder or bucket with the shards of train and val (`relpose prepare matches`)."""
    images: tuple[str, ...] = ()
    """In place of the shards of train: folders of plain images, or posed sources. Pairs are made of them
    while training, by homographies and changes of light, others in every epoch. Validation is on the shards
    of `data` if it is given, else on pairs of images held out."""
    holdout: Share = 0.1
    """Of images without data: share of each folder, its last images, that is for validation."""
    features: str = "rootsift64"
    """Of images: what finds and describes keypoints, as in maps. Shards have theirs."""
    max_keypoints: Positive = 1024
    """Of images: the strongest of a view, out of which `keypoints` are drawn."""
    model: Model = "dgnns"
    """gm: every iteration attends anew; dgnns: IMP; adagmn: EIMP, which drops keypoints on the way."""
    iterations: Positive = 15
    """Each is a self and a cross layer of its own; all of them are supervised."""
    norm: Literal["in", "bn"] = "in"
    """Normalisation over the keypoints of an image, or of a batch."""
    activation: Literal["relu", "gelu", "lrelu"] = "relu"
    """Of all perceptrons."""
    assignment: Literal["sinkhorn", "dual_softmax"] = "sinkhorn"
    """How similarities become an assignment."""
    sinkhorn_iterations: Positive = 20
    """Of assignment=sinkhorn."""
    keypoints: Positive = 1024
    """Of each image, the same number in every pair."""
    random_inliers: bool = True
    """Take a random number of the true matches, so that pairs of all difficulties come."""
    min_inliers: Count = 32
    """Of random_inliers: the fewest."""
    max_inliers: Positive = 512
    """Of random_inliers: the most."""
    n_min_tokens: Count = 256
    """Of adagmn: images with at most so many keypoints left drop no more."""
    seed_threshold: Share = 0.1
    """Of adagmn: assignment mass from which a keypoint certainly stays."""
    hard_negative_margin: Rate | None = None
    """Adds a hinge between the true partner's score and the best wrong one; the original's is 0.1."""
    pose_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Of the pose-consistency loss. The published *_geo weights: 1, after a training without it."""
    pose_start: Count = 0
    """First step in which the pose counts."""
    compat: bool = False
    """Defects of the original as they are, where docs/networks/imp.md lists a switch."""
    start_from: Path | None = None
    """A checkpoint whose weights are the first ones."""
    start_as_nearest: bool = False
    """Begin as a soft search for mutual nearest neighbours, which layers that start at zero then improve on:
    for short trainings."""
    licence: str = "not stated"
    """Of the weights: what the licence of the data allows."""

    def __post_init__(self) -> None:
        if self.min_inliers > self.max_inliers:
            raise ConfigurationError(
                f"expected min_inliers <= max_inliers, got {self.min_inliers} and {self.max_inliers}"
            )
        if self.data is None and not self.images:
            raise ConfigurationError(
                "expected data, a folder of shards (`relpose prepare matches`), or images, folders of images"
            )
        if self.images and not 0 < self.holdout < 1:
            raise ConfigurationError(f"expected holdout between 0 and 1, got {self.holdout}")
        if self.start_from is not None and self.start_as_nearest:
            raise ConfigurationError("start_from and start_as_nearest both say how to start: give one")

    def network_parameters(self, descriptor_size: int) -> dict[str, Any]:
        """Arguments of the network for descriptors of that size."""
        pooling = {"n_min_tokens": self.n_min_tokens, "seed_threshold": self.seed_threshold}
        return {
            "iterations": self.iterations,
            "descriptor_size": descriptor_size,
            "norm_fn": self.norm,
            "ac_fn": self.activation,
            "with_sinkhorn": self.assignment == "sinkhorn",
            "sinkhorn_iterations": self.sinkhorn_iterations,
            **(pooling if self.model == "adagmn" else {}),
        }
