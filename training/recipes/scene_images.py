"""What recipes that learn one scene have in common: their images, how these change in training, their set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from relpose_ros.errors import ConfigurationError
from relpose_training.data.cell_labels import STRIDE
from relpose_training.data.label_statistics import ImageStatistics
from relpose_training.data.scene_changes import AugmentationRange, Normalisation
from relpose_training.data.scene_views import Extra, SceneViews
from relpose_training.data.shards import ShardSet
from relpose_training.engine.configuration import STRICT, EngineConfig, Positive
from relpose_training.engine.device import Place


@dataclass(frozen=True, kw_only=True, config=STRICT)
class SceneImagesConfig(EngineConfig):
    """Settings of the images of one scene."""

    data: str
    """Folder or bucket with the shards of train and val (`relpose prepare scene`)."""
    height: Positive = 480
    """Short side of the images that the network is made for, px."""
    canvas: tuple[Positive, Positive] | None = None
    """Height and width of what the network sees in training, px, multiples of 8; unset: the whole usual image
    of the set at `height`."""
    augment_scale: Annotated[float, Field(ge=1, le=4)] = 1.5
    """Images are scaled by 1/this to this, poses and labels with them; 1: not."""
    augment_angle_deg: Annotated[float, Field(ge=0, le=180)] = 30.0
    """Images are turned by up to this, either way, poses and labels with them."""
    augment_light: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share by which brightness and contrast change."""
    augment_tint: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share by which each colour changes, of networks that see colour."""
    licence: str = "not stated"
    """Of the weights: what the licence of the data allows."""

    @property
    def augmentation(self) -> AugmentationRange:
        """How far training images are changed."""
        light = self.augment_light
        return AugmentationRange(self.augment_scale, self.augment_angle_deg, light, light, self.augment_tint)

    def check_canvas(self) -> None:
        """Raises ConfigurationError where the canvas is not of whole cells."""
        if self.canvas is not None and any(side % STRIDE for side in self.canvas):
            raise ConfigurationError(f"expected a canvas of multiples of {STRIDE}, got {self.canvas}")


def views_of(
    config: SceneImagesConfig,
    images: ImageStatistics,
    shards: ShardSet,
    numbers: Sequence[int] | None = None,
    *,
    augment: bool,
    extras: Sequence[Extra] = (),
) -> SceneViews:
    """Views of these shards (default: all), normalised by `images` and augmented as configured, or not."""
    return SceneViews(
        shards,
        numbers,
        canvas=config.canvas,
        height=config.height,
        normalisation=Normalisation(images.mean, images.deviation),
        augmentation=config.augmentation if augment else None,
        extras=extras,
    )


def split_of(
    config: SceneImagesConfig, images: ImageStatistics, split: str, place: Place, *, augment: bool
) -> SceneViews:
    """The views of a split that one process sees."""
    shards = ShardSet(config.data, split)
    return views_of(config, images, shards, shards.of_rank(place.rank, place.world), augment=augment)
