"""The graphs that a network is trained and validated on."""

from __future__ import annotations

import numpy as np

from relpose_ros.errors import ConfigurationError
from relpose_training.data.graph_dataset import GraphScenes, GraphSplit, read_graphs
from relpose_training.data.graphs import GraphOptions
from relpose_training.data.shards import Sample
from relpose_training.recipes.relpose_gnn.config import RelposeGnnConfig

MIRRORED = np.array([-1, 1, 1, 1, -1, -1], np.float32)
"""What a mirror (x to -x) does to source_from_target: to its translation and to its rotation vector."""


class TrainingGraphs(GraphScenes):
    """`GraphScenes`, less what only validation reads; half of them mirrored with `mirror`."""

    mirror: bool = False

    def sample(self, group: int, item: int, generator: np.random.Generator) -> Sample:
        found = super().sample(group, item, generator)
        images, pairs = found["images"], found["pairs"]
        if self.mirror and generator.random() < 0.5:
            images, pairs = np.ascontiguousarray(images[..., ::-1]), pairs * MIRRORED
        return {"images": images, "pairs": pairs}


def chosen_split(config: RelposeGnnConfig, split: str) -> GraphSplit:
    """The scenes of a split that the configuration asks for.

    A scene that is left out need not be in the validation split. Raises DatasetError for a folder that has no
    such split, ConfigurationError for scenes that it does not have.
    """
    found = read_graphs(config.data, split)
    only, without = config.scenes
    if split != "train":
        without = tuple(name for name in without if name in found.names)
    return found.chosen(only, without)


def training_graphs(config: RelposeGnnConfig, rank: int = 0, world: int = 1) -> TrainingGraphs:
    """Of process `rank`. Raises as `chosen_split`, and ConfigurationError for a mirror that is none."""
    split = chosen_split(config, "train")
    if (config.mirror or config.narrow) and split.input.kind != "canonical":
        raise ConfigurationError(
            f"{config.data}: mirror=true and narrow=true need images of the canonical camera, whose axis is "
            "in the middle; prepare them without --short-side"
        )
    graphs = TrainingGraphs(
        split,
        graph_options(config),
        config.relative_vectors,
        training=True,
        light=config.light,
        narrow=config.narrow,
        fixed=config.fixed,
        rank=rank,
        world=world,
    )
    graphs.mirror = config.mirror
    return graphs


def validation_graphs(
    config: RelposeGnnConfig, split: str = "val", rank: int = 0, world: int = 1
) -> GraphScenes:
    """Nothing random about them. Raises as `chosen_split`."""
    return GraphScenes(
        chosen_split(config, split),
        graph_options(config),
        config.relative_vectors,
        fixed=config.fixed,
        rank=rank,
        world=world,
    )


def graph_options(config: RelposeGnnConfig) -> GraphOptions:
    """How references are chosen."""
    return GraphOptions(config.neighbours, config.period, config.halving, shuffle=config.shuffle)
