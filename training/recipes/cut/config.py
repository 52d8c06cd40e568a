"""What can be set when a translation between two domains is trained."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.configuration import STRICT, EngineConfig, Positive, Rate, Share

MULTIPLE = 8
SMALLEST = 32


@dataclass(frozen=True, kw_only=True, config=STRICT)
class CutConfig(EngineConfig):
    """Images of `source` shall look as those of `target`, and show what they showed."""

    source: str
    """Images to be translated: a folder of images, a posed source, or the shards of a scene (then those of
    the domain simulated, if there are both)."""
    target: str
    """Images that show the looks to have: the same kinds (of a scene with both domains, the real ones)."""
    generator: Literal["small", "published"] = "small"
    """published: 64 channels, 9 blocks, 11 million parameters; small: 16 and 4, for a CPU."""
    short_side: Positive = 240
    """What the short side of every image becomes, px: both domains are to show things in like sizes."""
    crop: Positive = 128
    """Side of the squares that are trained on, px, a multiple of 8."""
    holdout: Share = 0.1
    """Share of the images of a folder that is kept for validation; of shards, that is the split val."""
    flip: bool = True
    """Mirror images left to right at random."""
    patches: Positive = 256
    """Places in each map whose patches are compared."""
    temperature: Rate = 0.07
    """Of the contrastive loss."""
    nce_weight: Rate = 1.0
    """Of the contrastive loss. FastCUT: 10, with identity=false."""
    gan_weight: Rate = 1.0
    """Of the adversarial loss of the generator."""
    identity: bool = True
    """Images of the target are translated, too, and shall stay what they are."""
    discriminator_channels: Positive | None = None
    """In its first layer; unset: as many as the generator has (published: 64)."""
    batch_size: Positive = 1
    """Images of each domain in a step, on each device."""
    learning_rate: Rate = 2e-4
    """Of generator, discriminator and projections."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """First beta of Adam, as published."""
    licence: str = "not stated"
    """Of the weights: what the licence of the data allows."""

    def __post_init__(self) -> None:
        if self.crop % MULTIPLE or not SMALLEST <= self.crop <= self.short_side:
            raise ConfigurationError(
                f"expected crop to be a multiple of {MULTIPLE} from {SMALLEST} up to short_side="
                f"{self.short_side}, got {self.crop}"
            )
        if not 0 < self.holdout < 1:
            raise ConfigurationError(f"expected holdout between 0 and 1, got {self.holdout}")
