"""What a trained regressor says of the images of a source, and how wrong it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from relpose_ros.checkpoints.format import CheckpointInfo, load_network
from relpose_ros.checkpoints.scene import SceneInfo
from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.evaluation.metrics import pose_error
from relpose_ros.geometry.pose_vectors import PoseVectors
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.networks.absolute_pose.atloc import AtLoc
from relpose_ros.progress import Progress, silent, tracked
from relpose_training.recipes.atloc.dataset import cropped_image


@dataclass(frozen=True)
class Subject:
    """A checkpoint under test: its network, scene, and the part of an image that it is shown."""

    network: AtLoc
    info: CheckpointInfo
    scene: SceneInfo
    crop: tuple[int, int]

    @torch.inference_mode()
    def locate(self, image: PosedImage) -> tuple[Rigid, float]:
        """map_from_camera, as the network says, and its milliseconds."""
        fed = cropped_image(image.load(), image.camera, self.scene.height, self.crop)
        started = time.perf_counter()
        translation, log = self.network(torch.from_numpy(fed)[None])
        milliseconds = 1000 * (time.perf_counter() - started)
        found = PoseVectors().read(torch.cat([translation, log], dim=1)[0].double().numpy())
        return Rigid(found.rotation, found.translation + self.scene.origin), milliseconds


@dataclass(frozen=True)
class ImageResult:
    """Errors of one image, `translation` in the map's unit, and the network's time."""

    name: str
    translation: float
    rotation_deg: float
    network_ms: float


def load_subject(path: str | Path) -> Subject:
    """The network of a checkpoint of this recipe, on the CPU.

    Raises CheckpointError if the file cannot be used, ConfigurationError if it is of another recipe.
    """
    network, info = load_network(path)
    crop = info.recipe.get("config", {}).get("crop")
    if not isinstance(network, AtLoc) or crop is None:
        raise ConfigurationError(
            f"{path}: expected a checkpoint of `relpose train atloc`, got one of {info.network}"
        )
    return Subject(network, info, SceneInfo.of(info, path), (int(crop[0]), int(crop[1])))


def examine(subject: Subject, images: Sequence[PosedImage], progress: Progress = silent) -> list[ImageResult]:
    """Results of images. Raises DatasetError for one without a pose."""
    results = []
    for image in tracked(images, progress, "testing"):
        if image.map_from_camera is None:
            raise DatasetError(f"{image.name}: expected an image with a pose, got one without")
        found, milliseconds = subject.locate(image)
        twist = pose_error(found, image.map_from_camera)
        far, turned = float(np.linalg.norm(twist[:3])), float(np.degrees(np.linalg.norm(twist[3:])))
        results.append(ImageResult(image.name, far, turned, milliseconds))
    return results
