"""Features of every reference of a source, resumable after an interruption."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import ImageError
from relpose_ros.features.base import Extractor, Features
from relpose_ros.features.registry import make_extractor
from relpose_ros.maps.assemble import BuildOptions
from relpose_ros.maps.landmarks import Reference
from relpose_ros.progress import Progress, tracked


class FeatureStore:
    """Extracted features beside the map being built: `OUT.building/`, removed when it is done.

    An interrupted build finds there what it had done; another feature type or another image
    under the same name is not mixed up with it.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out.with_name(out.name + ".building")

    def get(self, key: str) -> Features | None:
        """The stored features, or None if there are none that can be read."""
        path = self.folder / f"{key}.npz"
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                return Features(stored["keypoints"], stored["scales"], stored["descriptors"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            # Written by a process that was killed: extract again.
            path.unlink(missing_ok=True)
            return None

    def put(self, key: str, features: Features) -> None:
        """Store, through a temporary name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{key}.{os.getpid()}.npz"
        np.savez(
            temporary,
            keypoints=features.keypoints,
            scales=features.scales,
            descriptors=features.descriptors,
        )
        os.replace(temporary, self.folder / f"{key}.npz")

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def extract_references(
    images: Sequence[PosedImage],
    options: BuildOptions,
    store: FeatureStore,
    progress: Progress,
) -> tuple[list[Reference], dict[str, str]]:
    """References with their features, and what was left out: name -> why."""
    extractor = make_extractor(options.feature, options.max_keypoints)
    references, left_out = [], {}
    for image in tracked(images, progress, "features"):
        try:
            features = _features(image, extractor, options, store)
        except ImageError as error:
            left_out[image.name] = str(error)
            continue
        assert image.map_from_camera is not None
        references.append(
            Reference(image.name, image.camera, image.map_from_camera, features, options.condition)
        )
    return references, left_out


def _features(
    image: PosedImage, extractor: Extractor, options: BuildOptions, store: FeatureStore
) -> Features:
    frame = image.frame()
    digest = hashlib.sha256(frame.image.tobytes())
    digest.update(f"{options.feature}:{options.max_keypoints}:{frame.image.shape}".encode())
    key = digest.hexdigest()[:32]
    stored = store.get(key)
    if stored is None:
        stored = extractor.extract(frame.image)
        store.put(key, stored)
    return stored
