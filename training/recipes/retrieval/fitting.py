"""A PCA of a network's descriptors, fitted once to training images, and a checkpoint that ends with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from relpose_ros.datasets.place_recognition.open import open_place_recognition
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.retrieval.pca import Pca
from relpose_training.recipes.retrieval.evaluation import PCA_IMAGES, pca_images
from relpose_training.recipes.retrieval.subjects import NetworkSubject, ShowProgress
from relpose_training.recipes.retrieval.tested import Tested


@dataclass(frozen=True)
class FittedTo:
    """Images that a PCA was fitted to, of a training split; `left_out` of them are tested as queries."""

    folder: str
    images: int
    left_out: int
    seed: int

    def __str__(self) -> str:
        return f"{self.images} training images of {self.folder}" + (
            f", without {self.left_out} that are tested as queries" if self.left_out else ""
        )


@dataclass(frozen=True)
class TrainingImages:
    """Image files to fit to, the same for every network."""

    paths: tuple[Path, ...]
    about: FittedTo


def training_images(
    tested: Sequence[Tested], folder: str | None = None, seed: int = 43, limit: int = PCA_IMAGES
) -> TrainingImages:
    """Images of the training split of `folder`, or else of the first tested set that has one.

    At most `limit`, drawn by `seed`; never one that is a query of a tested split. Raises DatasetError if
    there are none.
    """
    known = {path.resolve() for part in tested for path in part.query_paths}
    opened = {folder: open_place_recognition("auto", Path(folder))} if folder else {}
    opened = opened or {part.folder: part.dataset for part in tested}
    for place, dataset in opened.items():
        paths = [dataset.path(image) for image in pca_images(dataset.train, limit, seed)]
        kept = tuple(path for path in paths if path.resolve() not in known)
        if kept:
            return TrainingImages(kept, FittedTo(place, len(kept), len(paths) - len(kept), seed))
    raise DatasetError(
        f"{', '.join(opened)}: a PCA is fitted to training images, and there are none; name a set with a "
        "training split by --pca-data"
    )


def fit_pca(subject: NetworkSubject, images: TrainingImages, dimension: int, show: ShowProgress) -> Pca:
    """The PCA of the network's descriptors of these images.

    Raises ConfigurationError, before any is described, for more axes than there are images or values.
    """
    values = subject.retrieval.dimension
    if dimension > values or dimension >= len(images.paths):
        raise ConfigurationError(
            f"expected a PCA to at most {values} values, which {subject.name} gives, fitted to more images "
            f"than that; got {dimension} and {len(images.paths)} images; ask for fewer, or name another "
            "--pca-data"
        )
    with show() as progress:
        vectors, _ = subject.describe_files(images.paths, progress, f"{subject.name}: PCA")
    return Pca.fit(vectors, dimension)


def save_whitened(subject: NetworkSubject, pca: Pca, fitted: FittedTo, path: Path) -> dict[str, Any]:
    """Write a checkpoint whose network ends with the PCA; returns what it says of itself.

    Raises CheckpointError or ConfigurationError if the network cannot have one.
    """
    from relpose_ros.checkpoints.format import write_checkpoint
    from relpose_training.recipes.retrieval.whitening import with_whitening

    given = replace(subject.info, retrieval=subject.retrieval.to_dict())
    network, info = with_whitening(subject.network, given, pca)
    info = replace(
        info,
        origin=f"{info.origin}; PCA with whitening to {pca.dimension} values, fitted to {fitted}",
        metrics={},  # those were of the network without it
    )
    write_checkpoint(path, network.state_dict(), info)
    return asdict(info)
