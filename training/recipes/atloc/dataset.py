"""Views of a scene as an absolute pose regressor and its loss take them.

image   (3, H, W) float32  normalised RGB, a crop
vector  (6,)      float32  world_from_camera, less the set's origin: translation, log of the quaternion
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.pose_vectors import PoseVectors
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.scene_changes import PLAIN, Augmentation, AugmentationRange, Normalisation
from relpose_training.data.scene_storage import stored_view
from relpose_training.data.scene_views import SceneViews
from relpose_training.data.scene_warp import canvas_camera, warped_image
from relpose_training.data.shards import Sample, ShardSet
from relpose_training.recipes.atloc.config import AtLocConfig

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""What torchvision's backbones were trained with."""


class PoseViews(SceneViews):
    """`SceneViews` without what belongs to cells."""

    def prepare(self, sample: Sample, generator: np.random.Generator) -> Sample:
        view = stored_view(sample)
        how = PLAIN if self.augmentation is None else self.augmentation.draw(generator)
        image = cropped_image(view.image, view.camera, self.height, self.canvas, how)
        pose = view.map_from_camera @ _turn(how)
        return {"image": image, "vector": PoseVectors().write(pose).astype(np.float32)}


def pose_views(config: AtLocConfig, split: str, numbers: list[int] | None = None) -> PoseViews:
    """The shards of a split (default: all) as `config` asks for; changed at random for training alone."""
    change = AugmentationRange(1.0, config.turn_deg, config.brightness, config.brightness, config.tint)
    return PoseViews(
        ShardSet(config.data, split),
        numbers,
        canvas=config.crop,
        height=config.height,
        normalisation=IMAGENET,
        augmentation=change if split == "train" and config.augment else None,
    )


def cropped_image(
    image: NDArray[np.uint8],
    camera: Camera,
    height: int,
    crop: tuple[int, int],
    how: Augmentation = PLAIN,
) -> NDArray[np.float32]:
    """Of uint8 pixels of `camera`, resized to a short side of `height`, the part (3, *crop) that is fed.

    By default the middle; smaller images are continued by their mirror image.
    """
    target = canvas_camera(camera, height, how, crop)
    return IMAGENET.apply(warped_image(image, camera, target, _turn(how)), how)


def _turn(how: Augmentation) -> Rigid:
    """old_camera_from_new."""
    return Rigid.from_rotation_vector([0, 0, how.angle], np.zeros(3))
