"""What can be set when an absolute pose regressor is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import STRICT, EngineConfig, Positive

STRIDE = 8


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AtLocConfig(EngineConfig):
    """A network that says where an image was taken, of one scene: a baseline, not for robots."""

    data: str
    """Folder or bucket with the shards of train and val (`relpose prepare scene`)."""
    network: Literal["atloc_small", "atloc"] = "atloc_small"
    """atloc is as published, of 25 million parameters; atloc_small has 2 million, for a CPU."""
    backbone: Path | None = None
    """A file with the weights of torchvision's ResNet-34 (.pth, .safetensors) that network=atloc begins
    with; unset: random ones, which costs much accuracy."""
    start_from: Path | None = None
    """A checkpoint of this recipe whose weights are the first ones."""
    height: Positive = 256
    """Short side of the images, px."""
    crop: tuple[Positive, Positive] = (256, 256)
    """Height and width of the part that the network sees, px, multiples of 8: at random in training, the
    middle in validation and use."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Of the features before the heads."""
    turn_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Images, and poses with them, are turned about the optical axis by up to so much; published: 0."""
    brightness: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Largest change of brightness and contrast, a share."""
    tint: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Largest change of each colour, a share."""
    beta: float = 0.0
    """First log weight of the translation, in deviations of the training poses; learned from there."""
    gamma: float = -3.0
    """First log weight of the rotation, in half radians; learned from there."""
    augment: bool = True
    """Crop, turn and relight at random."""
    licence: str = "not stated"
    """Of the weights: what the licence of the data allows."""

    def __post_init__(self) -> None:
        if any(side % STRIDE for side in self.crop):
            raise ConfigurationError(f"expected a crop of multiples of {STRIDE}, got {self.crop}")
        if self.backbone is not None and self.network != "atloc":
            raise ConfigurationError("backbone= has the weights of a whole ResNet-34: expected network=atloc")
        if self.backbone is not None and self.start_from is not None:
            raise ConfigurationError("backbone= and start_from= both say what to begin with: give one")
