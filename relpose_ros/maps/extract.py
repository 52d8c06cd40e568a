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
from relpose_ros.retrieval.describer import Describer, Floats
from relpose_ros.types import Frame


class FeatureStore:
    """Features and global descriptors beside the map being built: `OUT.building/`, removed when it is done.

    An interrupted build finds there what it had done; another feature type, another describer or another
    image under the same name is not mixed up with it.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out.with_name(out.name + ".building")

    def get(self, key: str) -> Features | None:
        """The stored features, or None if there are none that can be read."""
        found = self._read(key, ("keypoints", "scales", "descriptors"))
        return None if found is None else Features(*found)

    def put(self, key: str, features: Features) -> None:
        """Store, through a temporary name."""
        self._write(
            key, keypoints=features.keypoints, scales=features.scales, descriptors=features.descriptors
        )

    def get_descriptor(self, key: str) -> Floats | None:
        """The stored global descriptor (G,), or None."""
        found = self._read(f"{key}.global", ("descriptor",))
        return None if found is None else found[0]

    def put_descriptor(self, key: str, descriptor: Floats) -> None:
        """Store a global descriptor."""
        self._write(f"{key}.global", descriptor=descriptor)

    def _read(self, key: str, names: Sequence[str]) -> list[Floats] | None:
        path = self.folder / f"{key}.npz"
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                return [stored[name] for name in names]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            # Written by a process that was killed: extract again.
            path.unlink(missing_ok=True)
            return None

    def _write(self, key: str, **arrays: Floats) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{key}.{os.getpid()}.npz"
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, self.folder / f"{key}.npz")

    def remove(self) -> None:
        """Forget everything."""
        shutil.rmtree(self.folder, ignore_errors=True)


def extract_references(
    images: Sequence[PosedImage],
    options: BuildOptions,
    store: FeatureStore,
    progress: Progress,
    describer: Describer | None = None,
) -> tuple[list[Reference], dict[str, str]]:
    """References with their features, and what was left out: name -> why.

    With a `describer` that looks at images, with their global descriptors too.
    """
    extractor = make_extractor(options.feature, options.max_keypoints)
    references, left_out = [], {}
    for image in tracked(images, progress, "features"):
        try:
            frame = image.frame()
            features = _features(frame, extractor, options, store)
            descriptor = _descriptor(frame, describer, store) if describer is not None else None
        except ImageError as error:
            left_out[image.name] = str(error)
            continue
        assert image.map_from_camera is not None
        condition = options.condition or image.condition
        references.append(
            Reference(image.name, image.camera, image.map_from_camera, features, condition, descriptor)
        )
    return references, left_out


def _features(frame: Frame, extractor: Extractor, options: BuildOptions, store: FeatureStore) -> Features:
    key = _key(frame, f"{options.feature}:{options.max_keypoints}")
    stored = store.get(key)
    if stored is None:
        stored = extractor.extract(frame.image)
        store.put(key, stored)
    return stored


def _descriptor(frame: Frame, describer: Describer, store: FeatureStore) -> Floats | None:
    """By what looks at images; VLAD's come later, from the features of all."""
    if not describer.needs_image:
        return None
    key = _key(frame, describer.identity.digest)
    stored = store.get_descriptor(key)
    if stored is None or stored.shape != (describer.dimension,):
        stored = describer.describe(frame.image, None)
        store.put_descriptor(key, stored)
    return stored


def _key(frame: Frame, how: str) -> str:
    digest = hashlib.sha256(frame.image.tobytes())
    digest.update(f"{how}:{frame.image.shape}".encode())
    return digest.hexdigest()[:32]
