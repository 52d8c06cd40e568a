"""What can be set when the small network of a scene is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import STRICT, Count, EngineConfig, Positive, Rate

STRIDE = 8


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SceneCellsConfig(EngineConfig):
    """A small network of one scene, trained in minutes: fixed descriptors, computed once, and a regressor."""

    data: str
    """Folder or bucket with the shards of train and val (`relpose prepare scene`), which know coordinates."""
    height: Positive = 480
    """Short side of the images that the network is made for, px."""
    canvas: tuple[Positive, Positive] | None = None
    """Height and width of what it sees in training, px, multiples of 8; unset: the whole usual image."""
    anchors: Positive = 256
    """Points spread over the scene that cells are assigned to."""
    width: Positive = 256
    """Channels of the regressor."""
    blocks: Count = 2
    """Its residual blocks."""
    components: Positive = 160
    """Principal components of the descriptors that it is fed."""
    copies: Count = 4
    """Scaled, turned and relit copies of each image beside the image itself."""
    augment_scale: Annotated[float, Field(ge=1, le=4)] = 1.5
    """Copies are scaled by 1/this to this, poses and labels with them."""
    augment_angle_deg: Annotated[float, Field(ge=0, le=180)] = 20.0
    """Copies are turned by up to this, either way, poses and labels with them."""
    augment_light: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share by which brightness and contrast of the copies change."""
    stored_cells: Positive = 1500
    """Cells with a known coordinate that are kept of each image."""
    step_cells: Positive = 1000
    """Of them, drawn anew each time."""
    noise: Annotated[float, Field(ge=0)] = 0.1
    """Deviation of the noise added to the components, which have a deviation of one, in training."""
    likelihood_weight: Rate = 0.3
    """Of the likelihood, beside the choice of the anchor."""
    distance_weight: Rate = 0.2
    """Of the distance to the true point, in units of the usual distance to an anchor."""
    hypotheses: Positive = 64
    """Of the estimator that validates."""
    draws: Positive = 2048
    """Minimal sets that it tries at most."""
    threshold: Rate = 10.0
    """How far off its inliers may be, px."""
    licence: str = "not stated"
    """Of the weights: what the licence of the data allows."""
    batch_size: Positive = 8
    """Images in a step."""
    steps: Positive = 2000
    """Optimizer steps in all."""
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    """Which optimizer."""
    learning_rate: Rate = 2e-3
    """After the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    """Decoupled with adamw."""
    schedule: Literal["constant", "cosine", "linear", "step"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    warmup_steps: Count = 50
    """Steps in which the learning rate rises linearly from zero."""
    clip_norm: Rate | None = 5.0
    """Largest norm of all gradients together."""

    def __post_init__(self) -> None:
        if self.step_cells > self.stored_cells:
            raise ConfigurationError(
                f"expected step_cells up to stored_cells, got {self.step_cells} and {self.stored_cells}"
            )
        if self.canvas is not None and any(side % STRIDE for side in self.canvas):
            raise ConfigurationError(f"expected a canvas of multiples of {STRIDE}, got {self.canvas}")
