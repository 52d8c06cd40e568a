"""Published pre-processed graphs (data_*.pt in a folder or a .tar), read without unpickling their classes.

Each file is a pickled torch_geometric `Data` of eight images: `x` (8, 3 * H * W) normalised planes, node 0
the query, `y` (8, 6) pose vectors. PyTorch's restricted reader reads them, with placeholders that hold what
it finds in place of torch_geometric's classes, which are not even imported.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError

GRAPH = re.compile(r"(?:.*/)?data_(\d+)\.pt$")
LARGEST = 1 << 26
TYPICAL = 8 * 3 * 256 * 341 * 4
"""Bytes of a file, at most and of 7-Scenes."""
ROWS = 256
"""Of every published image: the shorter side."""
CLASSES = (
    "torch_geometric.data.data.Data",
    "torch_geometric.data.storage.GlobalStorage",
    "torch_geometric.data.storage.BaseStorage",
)


class PublishedGraph(NamedTuple):
    """`images` (K, 3, H, W) normalised RGB, `poses` (K, 6) as written, node 0 the query."""

    number: int
    file: str
    images: NDArray[np.float32]
    poses: NDArray[np.float64]


@dataclass(frozen=True)
class Archive:
    """What the name says: `<scene>_fc8_sp5_test`, as a folder (its `processed` may be given) or a .tar."""

    path: Path

    @property
    def stem(self) -> str:
        path = self.path.resolve()
        return (path.parent if path.name == "processed" else path).name.split(".tar")[0]

    @property
    def scene(self) -> str:
        return self.stem.split("_fc")[0]

    @property
    def split(self) -> str:
        """ "train" or "test", or "" where the name says neither."""
        return next((split for split in ("train", "test") if self.stem.endswith(f"_{split}")), "")

    @property
    def about(self) -> int:
        """Graphs that it holds, more or less: a .tar would have to be read to know."""
        if self.path.is_dir():
            return len(_graph_files(self.path))
        return self.path.stat().st_size // TYPICAL

    def graphs(self) -> Iterator[PublishedGraph]:
        """One after the other, in the order of a folder's numbers, or as they lie in a .tar.

        Raises DatasetError for one that is broken.
        """
        for name, data in self._files():
            yield read_graph(data, f"{self.path}/{name}" if self.path.is_file() else name)

    def _files(self) -> Iterator[tuple[str, bytes]]:
        if self.path.is_dir():
            for file in sorted(_graph_files(self.path), key=_number):
                yield str(file), _within(file.read_bytes(), str(file))
            return
        try:
            with tarfile.open(self.path) as archive:
                for member in archive:
                    if not (member.isfile() and GRAPH.match(member.name)):
                        continue
                    opened = archive.extractfile(member)
                    assert opened is not None
                    yield member.name, _within(opened.read(LARGEST + 1), member.name)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DatasetError(f"{self.path}: not a whole archive ({error}); download it again") from error


def holds_graphs(path: Path) -> bool:
    """Whether it is an archive of published graphs, or a folder of them."""
    if path.is_dir():
        return bool(_graph_files(path))
    return path.is_file() and bool(re.search(r"_fc\d+_sp\d+_\w+\.(tar|tgz)", path.name))


def read_graph(data: bytes, name: str) -> PublishedGraph:
    """A graph out of the bytes of its file; `name` is for errors. Raises DatasetError; executes nothing."""
    found = GRAPH.match(name)
    tensors = _tensors(data, name)
    try:
        x, y = tensors["x"], tensors["y"]
        images = x.reshape(len(y), 3, ROWS, -1).to(torch.float32).numpy()
        poses = y.reshape(len(y), 6).to(torch.float64).numpy()
    except (KeyError, RuntimeError, TypeError) as error:
        raise DatasetError(
            f"{name}: expected images x (K, 3 * {ROWS} * W) and poses y (K, 6), got "
            f"{ {key: tuple(value.shape) for key, value in tensors.items()} } ({error})"
        ) from None
    if not (np.isfinite(poses).all() and np.isfinite(images).all()) or len(poses) < 2 or not images.size:
        raise DatasetError(f"{name}: a pose or an image has values that are not finite, or there are none")
    return PublishedGraph(int(found.group(1)) if found else 0, name, images, poses)


class _Held:
    """In place of a class of torch_geometric: keeps the state that the file gives it."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _tensors(data: bytes, name: str) -> dict[str, torch.Tensor]:
    """Everything that is a tensor, by its name, wherever the classes had put it."""
    try:
        with _placeholders():
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - PyTorch's reader raises whatever a broken file leads it to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"{name}: refused or broken ({reason:.200}); expected a graph of torch_geometric with nothing "
            "but tensors. Nothing of it was executed"
        ) from None
    out: dict[str, torch.Tensor] = {}
    _collect(content, out, depth=0)
    return out


def _collect(value: Any, out: dict[str, torch.Tensor], depth: int) -> None:
    """Through dictionaries and placeholders, no deeper than needed: a storage refers back to its graph."""
    state = getattr(value, "state", None) if isinstance(value, _Held) else value
    if not isinstance(state, dict) or depth > 3:
        return
    for key, inner in state.items():
        if isinstance(inner, torch.Tensor):
            out.setdefault(str(key), inner)
        elif key != "_parent":
            _collect(inner, out, depth + 1)


@contextmanager
def _placeholders() -> Iterator[None]:
    held: list[Any] = [(type(f"Held{k}", (_Held,), {}), name) for k, name in enumerate(CLASSES)]
    with torch.serialization.safe_globals(held):
        yield


def _graph_files(folder: Path) -> list[Path]:
    inner = folder / "processed"
    return [
        file for file in (inner if inner.is_dir() else folder).glob("data_*.pt") if GRAPH.match(str(file))
    ]


def _number(file: Path) -> int:
    found = GRAPH.match(str(file))
    return int(found.group(1)) if found else 0


def _within(data: bytes, name: str) -> bytes:
    if len(data) > LARGEST:
        raise DatasetError(f"{name}: larger than {LARGEST >> 20} MiB; no published graph is")
    return data
