"""VLAD cluster centres: k-means of the local features of random places in random images (OpenIBL)."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.checkpoints.retrieval import RetrievalInfo, network_input
from relpose_ros.datasets.image_files import read_image
from relpose_ros.errors import ConfigurationError
from relpose_ros.networks.retrieval.retriever import Retriever
from relpose_ros.progress import Progress, silent
from relpose_training.data.ahead import loaded_ahead

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ClusterOptions:
    """`images` of those given, `locations` of each, `clusters` of them all; the published numbers.

    Everything random follows from `seed`. At most `iterations` of k-means, fewer once nothing moves.
    """

    images: int = 500
    locations: int = 100
    clusters: int = 64
    iterations: int = 100
    seed: int = 43


def sample_images(paths: Iterable[Path], options: ClusterOptions) -> list[Path]:
    """Some of `paths`, each once, the same ones for a seed whatever their order."""
    files = sorted(set(paths))
    generator = np.random.default_rng(options.seed)
    return [files[i] for i in sorted(generator.permutation(len(files))[: options.images])]


def sample_descriptors(
    network: Retriever,
    info: RetrievalInfo,
    paths: Sequence[Path],
    options: ClusterOptions,
    part: Path | None = None,
    progress: Progress = silent,
) -> Floats:
    """L2-normalised features of the trunk (M, D) at random places of the images `paths`, in their order.

    `part`: a folder in which each image's are kept as they come, and taken up from by the same call again;
    what lies there of other weights, images or options is thrown away. Raises ImageError for an image that
    cannot be read.
    """
    trunk = trunk_of(network)
    kept = _Kept(part, _mark(network, info, paths, options))
    missing = [number for number in range(len(paths)) if not kept.has(number)]
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        inputs = loaded_ahead((n, network_input(read_image(paths[n]), info)) for n in missing)
        for done, (number, image) in enumerate(inputs):
            with torch.inference_mode():
                features = trunk(torch.from_numpy(image).to(device))
            progress(len(paths) - len(missing) + done, len(paths), "features")
            kept.keep(number, _at_random(features[0].float().cpu(), options, number))
    finally:
        network.train(was_training)
    return np.concatenate([kept.read(number) for number in range(len(paths))])


def trunk_of(network: Retriever) -> torch.nn.Module:
    """The trunk. Raises ConfigurationError for a network that is not made for training here."""
    trunk = getattr(network, "base_model", None)
    if not isinstance(trunk, torch.nn.Module):
        raise ConfigurationError(f"expected a network with a base_model, got {type(network).__name__}")
    return trunk


def find_centres(descriptors: Floats, options: ClusterOptions, progress: Progress = silent) -> Floats:
    """Cluster centres (K, D) of descriptors (M, D) by faiss's k-means.

    Raises ConfigurationError if there are fewer descriptors than clusters.
    """
    import faiss

    count, size = descriptors.shape
    if count < options.clusters:
        raise ConfigurationError(
            f"expected {options.clusters} descriptors or more for as many clusters, got {count}; give more "
            "images or ask for fewer clusters"
        )
    first = np.random.default_rng(options.seed).permutation(count)[: options.clusters]
    centres: Floats = descriptors[np.sort(first)]
    for iteration in range(options.iterations):
        means = faiss.Kmeans(
            size,
            options.clusters,
            niter=1,
            seed=options.seed,
            min_points_per_centroid=1,
            max_points_per_centroid=count,
        )
        means.train(descriptors, init_centroids=centres)
        found = np.array(means.centroids, np.float32)
        moved, centres = float(np.abs(found - centres).max()), found
        progress(iteration + 1, options.iterations, "k-means")
        if moved < 1e-6:
            break
    return centres


def write_clusters(path: Path, centres: Floats, descriptors: Floats) -> Path:
    """`centroids` and `descriptors` as OpenIBL publishes them, or as .safetensors; appears when it is whole.

    Raises ConfigurationError for another ending.
    """
    arrays = {"centroids": np.ascontiguousarray(centres), "descriptors": np.ascontiguousarray(descriptors)}
    check_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".clusters.", dir=path.parent) as folder:
        written = Path(folder) / path.name
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file(arrays, written)
        else:
            import h5py

            with h5py.File(written, "w") as file:
                for name, values in arrays.items():
                    file[name] = values
        os.replace(written, path)
    return path


def check_ending(path: Path) -> None:
    """Raises ConfigurationError unless `path` is named as clusters are."""
    if path.suffix not in (".safetensors", ".hdf5", ".h5"):
        raise ConfigurationError(f"{path}: expected a name that ends in .safetensors, .hdf5 or .h5")


def _at_random(features: torch.Tensor, options: ClusterOptions, number: int) -> Floats:
    """Normalised features (L, D) of a map (D, h, w) at random places, each once; all if there are fewer."""
    columns = features.flatten(1)
    generator = np.random.default_rng((options.seed, number))
    chosen = np.sort(generator.permutation(columns.shape[1])[: options.locations])
    local = torch.nn.functional.normalize(columns[:, chosen].T, dim=1)
    return np.ascontiguousarray(local.numpy(), np.float32)


def _mark(network: Retriever, info: RetrievalInfo, paths: Sequence[Path], options: ClusterOptions) -> str:
    """What the descriptors depend on."""
    state = trunk_of(network).state_dict()
    weights = {name: float(value.double().abs().sum()) for name, value in state.items()}
    drawn = {**asdict(options), "clusters": 0, "iterations": 0}
    return json.dumps([weights, info.to_dict(), list(map(str, paths)), drawn])


class _Kept:
    """Descriptors of each image, in files of a folder or in memory."""

    def __init__(self, folder: Path | None, mark: str) -> None:
        self.folder, self.memory = folder, dict[int, Floats]()
        if folder is None:
            return
        note = folder / "made_of.json"
        if folder.is_dir() and (not note.is_file() or note.read_text() != mark):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not note.is_file():
            _replace(note, mark.encode())

    def has(self, number: int) -> bool:
        return self.folder is not None and self._file(number).is_file()

    def keep(self, number: int, values: Floats) -> None:
        if self.folder is None:
            self.memory[number] = values
            return
        part = self._file(number).with_suffix(".part")
        with part.open("wb") as file:
            np.save(file, values)
        os.replace(part, self._file(number))

    def read(self, number: int) -> Floats:
        if self.folder is None:
            return self.memory[number]
        values: Floats = np.load(self._file(number), allow_pickle=False)
        return values

    def _file(self, number: int) -> Path:
        return (self.folder or Path()) / f"{number:06d}.npy"


def _replace(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    os.replace(part, path)
