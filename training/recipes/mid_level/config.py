"""What can be set when an encoder of depth, normals or classes is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.data.label_statistics import IMAGE_STATISTICS, ImageStatistics
from relpose_training.engine.configuration import STRICT, Count, Positive, Rate
from relpose_training.engine.replay_config import ReplayConfig
from relpose_training.recipes.contrast import ContrastiveConfig
from relpose_training.recipes.scene_images import SceneImagesConfig

Task = Literal["depth", "normal", "semantics"]

SOFT, HARD = 5.0, 10.0
"""The published clamps: metres of depth, degrees of normals."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class MidLevelConfig(SceneImagesConfig, ContrastiveConfig, ReplayConfig):
    """A task, its network and its loss. Raises ConfigurationError where they do not fit."""

    task: Task = "depth"
    """What is predicted of each cell (of each pixel: semantics)."""
    size: Literal["full", "tiny"] = "full"
    """27 or 2 million parameters; coordinate networks take encoders of their own size."""
    extra_blocks: Count = 2
    """Residual blocks beyond those of DSAC*, in the encoder and in the decoder."""
    grayscale: bool = False
    """One channel in place of three."""
    uncertainty: Literal["none", "isotropic"] = "isotropic"
    """With a standard deviation of each cell; semantics expects none."""
    loss: Literal["crossloc", "transpose"] = "crossloc"
    """Of depth and normals: plain, or under soft and hard clamps."""
    start_from: Path | None = None
    """A checkpoint of this recipe to go on from, as from simulated images to real ones."""
    mean_samples: Positive = 400
    """Images, spread over the set, whose labels make the mean that the network starts from."""
    min_depth: Rate = 0.1
    """Metres: less counts as wrong."""
    soft_clamp: Rate = SOFT
    """Of loss=transpose, metres or degrees: a larger error counts by its root."""
    hard_clamp: Rate = HARD
    """Metres or degrees: a larger error is not valid."""

    def __post_init__(self) -> None:
        if self.task == "semantics" and self.uncertainty != "none":
            raise ConfigurationError("task=semantics expects uncertainty=none: its logits say it already")
        self.check_canvas()
        self.check_contrast()

    @property
    def network(self) -> tuple[str, dict[str, Any]]:
        """Registry name, and constructor arguments beyond those registered."""
        return f"scene_coordinates.{self.task}", {
            "tiny": self.size == "tiny",
            "grayscale": self.grayscale,
            "uncertainty": self.uncertainty,
            "extra_blocks": self.extra_blocks,
        }

    @property
    def images(self) -> ImageStatistics:
        """What images are normalised by: as those of the coordinate networks that take the encoders."""
        return IMAGE_STATISTICS["crossloc_gray" if self.grayscale else "crossloc"]
