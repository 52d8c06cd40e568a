"""The ways to search global descriptors that `retrieval_index` compares."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.maps.blocks import BlockFile
from relpose_ros.maps.hdf5 import write_hdf5
from relpose_ros.maps.lazy import stored_descriptors
from relpose_ros.maps.seal import seal
from relpose_ros.maps.stored_index import DESCRIPTORS, index_about, index_arrays, stored_signatures
from relpose_ros.retrieval.index import DescriptorIndex
from relpose_ros.retrieval.signatures import build_signatures

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]
Search = Callable[[Floats, int], Indices]
"""One query (D,) and k -> the k nearest (k,), best first."""

HNSW_LINKS = 16
HNSW_BREADTH = 40
HNSW_EFFORT = 64
PRODUCT_BYTES = 64
PROBES = 64
CANDIDATES = 100
"""Answers of an approximate index that are compared again with exact descriptors."""


@dataclass
class Built:
    """An index that can be asked: in which ways, its size in a file (bytes), and seconds to open it."""

    searches: dict[str, Search]
    file_bytes: int
    open_seconds: float


@dataclass(frozen=True)
class Method:
    """A name, how to build it from descriptors (N, D) in a folder, and whether it takes k-means' centres."""

    name: str
    build: Callable[[Floats, Path, Floats], Built]
    centred: bool = False


def best(scores: Floats, k: int) -> Indices:
    """Positions of the k largest, best first."""
    top = np.argpartition(scores, -k)[-k:]
    return np.asarray(top[np.lexsort((top, -scores[top]))], np.int64)


def numpy_exact(descriptors: Floats, folder: Path, _: Floats) -> Built:
    """Every descriptor in memory as float32, one matrix product a query."""
    file = folder / "rows.npy"
    np.save(file, descriptors)
    start = time.perf_counter()
    held: Floats = np.load(file, allow_pickle=False)
    return Built({"": lambda q, k: best(held @ q, k)}, file.stat().st_size, time.perf_counter() - start)


def ours(limit: int | None) -> Callable[[Floats, Path, Floats], Built]:
    """`DescriptorIndex` on a map file's float16 rows: by signatures (0), or compared one and all (None)."""

    def build(descriptors: Floats, folder: Path, _: Floats) -> Built:
        halved = descriptors.astype(np.float16)
        signatures = None
        if limit is not None:
            count, dimension = halved.shape
            signatures = build_signatures(lambda a, b: descriptors[a:b], count, dimension)
        path = folder / "index.relmap"
        about = index_about(signatures, halved)
        write_hdf5(path, {DESCRIPTORS: halved, **index_arrays(signatures)}, about)
        seal(path)
        size = path.stat().st_size - (halved.nbytes if limit is not None else 0)
        del halved, signatures
        start = time.perf_counter()
        file = BlockFile(path, os.open(path, os.O_RDONLY))
        known = stored_signatures(file, about) if limit is not None else None
        exact = len(descriptors) if limit is None else limit
        index = DescriptorIndex(stored_descriptors(file), exact, stored=True, signatures=known)
        opened = time.perf_counter() - start
        return Built({"": lambda q, k: index.search(q, k)[0][0]}, size, opened)

    return build


def with_faiss(make: Callable[[Any, int, int, Floats], Any], rescored: bool = True) -> Any:
    """A method of faiss' `make(faiss, dimension, count, centres)`; `rescored`: also with exact rows."""

    def build(descriptors: Floats, folder: Path, centres: Floats) -> Built:
        import faiss

        index = make(faiss, descriptors.shape[1], len(descriptors), centres)
        if not index.is_trained:
            chosen = np.random.default_rng(0).permutation(len(descriptors))[:65_536]
            index.train(descriptors[np.sort(chosen)])
        index.add(descriptors)
        file = folder / "index"
        faiss.write_index(index, str(file))
        del index
        start = time.perf_counter()
        held = faiss.read_index(str(file))
        opened = time.perf_counter() - start
        if hasattr(held, "hnsw"):
            held.hnsw.efSearch = max(HNSW_EFFORT, CANDIDATES)
        if hasattr(held, "nprobe"):
            held.nprobe = PROBES
        searches = {"": _search(held, None)}
        if rescored:
            searches[", re-scored"] = _search(held, _rows(descriptors, folder))
        return Built(searches, file.stat().st_size, opened)

    return build


def _rows(descriptors: Floats, folder: Path) -> Callable[[Indices], Floats]:
    """Reads single rows of a float16 file."""
    file = folder / "rows.f16"
    descriptors.astype(np.float16).tofile(file)
    handle, row = os.open(file, os.O_RDONLY), 2 * descriptors.shape[1]
    return lambda found: np.stack(
        [np.frombuffer(os.pread(handle, row, int(i) * row), np.float16) for i in found]
    ).astype(np.float32)


def _search(index: Any, rows: Callable[[Indices], Floats] | None) -> Search:
    def search(query: Floats, k: int) -> Indices:
        _, found = index.search(query[None], k if rows is None else max(CANDIDATES, k))
        candidates: Indices = found[0][found[0] >= 0]
        if rows is None:
            return candidates
        return np.asarray(candidates[best(rows(candidates) @ query, min(k, len(candidates)))])

    return search


def _scalar(kind: str) -> Callable[[Any, int, int, Floats], Any]:
    return lambda f, d, n, c: f.IndexScalarQuantizer(
        d, getattr(f.ScalarQuantizer, kind), f.METRIC_INNER_PRODUCT
    )


def _graph(faiss: Any, dimension: int, _: int, __: Floats) -> Any:
    index = faiss.IndexHNSWFlat(dimension, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = HNSW_BREADTH
    return index


def _small_graph(faiss: Any, dimension: int, _: int, __: Floats) -> Any:
    kind = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexHNSWSQ(dimension, kind, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = HNSW_BREADTH
    return index


def _coarse(faiss: Any, centres: Floats) -> Any:
    coarse = faiss.IndexFlatIP(centres.shape[1])
    coarse.add(centres)
    coarse.this.disown()  # the index that gets it deletes it
    return coarse


def _product(faiss: Any, dimension: int, _: int, centres: Floats) -> Any:
    coarse, kind = _coarse(faiss, centres), faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFPQ(coarse, dimension, len(centres), PRODUCT_BYTES, 8, kind)
    index.own_fields = True
    index.pq.cp.max_points_per_centroid = 64  # a quarter of faiss' default: minutes less
    return index


def _bytes_in_lists(faiss: Any, dimension: int, _: int, centres: Floats) -> Any:
    coarse, kind = _coarse(faiss, centres), faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(coarse, dimension, len(centres), kind, faiss.METRIC_INNER_PRODUCT)
    index.own_fields = True
    return index


def centres_of(descriptors: Floats) -> Floats:
    """About 2 sqrt(N) centres of a sample: what all methods with inverted lists begin with."""
    import faiss

    count, dimension = descriptors.shape
    lists = int(2 ** np.round(np.log2(2 * np.sqrt(count))))
    chosen = np.random.default_rng(0).permutation(count)[: 40 * lists]
    means = faiss.Kmeans(
        dimension,
        lists,
        niter=10,
        seed=1,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=40,
    )
    means.train(descriptors[np.sort(chosen)])
    return np.array(means.centroids, np.float32)


METHODS = (
    Method("exact: float32 in memory (numpy)", numpy_exact),
    Method("**signatures, and rows of a map file**", ours(0)),
    Method("flat float32 (faiss)", with_faiss(lambda f, d, n, c: f.IndexFlatIP(d), False)),
    Method("flat float16 (faiss)", with_faiss(_scalar("QT_fp16"), False)),
    Method("flat uint8 (faiss)", with_faiss(_scalar("QT_8bit"))),
    Method("IVF uint8 (faiss)", with_faiss(_bytes_in_lists), centred=True),
    Method(f"IVF-PQ, {PRODUCT_BYTES} bytes (faiss)", with_faiss(_product), centred=True),
    Method("exact: float16 rows of a map file", ours(None)),
    Method(f"HNSW, {HNSW_LINKS} links, float32 (faiss)", with_faiss(_graph, False)),
    Method(f"HNSW, {HNSW_LINKS} links, uint8 (faiss)", with_faiss(_small_graph)),
)
"""All of them, the slowest to measure last."""
