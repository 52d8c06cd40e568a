"""The weight-free default beside trained networks: VLAD of the map's own features, learnt on the gallery."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.image_files import read_image
from relpose_ros.errors import DatasetError
from relpose_ros.features.registry import make_extractor
from relpose_ros.progress import Progress, tracked
from relpose_ros.retrieval.vlad import Vlad
from relpose_training.recipes.retrieval.descriptions import Described, Floats, empty_rows
from relpose_training.recipes.retrieval.subjects import ShowProgress
from relpose_training.recipes.retrieval.tested import Tested

VLAD = "vlad"
"""The word that stands for it where a checkpoint may stand."""

FEATURE, KEYPOINTS = "rootsift64", 1500
"""As `BuildOptions` of maps has them; a test compares."""

LARGEST_TRAINING = 3000
"""Gallery images that centres and whitening are learnt from, at most (a gigabyte of features)."""


class VladSubject:
    """RootSIFT and VLAD with the options of a map, trained on the gallery as a map trains on its references.

    From a gallery of more than LARGEST_TRAINING images some are drawn, always the same ones.
    """

    name = VLAD

    def __init__(self) -> None:
        self._extractor = make_extractor(FEATURE, KEYPOINTS)

    @property
    def about(self) -> dict[str, Any]:
        """What it is, in words."""
        return {
            "name": VLAD,
            "features": FEATURE,
            "keypoints": KEYPOINTS,
            "data": f"the tested gallery, at most {LARGEST_TRAINING} of its images",
            "input": "whole images in their own size, grey",
            "device": "cpu",
        }

    def describe(self, tested: Tested, show: ShowProgress) -> Described:
        """As the protocol says. Raises DatasetError if no image of the gallery has features."""
        began = time.perf_counter()
        with show() as progress:
            vlad, known = self._train(tested, progress)
        with show() as progress:
            gallery = self._encode(vlad, tested.gallery_paths, known, progress, f"{VLAD}: gallery")
        with show() as progress:
            queries = self._encode(vlad, tested.query_paths, {}, progress, f"{VLAD}: queries")
        seconds = time.perf_counter() - began
        return Described(queries, gallery, 1000 * seconds / (len(queries) + len(gallery)))

    def _train(self, tested: Tested, progress: Progress) -> tuple[Vlad, dict[int, Floats]]:
        paths = tested.gallery_paths
        chosen = training_images(len(paths))
        features = {
            int(i): self._features(paths[i]) for i in tracked(list(chosen), progress, f"{VLAD}: training")
        }
        if not any(len(f) for f in features.values()):
            raise DatasetError(
                f"{tested.folder}: no features in any of {len(features)} gallery images; are they blank, or "
                "much too small?"
            )
        return Vlad.train(list(features.values())), features

    def _encode(
        self, vlad: Vlad, paths: Sequence[Path], known: dict[int, Floats], progress: Progress, stage: str
    ) -> Floats:
        rows = empty_rows(len(paths), vlad.dimension)
        for i in tracked(range(len(paths)), progress, stage):
            rows[i] = vlad.encode(known[i] if i in known else self._features(paths[i]))
        return rows

    def _features(self, path: Path) -> Floats:
        return self._extractor.extract(read_image(path)).descriptors


def training_images(count: int) -> NDArray[np.int64]:
    """Which of `count` gallery images VLAD is learnt from."""
    if count <= LARGEST_TRAINING:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, LARGEST_TRAINING, replace=False))
