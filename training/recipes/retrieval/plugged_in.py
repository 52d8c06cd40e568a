"""A model that others published, plugged in by its YAML, beside trained networks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from relpose_ros.datasets.image_files import read_image
from relpose_ros.progress import Progress, tracked
from relpose_ros.retrieval.plugged_in import OnnxDescriber
from relpose_training.recipes.retrieval.descriptions import Described, Floats, empty_rows
from relpose_training.recipes.retrieval.subjects import ShowProgress
from relpose_training.recipes.retrieval.tested import Tested

ENDINGS = (".yaml", ".yml")


class PluggedInSubject:
    """What a robot would run, image by image, on the CPU. Queries have the model's size under every rule.

    Raises CheckpointError if the YAML or the model cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.stem
        self._describer = OnnxDescriber(path)

    @property
    def about(self) -> dict[str, Any]:
        """The model, and how an image is fed to it."""
        identity = self._describer.identity.to_dict()
        return {"name": self.name, "checkpoint": str(self.path), "device": "cpu", "model": identity}

    def describe(self, tested: Tested, show: ShowProgress) -> Described:
        """As the protocol says."""
        began = time.perf_counter()
        with show() as progress:
            gallery = self._describe(tested.gallery_paths, progress, f"{self.name}: gallery")
        with show() as progress:
            queries = self._describe(tested.query_paths, progress, f"{self.name}: queries")
        seconds = time.perf_counter() - began
        return Described(queries, gallery, 1000 * seconds / (len(queries) + len(gallery)))

    def _describe(self, paths: Sequence[Path], progress: Progress, stage: str) -> Floats:
        rows = empty_rows(len(paths), self._describer.dimension)
        for i, path in enumerate(tracked(paths, progress, stage)):
            rows[i] = self._describer.describe(read_image(path))
        return rows
