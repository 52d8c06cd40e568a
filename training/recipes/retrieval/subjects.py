"""What is tested: the network of a checkpoint, as one way of describing images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from relpose_ros.checkpoints.format import load_network
from relpose_ros.checkpoints.retrieval import RetrievalInfo
from relpose_ros.datasets.download import sha256_of
from relpose_ros.errors import CheckpointError
from relpose_ros.progress import Progress
from relpose_training.engine.device import find_device
from relpose_training.recipes.retrieval.descriptions import Described, Floats, collect_rows
from relpose_training.recipes.retrieval.evaluation import descriptor_batches, image_inputs
from relpose_training.recipes.retrieval.tested import Tested

ShowProgress = Callable[[], AbstractContextManager[Progress]]


class Subject(Protocol):
    """A way of describing images."""

    name: str

    @property
    def about(self) -> dict[str, Any]:
        """What results.json says of it."""
        ...

    def describe(self, tested: Tested, show: ShowProgress) -> Described:
        """Descriptors of the queries and of the gallery."""
        ...


class NetworkSubject:
    """The network of a checkpoint on `device`; `size` (height, width) replaces the header's.

    Raises CheckpointError if the file is no retrieval checkpoint, ConfigurationError without such a device.
    """

    def __init__(
        self, path: Path, device: str = "auto", batch: int = 32, size: tuple[int, int] | None = None
    ) -> None:
        self.network, self.info = load_network(path)
        self.retrieval = RetrievalInfo.of(self.info, path)
        if self.retrieval.output not in self.network.output_names:
            raise CheckpointError(
                f"{path}: its header names the output {self.retrieval.output!r}, {self.info.network} has "
                f"{', '.join(self.network.output_names)}"
            )
        if size is not None:
            self.retrieval = replace(self.retrieval, height=size[0], width=size[1])
        self.path, self.batch, self.name = path, batch, path.stem
        self.network.to(find_device(device))

    @property
    def about(self) -> dict[str, Any]:
        """The checkpoint, and how an image is fed to it."""
        return {
            "name": self.name,
            "checkpoint": str(self.path),
            "sha256": sha256_of(self.path),
            "bytes": self.path.stat().st_size,
            "network": self.info.network,
            "origin": self.info.origin,
            "data": self.info.data,
            "licence": self.info.licence,
            "input": self.retrieval.to_dict(),
            "device": str(next(self.network.parameters()).device),
        }

    def describe(self, tested: Tested, show: ShowProgress) -> Described:
        """As the protocol says; with the Tokyo rule, queries go through it one by one in their own size."""
        with show() as progress:
            gallery, seconds = self.describe_files(tested.gallery_paths, progress, f"{self.name}: gallery")
        with show() as progress:
            stage = f"{self.name}: queries"
            queries, more = self.describe_files(tested.query_paths, progress, stage, tested.tokyo_rule)
        return Described(queries, gallery, 1000 * (seconds + more) / (len(queries) + len(gallery)))

    def describe_files(
        self, paths: Sequence[Path], progress: Progress, stage: str, whole: bool = False
    ) -> tuple[Floats, float]:
        """Descriptors (N, D) of image files, and seconds. Raises ImageError for one that cannot be read."""
        inputs = image_inputs(paths, self.retrieval, whole)
        batches = descriptor_batches(self.network, inputs, self.retrieval.output, self.batch)
        dimension = self.retrieval.dimension
        return collect_rows(batches, len(paths), dimension, progress, stage, str(self.path))
