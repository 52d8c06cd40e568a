"""A posed-image folder again, its images translated: training data that looks like the other domain."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.checkpoints.format import CheckpointInfo, load_network
from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.download import sha256_of
from relpose_ros.datasets.posed_folder import open_posed_folder, recognises
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.evaluation.files import write_text
from relpose_ros.networks.translation.generator import CutGenerator
from relpose_ros.progress import Progress, silent
from relpose_ros.resampling import resize_short_side
from relpose_training.recipes.cut.dataset import SIGNED

Pixels = NDArray[np.uint8]

TEXTS = (
    "intrinsics.txt", "intrinsics_per_image.txt", "camera.yaml", "split.txt", "stamps.txt", "mount.yaml",
    "SOURCE.md",
)  # fmt: skip
"""Copied as they are; poses.txt comes last, and makes the folder one that is recognised."""
JPEG_QUALITY = 95


@dataclass(frozen=True)
class Translator:
    """The generator of a checkpoint; `short_side`: the size at which it was trained, px, None: any."""

    network: CutGenerator
    info: CheckpointInfo
    short_side: int | None
    device: torch.device

    @torch.inference_mode()
    def translate(self, image: Pixels) -> Pixels:
        """uint8, grey (H, W) or BGR (H, W, 3), to BGR (H, W, 3) of the same size.

        The network works at the size it was trained at, where an image is larger; what it changed there is
        enlarged and added to the image, which keeps its fine detail.
        """
        import cv2

        height, width = image.shape[:2]
        whole = SIGNED.apply(image)
        small = image
        if self.short_side is not None and min(height, width) > self.short_side:
            small = resize_short_side(image, self.short_side)
        fed = torch.from_numpy(SIGNED.apply(small))[None].to(self.device)
        change = (self.network(fed)[0] - fed)[0].cpu().numpy().transpose(1, 2, 0)
        if small is not image:
            change = cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)
        made = np.rint((whole.transpose(1, 2, 0) + change + 1) * 127.5)
        return np.ascontiguousarray(np.clip(made, 0, 255)[..., ::-1].astype(np.uint8))


def load_translator(path: str | Path, device: torch.device) -> Translator:
    """Raises CheckpointError if the file cannot be used, ConfigurationError if it is no generator's."""
    network, info = load_network(path)
    if not isinstance(network, CutGenerator):
        raise ConfigurationError(
            f"{path}: expected a checkpoint of `relpose train cut`, got one of {info.network}"
        )
    short_side = info.recipe.get("config", {}).get("short_side")
    return Translator(network.to(device), info, short_side, device)


def translate_folder(
    checkpoint: Path,
    folder: Path,
    out: Path,
    device: torch.device,
    *,
    link_depth: bool = False,
    progress: Progress = silent,
) -> int:
    """Write the posed folder `out`: images of `folder` translated, its texts copied; returns how many.

    No depth, unless `link_depth` links its folder. Raises DatasetError if `folder` is no posed folder or
    `out` has something in it already.
    """
    if not recognises(folder):
        raise DatasetError(f"{folder}: expected a folder with images/ and poses.txt (docs/datasets.md)")
    if out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out}: expected a new or empty folder, there is something in it")
    translator = load_translator(checkpoint, device)
    images = open_posed_folder(folder).images
    for done, image in enumerate(images, 1):
        _write_picture(out / "images" / image.name, _translated(translator, image))
        progress(done, len(images), image.name)
    if link_depth and (folder / "depth").is_dir():
        (out / "depth").symlink_to((folder / "depth").resolve(), target_is_directory=True)
    _write_texts(folder, out, checkpoint, translator.info)
    return len(images)


def _translated(translator: Translator, image: PosedImage) -> Pixels:
    return translator.translate(image.load())


def _write_picture(path: Path, picture: Pixels) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    parameters = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if is_jpeg else []
    if not cv2.imwrite(str(path), picture, parameters):
        raise DatasetError(f"{path}: cannot write the picture; is the disk full?")


def _write_texts(folder: Path, out: Path, checkpoint: Path, info: CheckpointInfo) -> None:
    import yaml

    for name in TEXTS:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)
    notes: dict[str, Any] = {}
    if (folder / "source.yaml").is_file():
        notes = yaml.safe_load((folder / "source.yaml").read_text(encoding="utf-8")) or {}
    notes["domain"] = "simulated"  # no camera took these
    notes["translated"] = {
        "from": str(folder.resolve()),
        "checkpoint": {"sha256": sha256_of(checkpoint), "network": info.network, "data": info.data},
        "licence": info.licence,
    }
    write_text(out / "source.yaml", yaml.safe_dump(notes, sort_keys=False))
    shutil.copyfile(folder / "poses.txt", out / "poses.txt")
