"""One source as a scene, or as one in each split: looked at, ranked, written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.colour_statistics import SEVEN_SCENES, ColourStatistics
from relpose_ros.datasets.download import sha256_of
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.progress import Progress, silent
from relpose_ros.retrieval.graph_images import GraphInput, colour_statistics, graph_pixels
from relpose_training.data.graph_index import write_json
from relpose_training.data.graph_ranking import Descriptions, ranking_of
from relpose_training.data.graph_roles import Queries, Roles, divided_roles, usable, whole_roles
from relpose_training.data.graph_scenes import (
    MOST_RANKED,
    QUERY,
    REFERENCE,
    GraphScene,
    Pixels,
    read_scene,
    write_scene,
)
from relpose_training.data.graphs import GraphOptions
from relpose_training.data.place_set import file_state
from relpose_training.data.sequences import PosedSequence, licence_of, metric_of

PARTS = ".parts"


@dataclass(frozen=True)
class GraphSetOptions:
    """How scenes are made.

    `input`: how the network sees images; `retrieval`: file of what ranks, "" for a VLAD of the scene's own
    features, at most `keypoints` an image; `queries`: see `whole_roles`; at most `images` of a source,
    evenly; `ranked` references of each query are kept. `drawn`: also draw neighbours once, as published
    graphs have them. Raises ConfigurationError out of range.
    """

    input: GraphInput = field(default_factory=GraphInput)
    retrieval: str = ""
    keypoints: int = 1000
    queries: Queries = "auto"
    images: int = 2000
    ranked: int = MOST_RANKED
    drawn: GraphOptions | None = None

    def __post_init__(self) -> None:
        if self.images < 2 or not 1 <= self.ranked <= MOST_RANKED or self.keypoints < 16:
            raise ConfigurationError(
                f"expected 2 images or more, 1 to {MOST_RANKED} ranked, 16 keypoints or more; got "
                f"{self.images}, {self.ranked} and {self.keypoints}"
            )


@dataclass(frozen=True)
class ScenePart:
    """One source in the folder of a set: a scene in `split`, or, if that is "", one in each of `shares`."""

    folder: Path
    sequence: PosedSequence
    options: GraphSetOptions
    slug: str
    split: str
    shares: tuple[tuple[str, float], ...] = ()

    @property
    def name(self) -> str:
        """Of its source."""
        return self.sequence.name

    @property
    def splits(self) -> set[str]:
        """Those that it may be in."""
        return {self.split} if self.split else {"test", *(name for name, _ in self.shares)}

    @property
    def key(self) -> str:
        """Changes with the source, its files and the options."""
        path = getattr(self.sequence, "path", None)
        paths = () if path is None else (path,)
        retrieval = sha256_of(Path(self.options.retrieval)) if self.options.retrieval else ""
        options = json.dumps(asdict(self.options), sort_keys=True)
        text = f"{self.sequence!r} {file_state(paths)} {self.slug} {self.split} {self.shares} {options}"
        return hashlib.sha256(f"{text} {retrieval}".encode()).hexdigest()[:16]

    def done(self) -> bool:
        """Whether it was made before, and no other run has replaced it."""
        if not self._file.is_file():
            return False
        scenes = json.loads(self._file.read_text(encoding="utf-8"))
        try:
            return all(read_scene(self._scene(name)).made_of == self.key for name in scenes)
        except DatasetError:
            return False

    def make(self, progress: Progress = silent) -> None:
        """Look at every image, rank, write the scenes, and at last write down that it is done."""
        images = usable(self.sequence.images(), self.options.images, self.name)
        roles = self._roles(images)
        descriptions = Descriptions(
            self.options.retrieval, self.options.keypoints, self.options.drawn is not None
        )
        work = self.folder / PARTS / f"{self.key}.work"
        try:
            pixels = self._look(images, descriptions, work, progress)
            entries = {
                split: self._write(split, chosen, images, pixels, descriptions)
                for split, chosen in roles.items()
            }
        finally:
            work.unlink(missing_ok=True)
        write_json(self._file, entries)

    def entries(self) -> dict[str, dict[str, Any]]:
        """What the index of each split says of it."""
        found: dict[str, dict[str, Any]] = json.loads(self._file.read_text(encoding="utf-8"))
        return found

    def sentence(self) -> str:
        """What it holds."""
        return "; ".join(
            f"{split}: {entry['queries']} queries, {entry['references']} references, {entry['ranked']} ranked"
            for split, entry in self.entries().items()
        )

    def _roles(self, images: Sequence[PosedImage]) -> dict[str, Roles]:
        if self.split:
            return {self.split: whole_roles(images, self.split, self.options.queries, self.name)}
        return divided_roles(images, dict(self.shares), self.options.queries)

    def _look(
        self, images: Sequence[PosedImage], descriptions: Descriptions, work: Path, progress: Progress
    ) -> Pixels:
        """What the network sees of all images, in the file `work`; they are described on the way."""
        work.parent.mkdir(parents=True, exist_ok=True)
        out: Pixels | None = None
        for done, image in enumerate(images):
            raw = image.load()
            descriptions.add(raw)
            seen = graph_pixels(raw, image.camera, self.options.input)
            if out is None:
                out = np.memmap(work, np.uint8, "w+", shape=(len(images), *seen.shape))
            if seen.shape != out.shape[1:]:
                raise DatasetError(
                    f"{self.name}: {image.name!r} is seen as {seen.shape[1]}x{seen.shape[0]}, others as "
                    f"{out.shape[2]}x{out.shape[1]}; leave --short-side out, then all are seen by one camera"
                )
            out[done] = seen
            progress(done + 1, len(images), f"{self.name}: image {done + 1}")
        assert out is not None
        return out

    def _write(
        self,
        split: str,
        roles: Roles,
        images: Sequence[PosedImage],
        pixels: Pixels,
        descriptions: Descriptions,
    ) -> dict[str, Any]:
        """What the index says of the scene that this writes."""
        file = self._scene(split)
        colours = SEVEN_SCENES.get(self.name) if self.options.input.per_scene else None
        try:
            vectors = descriptions.vectors(roles.references)
            similarity = vectors[roles.queries] @ vectors[roles.references].T
            scene = store_scene(file, images, pixels, roles, similarity, self.options, colours, self.key)
        except DatasetError as error:
            raise DatasetError(f"{self.name}, {split}: {error}") from error
        return {
            "name": self.name,
            "file": file.relative_to(self.folder).as_posix(),
            **scene.counts,
            "metric": metric_of(self.sequence),
            "licence": licence_of(self.sequence),
        }

    def _scene(self, split: str) -> Path:
        return self.folder / split / f"{self.slug}.h5"

    @property
    def _file(self) -> Path:
        return self.folder / PARTS / f"{self.key}.json"


def store_scene(
    file: Path,
    images: Sequence[PosedImage],
    pixels: Pixels,
    roles: Roles,
    similarity: NDArray[np.floating],
    options: GraphSetOptions,
    colours: ColourStatistics | None = None,
    made_of: str = "",
) -> GraphScene:
    """Write the scene of these `roles` to `file`, and open it.

    `images` all have poses; `pixels` (N, H, W, 3) are what the network sees of them; `similarity` (Q, R) of
    queries to references. `colours`: by default those of the references. Raises DatasetError.
    """
    taken = roles.images
    query, references = (np.searchsorted(taken, k) for k in (roles.queries, roles.references))
    ranking = ranking_of(similarity, query, references, options.ranked, options.drawn)
    role = np.full(len(taken), QUERY, np.uint8)
    role[references] = REFERENCE
    chosen = [images[k] for k in taken.tolist()]
    poses = Rigid.stack([image.map_from_camera for image in chosen if image.map_from_camera is not None])
    shown = (np.asarray(pixels[k]) for k in taken.tolist())
    colours = colours or colour_statistics(pixels[roles.references])
    write_scene(file, shown, poses, [image.name for image in chosen], role, ranking, colours, made_of)
    return read_scene(file)
