"""Graphs to train and to test on: a query and references drawn from its ranking, anew in each epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.text_files import read_text, safe_name
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.geometry.relative_vectors import InSourceFrame, RelativeVectors
from relpose_ros.retrieval.diversity import strided_neighbours
from relpose_ros.retrieval.graph_images import GraphInput, normalised
from relpose_training.data.graph_borders import narrowed
from relpose_training.data.graph_scenes import FORMAT, GraphScene, read_scene
from relpose_training.data.graphs import GraphOptions, pair_targets
from relpose_training.data.illumination import change_light
from relpose_training.data.shards import Sample
from relpose_training.data.stream import Dataset

Indices = NDArray[np.int64]
TRIES = 100


@dataclass(frozen=True)
class GraphSplit:
    """One split of a folder that `relpose prepare graphs` made; `about` is its index as it stands."""

    folder: Path
    split: str
    names: tuple[str, ...]
    scenes: tuple[GraphScene, ...]
    input: GraphInput
    about: dict[str, Any]

    @property
    def metric(self) -> bool:
        """Whether the unit of all scenes is the metre."""
        return all(entry.get("metric", False) for entry in self.about["scenes"])

    def chosen(self, only: Sequence[str] = (), leave_out: Sequence[str] = ()) -> GraphSplit:
        """With these scenes only, or without those. Raises ConfigurationError for a name that is none of its,
        or if nothing is left."""
        unknown = sorted({*only, *leave_out} - set(self.names))
        kept = [k for k, n in enumerate(self.names) if (not only or n in only) and n not in leave_out]
        if unknown or not kept:
            wrong = f"no scene {unknown[0]!r}" if unknown else "no scene left"
            raise ConfigurationError(
                f"{self.folder}/{self.split}.json: {wrong}; it has {', '.join(self.names)}"
            )
        about = {**self.about, "scenes": [self.about["scenes"][k] for k in kept]}
        names, scenes = (tuple(values[k] for k in kept) for values in (self.names, self.scenes))
        return GraphSplit(self.folder, self.split, names, scenes, self.input, about)  # type: ignore[arg-type]


def read_graphs(folder: str | Path, split: str) -> GraphSplit:
    """Open a split; images stay in their files. Raises DatasetError if it is not there, or damaged."""
    folder = Path(folder)
    path = folder / f"{split}.json"
    if not path.is_file():
        raise DatasetError(
            f"{path}: not there; `relpose prepare graphs SOURCE... --out {folder}` makes it, and writes this "
            "file last"
        )
    try:
        about = json.loads(read_text(path))
        if about["format"] != FORMAT:
            raise DatasetError(f"{path}: expected format {FORMAT}, got {about['format']!r}")
        entries = [(str(scene["name"]), safe_name(scene["file"], str(path))) for scene in about["scenes"]]
        graph_input = GraphInput.from_dict(about["input"])
    except (ValueError, KeyError, TypeError, AttributeError, ConfigurationError) as error:
        raise DatasetError(f"{path}: expected an index of graph scenes, cannot read it: {error!r}") from None
    scenes = tuple(read_scene(folder / file) for _, file in entries)
    if not scenes:
        raise DatasetError(f"{path}: it lists no scene; make it again")
    return GraphSplit(folder, split, tuple(name for name, _ in entries), scenes, graph_input, about)


class Node(NamedTuple):
    """Where a graph's query is: number of the scene, and of the query in its table."""

    scene: int
    query: int


class GraphScenes(Dataset):
    """The graphs of a split as the engine takes them: a scene is a group, a query a sample.

    Each sample, for K = 1 + `options.neighbours` nodes, node 0 the query:

        images        (K, 3, H, W) float32 normalised RGB
        map_from_node (K, 7)       float64 x y z qx qy qz qw
        pairs         (K, K, 6)    float32 `convention` from every source (first axis) to every target
        mask          (K,)         bool    nodes that are there: all
        scene, query  ()           int64   number of the scene, and of the query's image in it

    With `training`, references are drawn anew in each epoch, as `options` say (`halving`, and `shuffle` their
    order), the light changes by image if `light`, and graphs are seen by narrower cameras if `narrow`; else
    references are every `options.period`-th of the ranking, and images as they are.
    `fixed`: those that were drawn when published graphs were made. Process `rank` of `world` has every
    `world`-th query. Raises DatasetError for scenes with too few references or of different sizes.
    """

    def __init__(
        self,
        split: GraphSplit,
        options: GraphOptions,
        convention: RelativeVectors | None = None,
        training: bool = False,
        light: bool = False,
        narrow: bool = False,
        fixed: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.split, self.options, self.convention = split, options, convention or InSourceFrame()
        self.training, self.fixed = training, fixed
        self.light, self.narrow = light and training, narrow and training
        self.rank, self.world = rank, world
        self.inputs = [split.input.in_scene(scene.statistics) for scene in split.scenes]
        self._check()

    @property
    def where(self) -> str:
        """The index of its split, for messages."""
        return f"{self.split.folder}/{self.split.split}.json"

    def group_sizes(self) -> list[int]:
        """Queries of each scene that are this process's."""
        return [len(range(self.rank, len(scene.query), self.world)) for scene in self.split.scenes]

    def node(self, group: int, item: int) -> Node:
        """Which query sample `item` of scene `group` is."""
        return Node(group, self.rank + item * self.world)

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        scene, query = self.split.scenes[group], self.node(group, item).query
        nodes = self.nodes(scene, query, generator if self.training else None)
        pixels = np.stack([np.asarray(scene.pixels[k]) for k in nodes.tolist()])
        if self.light:
            pixels = np.stack([change_light(image, generator) for image in pixels])
        if self.narrow:
            pixels = narrowed(pixels, generator)
        poses = scene.map_from_camera[nodes]
        return {
            "images": normalised(pixels, self.inputs[group]),
            "map_from_node": np.concatenate([poses.translation, poses.rotation_xyzw], axis=1),
            "pairs": pair_targets(poses, self.convention),
            "mask": np.ones(len(nodes), bool),
            "scene": np.array(group, np.int64),
            "query": np.array(nodes[0], np.int64),
        }

    def nodes(self, scene: GraphScene, query: int, generator: np.random.Generator | None = None) -> Indices:
        """Numbers (K,) of a graph's images: the query, then its references, best first unless shuffled."""
        if self.fixed:
            found = scene.neighbours[query, : self.options.neighbours].astype(np.int64)
        else:
            found = scene.ranked[query, drawn(scene.ranked.shape[1], self.options, generator)]
        if generator is not None and self.options.shuffle:
            found = generator.permutation(found)
        return np.concatenate([scene.query[query : query + 1], found]).astype(np.int64)

    def _check(self) -> None:
        needed = self.options.neighbours if self.fixed else ranked_needed(self.options, self.training)
        for name, scene in zip(self.split.names, self.split.scenes, strict=True):
            there = (scene.neighbours if self.fixed else scene.ranked).shape[1]
            if there < needed and len(scene.query):
                how = "drawn" if self.fixed else "ranked"
                halving = ", halving" if self.options.halving else ""
                raise DatasetError(
                    f"{self.where}, {name}: expected {needed} references {how} for each query "
                    f"({self.options.neighbours} neighbours, period {self.options.period}{halving}), got "
                    f"{there}; take a shorter period, fewer neighbours, or a scene of more references"
                )
        sizes = {scene.height_and_width for scene in self.split.scenes}
        if len(sizes) > 1:
            raise DatasetError(
                f"{self.where}: images of {len(sizes)} sizes, {sorted(sizes)}; expected one: make them "
                "without --short-side"
            )


def ranked_needed(options: GraphOptions, training: bool = True) -> int:
    """How many references must be ranked for what `options` draw from them; half of them go with halving."""
    if training and options.halving:
        return 2 * options.neighbours * options.period
    return (options.neighbours - 1) * options.period + 1


def drawn(ranked: int, options: GraphOptions, generator: np.random.Generator | None = None) -> Indices:
    """Places (neighbours,) in a ranking of so many references, best first.

    Every `period`-th from the best on; with a `generator` and `halving`, after half of the ranking was
    dropped at random, from a random start (drawn again where too few are left). Raises DatasetError if too
    few are ranked.
    """
    scores = -np.arange(ranked, dtype=float)
    for _ in range(TRIES):
        state = None
        if generator is not None and options.halving:
            state = np.random.RandomState(int(generator.integers(1 << 32)))
        found = strided_neighbours(scores, options.neighbours, options.period, halving=state)
        if len(found) == options.neighbours:
            return found
        if state is None:
            break
    raise DatasetError(
        f"{ranked} ranked references are too few for {options.neighbours} neighbours, period {options.period}"
    )
