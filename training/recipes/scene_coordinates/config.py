"""What can be set when a network of a scene is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import STRICT, Positive, Rate
from relpose_training.engine.replay_config import ReplayConfig
from relpose_training.recipes.contrast import ContrastiveConfig
from relpose_training.recipes.scene_coordinates.encoders import EncodersConfig
from relpose_training.recipes.scene_coordinates.models import NetworkName, Uncertainty, network_of
from relpose_training.recipes.scene_images import SceneImagesConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SceneCoordinatesConfig(SceneImagesConfig, EncodersConfig, ContrastiveConfig, ReplayConfig):
    """A network, its scene, and one of three stages. Raises ConfigurationError where they do not fit."""

    stage: Literal["init", "end_to_end", "uncertainty"] = "init"
    """init: from labels or poses; end_to_end: through the robust estimator; uncertainty: a likelihood."""
    supervision: Literal["rgb", "coordinates", "depth"] = "coordinates"
    """rgb: poses alone; coordinates: what the set knows of them, sparse or dense; depth: RGB-D cameras, whose
    points are compared in three dimensions."""
    network: NetworkName = "dsacstar_tiny"
    """Which network; dsacstar is as published, dsacstar_tiny has 4 MB."""
    uncertainty: Uncertainty = "none"
    """What the network says beside coordinates: nothing, a standard deviation, or a whole covariance."""
    loss: Literal["dsacstar", "transpose", "crossloc", "kfnet"] = "dsacstar"
    """Of init and uncertainty, as published by these. With an uncertainty, the likelihood is part of it."""
    first_weights: Literal["he", "published"] = "he"
    """Of networks without normalisation: he keeps the spread of values from layer to layer (He et al., ICCV
    2015), and learns from the first steps on; published draws them narrower, as DSAC* does."""
    start_from: Path | None = None
    """A checkpoint of the stage before: end_to_end and uncertainty need one."""
    mean_samples: Positive = 400
    """Images, spread over the set, whose known coordinates make the mean that the network starts from."""
    tolerance: Rate | None = None
    """Metres: a cell further from its label than this is drawn to it; unset: 0.1 dsacstar, 50 others."""
    min_depth: Rate = 0.1
    """Metres: a cell must lie that far before the camera for its reprojection to count."""
    max_depth: Rate = 1000.0
    """Metres: without labels, at most so far."""
    target_depth: Rate = 10.0
    """Metres: without labels, where on the pixel's ray a cell begins."""
    soft_clamp: Rate = 100.0
    """Pixels: a larger error counts by its root."""
    hard_clamp: Rate = 1000.0
    """Pixels: a larger error does not count."""
    likelihood_limit: float | None = None
    """Of kfnet: a cell counts at most so much (published: -2); unset: no limit."""
    hypotheses: Positive = 64
    """Of the estimator: kept of those that are drawn; in end_to_end the loss is their expectation."""
    draws: Positive = 1024
    """Of the estimator: minimal sets that are tried at most, in training and validation."""
    threshold: Rate | None = None
    """Of the estimator: how far off an inlier may be; unset: 10 px, with supervision=depth 0.1 m."""
    sharpness: Rate = 100.0
    """Of the estimator: scale of the scores before their softmax."""
    rotation_weight: Rate = 1.0
    """Of the expected pose error, per degree."""
    translation_weight: Rate = 100.0
    """Of the expected pose error, per metre."""
    pose_clamp: Rate = 100.0
    """Of the expected pose error: a larger one counts by its root."""
    anchor_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Of the loss of init beside the expected pose error; 0: as published."""

    def __post_init__(self) -> None:
        network_of(self.network, self.uncertainty)
        self.check_canvas()
        if self.stage != "init" and self.start_from is None:
            raise ConfigurationError(
                f"stage={self.stage} goes on from a network that knows the scene: expected "
                "start_from=.../best.safetensors of stage=init"
            )
        if self.stage == "uncertainty" and self.uncertainty == "none":
            raise ConfigurationError("stage=uncertainty expects uncertainty=isotropic or anisotropic")
        if self.stage != "end_to_end" or self.anchor_weight:
            self._check_loss()
        self.check_encoders(self.network)
        self.check_contrast(self.network)
        if self.replay_every and self.loss == "kfnet":
            raise ConfigurationError("loss=kfnet is one number for a batch: expected replay_every=0")

    def _check_loss(self) -> None:
        if self.supervision == "rgb" and self.loss != "dsacstar":
            raise ConfigurationError(
                f"supervision=rgb has no labels, which loss={self.loss} needs: expected loss=dsacstar"
            )
        if self.supervision == "depth" and self.loss not in ("dsacstar", "kfnet"):
            raise ConfigurationError(
                "supervision=depth compares in three dimensions: expected loss=dsacstar or kfnet, "
                f"got {self.loss}"
            )
        if self.uncertainty != "none" and self.loss == "dsacstar" and self.stage != "end_to_end":
            raise ConfigurationError(
                f"loss=dsacstar has no likelihood: uncertainty={self.uncertainty} expects "
                "loss=crossloc, transpose or kfnet"
            )

    @property
    def inlier_threshold(self) -> float:
        """Of the estimator: pixels, or metres with supervision=depth."""
        return self.threshold or (0.1 if self.supervision == "depth" else 10.0)
