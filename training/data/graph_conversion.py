"""Published graphs -> scenes: each image once, and the references of each query as they were drawn."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.colour_statistics import CAMBRIDGE, SEVEN_SCENES, ColourStatistics
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.pose_vectors import CAMBRIDGE as CAMBRIDGE_VECTORS
from relpose_ros.geometry.pose_vectors import PoseVectors
from relpose_ros.progress import Progress, silent
from relpose_ros.retrieval.graph_images import GraphInput
from relpose_training.data.graph_archives import Archive, PublishedGraph
from relpose_training.data.graph_index import clear_index, write_index
from relpose_training.data.graph_parts import PARTS
from relpose_training.data.graph_scenes import QUERY, REFERENCE, Pixels, Ranking, read_scene, write_scene
from relpose_training.data.parts import within
from relpose_training.data.place_set import slugs_of
from relpose_training.data.sequences import SPLITS

LICENCE = (
    "graphs of RelPose-GNN (Niantic): non-commercial use only; images of 7-Scenes or Cambridge Landmarks"
)
RETRIEVAL = "not known; drawn by the authors"
CAMBRIDGE_SCENES = ("KingsCollege", "OldHospital", "StMarysChurch", "ShopFacade", "GreatCourt")


@dataclass
class Collected:
    """Images of graphs as they come, each kept once in a plain file."""

    file: Path
    colours: ColourStatistics
    vectors: list[NDArray[np.float64]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    role: list[int] = field(default_factory=list)
    rows: list[tuple[int, list[int]]] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    _known: dict[bytes, int] = field(default_factory=dict)

    def add(self, graph: PublishedGraph) -> None:
        """Raises DatasetError for images of another size than before."""
        pixels = self._pixels(graph.images)
        if self.shape and pixels.shape[1:] != self.shape:
            raise DatasetError(f"{graph.file}: images of {pixels.shape[1:]}, others have {self.shape}")
        self.shape = pixels.shape[1:]
        nodes = [
            self._image(image, pose, f"{graph.number:06d}/{node}")
            for node, (image, pose) in enumerate(zip(pixels, graph.poses, strict=True))
        ]
        for node in nodes[1:]:
            self.role[node] = REFERENCE
        self.rows.append((graph.number, nodes))

    def images(self) -> Iterator[Pixels]:
        """All of them, in the order of their numbers."""
        mapped = np.memmap(self.file, np.uint8, "r", shape=(len(self.names), *self.shape))
        yield from mapped

    def ranking(self, name: str) -> Ranking:
        """Of the queries in the order of the graphs' numbers. Raises DatasetError for sizes that differ."""
        ordered = [nodes for _, nodes in sorted(self.rows)]
        if not ordered or len({len(nodes) for nodes in ordered}) > 1:
            raise DatasetError(f"{name}: expected graphs of one size, got {len(ordered)} of several or none")
        table = np.array(ordered, np.int32)
        return Ranking(
            table[:, 0], table[:, 1:], np.full(table[:, 1:].shape, np.nan, np.float32), table[:, 1:]
        )

    def _pixels(self, images: NDArray[np.float32]) -> Pixels:
        """Colours as they were before normalisation: (K, H, W, 3)."""
        deviation = np.sqrt(np.asarray(self.colours.variance, np.float32))
        values = images.transpose(0, 2, 3, 1) * deviation + np.asarray(self.colours.mean, np.float32)
        return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)

    def _image(self, pixels: Pixels, pose: NDArray[np.float64], name: str) -> int:
        key = hashlib.blake2b(pixels.tobytes() + pose.tobytes(), digest_size=16).digest()
        if key not in self._known:
            self._known[key] = len(self.names)
            self.names.append(name)
            self.vectors.append(pose)
            self.role.append(QUERY)
            with self.file.open("ab") as file:
                file.write(pixels.tobytes())
        return self._known[key]


def convert_graphs(
    paths: Sequence[Path],
    folder: Path,
    split: str = "",
    force: bool = False,
    progress: Progress = silent,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, int]:
    """Make scenes of published graphs in `folder`; returns how many queries each split has.

    `split`: "" takes each archive's name at its word. Raises DatasetError for a broken archive,
    ConfigurationError for one whose split is not known, or is there already unless `force`.
    """
    archives = [Archive(path) for path in paths]
    where = [split if split in SPLITS else archive.split for archive in archives]
    for archive, name in zip(archives, where, strict=True):
        if not name:
            raise ConfigurationError(f"{archive.path}: of which split is it? Say --split train, val or test")
    slugs = slugs_of([archive.scene for archive in archives])
    if len(set(zip(where, slugs, strict=True))) < len(archives):
        raise ConfigurationError("two archives of one scene and split; expected each once")
    clear_index(folder, where, force)
    entries: dict[str, list[dict[str, Any]]] = {}
    for done, (archive, name) in enumerate(zip(archives, where, strict=True)):
        entry = _convert(archive, folder, name, within(progress, done, len(archives)))
        entries.setdefault(name, []).append(entry)
        report(f"{archive.scene}, {name}: {entry['queries']} graphs of {entry['images']} images")
    for name, scenes in entries.items():
        made = " ".join(str(path) for path in paths)
        write_index(folder, name, scenes, GraphInput.published(), RETRIEVAL, made, {})
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    return {name: sum(entry["queries"] for entry in scenes) for name, scenes in entries.items()}


def _convert(archive: Archive, folder: Path, split: str, progress: Progress) -> dict[str, Any]:
    colours, vectors = _conventions(archive.scene)
    work = folder / PARTS / f"{split}_{archive.scene}.work"
    work.parent.mkdir(parents=True, exist_ok=True)
    work.unlink(missing_ok=True)
    collected = Collected(work, colours)
    for done, graph in enumerate(archive.graphs(), 1):
        collected.add(graph)
        progress(done, max(archive.about, done + 1), f"{archive.scene}: graph {done}")
    ranking = collected.ranking(str(archive.path))
    file = folder / split / f"{slugs_of([archive.scene])[0]}.h5"
    poses, role = vectors.read(np.stack(collected.vectors)), np.array(collected.role, np.uint8)
    write_scene(file, collected.images(), poses, collected.names, role, ranking, colours)
    work.unlink()
    return {
        "name": archive.scene,
        "file": file.relative_to(folder).as_posix(),
        **read_scene(file).counts,
        "metric": True,
        "licence": LICENCE,
    }


def _conventions(scene: str) -> tuple[ColourStatistics, PoseVectors]:
    """How the colours and the poses of a published scene are written."""
    if scene in SEVEN_SCENES:
        return SEVEN_SCENES[scene], PoseVectors()
    if scene in CAMBRIDGE_SCENES:
        return CAMBRIDGE, CAMBRIDGE_VECTORS
    raise DatasetError(
        f"{scene}: expected a scene of 7-Scenes ({', '.join(SEVEN_SCENES)}) or of Cambridge "
        f"({', '.join(CAMBRIDGE_SCENES)}): nothing else tells how its colours were normalised"
    )
