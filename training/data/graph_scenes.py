"""A scene for networks over graphs of images: pictures as the network sees them, poses, and rankings.

One HDF5 file a scene:

    images          (N, H, W, 3) uint8   RGB, as the network sees them before colours are normalised
    map_from_camera (N, 7)       float64 x y z qx qy qz qw
    names           (N,)         str
    role            (N,)         uint8   0: reference, 1: query alone
    query           (Q,)         int32   number of each query's image; a reference may be one, too
    ranked          (Q, C)       int32   the C references most similar to each query, best first, never itself
    similarity      (Q, C)       float32 of these; NaN where it is not known (published graphs)
    neighbours      (Q, K)       int32   only of published graphs: the references drawn for each query, once

and the attributes mean, variance (RGB, between 0 and 1, of the references) and made_of.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.colour_statistics import ColourStatistics
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.shards import mapped

FORMAT = "relpose.graphs/1"
REFERENCE, QUERY = 0, 1
MOST_RANKED = 100

Indices = NDArray[np.int32]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class GraphScene:
    """The scene of a file (see the module), without its images, which are read when they are wanted.

    `neighbours` has no columns where there is none.
    """

    path: Path
    map_from_camera: Rigid
    names: tuple[str, ...]
    role: NDArray[np.uint8]
    query: Indices
    ranked: Indices
    similarity: NDArray[np.float32]
    neighbours: Indices
    statistics: ColourStatistics
    made_of: str = field(default="", repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "pixels"}

    def __len__(self) -> int:
        """Images."""
        return len(self.names)

    @property
    def references(self) -> Indices:
        """Numbers of the references' images."""
        return np.flatnonzero(self.role == REFERENCE).astype(np.int32)

    @property
    def counts(self) -> dict[str, int]:
        """What an index says of it."""
        return {
            "images": len(self),
            "references": len(self.references),
            "queries": len(self.query),
            "ranked": self.ranked.shape[1],
        }

    @cached_property
    def pixels(self) -> Pixels:
        """All images (N, H, W, 3), mapped: what is not used is not read."""
        import h5py

        with h5py.File(self.path, "r") as file:
            return np.asanyarray(mapped(self.path, file["images"]))

    @property
    def height_and_width(self) -> tuple[int, int]:
        """Of its images."""
        height, width = self.pixels.shape[1:3]
        return height, width


@dataclass(frozen=True)
class Ranking:
    """What stands in the file besides images and poses: `query` (Q,), `ranked` and `similarity` (Q, C),
    `neighbours` (Q, K), all numbers of images."""

    query: Indices
    ranked: Indices
    similarity: NDArray[np.float32]
    neighbours: Indices | None = None


def write_scene(
    path: Path,
    images: Iterable[Pixels],
    poses: Rigid,
    names: Iterable[str],
    role: NDArray[np.uint8],
    ranking: Ranking,
    statistics: ColourStatistics,
    made_of: str = "",
) -> None:
    """Write a scene, whole or not at all. `images` come one after the other, (H, W, 3) RGB of one size.

    Raises DatasetError for images of several sizes, or a number of them that is not that of the poses.
    """
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    tables = {
        "map_from_camera": np.concatenate([poses.translation, poses.rotation_xyzw], axis=1),
        "role": role.astype(np.uint8),
        "query": ranking.query.astype(np.int32),
        "ranked": ranking.ranked.astype(np.int32),
        "similarity": ranking.similarity.astype(np.float32),
    }
    if ranking.neighbours is not None:
        tables["neighbours"] = ranking.neighbours.astype(np.int32)
    try:
        with h5py.File(part, "w") as file:
            file.attrs["format"], file.attrs["made_of"] = FORMAT, made_of
            file.attrs["mean"], file.attrs["variance"] = statistics.mean, statistics.variance
            for name, table in tables.items():
                file[name] = table
            file.create_dataset("names", data=list(names), dtype=h5py.string_dtype())
            _write_images(file, images, len(poses), path)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write_images(file: Any, images: Iterable[Pixels], count: int, path: Path) -> None:
    stored, done = None, 0
    for image in images:
        if stored is None:
            stored = file.create_dataset("images", (count, *image.shape), np.uint8)
        if image.shape != stored.shape[1:] or done == count:
            raise DatasetError(
                f"{path}: expected {count} images of {stored.shape[1:]}, image {done} is {image.shape}; give "
                "images of one camera, or a canonical input"
            )
        stored[done] = image
        done += 1
    if done < max(count, 1):
        raise DatasetError(f"{path}: expected {max(count, 1)} images, got {done}")


def read_scene(path: Path) -> GraphScene:
    """Open a scene. Raises DatasetError for a file that is none, is damaged, or contradicts itself."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if file.attrs["format"] != FORMAT:
                raise DatasetError(f"{path}: expected format {FORMAT}, got {file.attrs['format']!r}")
            tables = {name: file[name][()] for name in _COLUMNS}
            tables["neighbours"] = (
                file["neighbours"][()]
                if "neighbours" in file
                else np.zeros((len(tables["query"]), 0), np.int32)
            )
            names = tuple(str(name) for name in file["names"].asstr()[()])
            shape, kind = file["images"].shape, file["images"].dtype
            statistics = ColourStatistics(_triple(file.attrs["mean"]), _triple(file.attrs["variance"]))
            made_of = str(file.attrs["made_of"])
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path}: expected a scene of `relpose prepare graphs`, cannot read it ({error}); make it again"
        ) from None
    if len(shape) != 4 or shape[3] != 3 or kind != np.uint8 or min(shape) < 1:
        raise DatasetError(f"{path}: expected images (N, H, W, 3) uint8, got {shape} {kind}")
    _check(path, tables, names, shape[0])
    poses = tables.pop("map_from_camera")
    return GraphScene(
        path,
        Rigid.from_quaternion(poses[:, 3:], poses[:, :3]),
        names,
        statistics=statistics,
        made_of=made_of,
        **tables,
    )


_COLUMNS = {"map_from_camera": "f8", "role": "u1", "query": "i4", "ranked": "i4", "similarity": "f4"}


def _check(path: Path, tables: Mapping[str, NDArray[Any]], names: tuple[str, ...], count: int) -> None:
    queries, ranked = len(tables["query"]), tables["ranked"]
    wide = ranked.shape[1] if ranked.ndim == 2 else -1
    shapes = {"map_from_camera": (count, 7), "role": (count,), "query": (queries,)}
    shapes |= {"ranked": (queries, wide), "similarity": (queries, wide)}
    shapes["neighbours"] = (queries, *tables["neighbours"].shape[1:2])
    kinds = {**_COLUMNS, "neighbours": "i4"}
    for name, shape in shapes.items():
        table = tables[name]
        if table.shape != shape or table.dtype != np.dtype(kinds[name]):
            raise DatasetError(
                f"{path}: {name}: expected {shape} {kinds[name]}, got {table.shape} {table.dtype}"
            )
    if len(names) != count or not np.isfinite(tables["map_from_camera"]).all():
        raise DatasetError(
            f"{path}: expected {count} names and poses, got {len(names)} names or a pose that is none"
        )
    if np.abs(np.linalg.norm(tables["map_from_camera"][:, 3:], axis=1) - 1).max() > 1e-3:
        raise DatasetError(f"{path}: a rotation is no unit quaternion")
    _check_numbers(path, tables, count)


def _check_numbers(path: Path, tables: Mapping[str, NDArray[Any]], count: int) -> None:
    if not np.isin(tables["role"], (REFERENCE, QUERY)).all():
        raise DatasetError(f"{path}: role: expected 0 (reference) or 1 (query)")
    for name in ("query", "ranked", "neighbours"):
        if tables[name].size and not (tables[name].min() >= 0 and tables[name].max() < count):
            raise DatasetError(f"{path}: {name}: expected numbers of {count} images; it is damaged")
    for name in ("ranked", "neighbours"):
        if (tables["role"][tables[name]] != REFERENCE).any():
            raise DatasetError(f"{path}: {name}: one of them is no reference")
        if (tables[name] == tables["query"][:, None]).any():
            raise DatasetError(f"{path}: {name}: a query is its own reference")


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = np.asarray(values, float).tolist()
    if not np.isfinite([red, green, blue]).all():
        raise ConfigurationError("colour statistics that are not finite")
    return red, green, blue
