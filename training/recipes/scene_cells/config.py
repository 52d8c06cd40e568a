"""What can be set when the small network of a scene is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import STRICT, Count, Positive, Rate
from relpose_training.recipes.scene_images import SceneImagesConfig


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SceneCellsConfig(SceneImagesConfig):
    """A small network of one scene, trained in minutes: fixed descriptors, computed once, and a regressor."""

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
        self.check_canvas()
