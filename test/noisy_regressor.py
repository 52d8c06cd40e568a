"""A network over graphs that knows the truth, but for the noise that it is told to make."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from relpose_ros.checkpoints.graph import Edges
from relpose_ros.checkpoints.graph_header import GraphInfo
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.graph_rows import GraphFeatures
from relpose_ros.retrieval.graph_images import GraphInput

PLAIN = GraphInput("short_side", 0, 8, 0.0, (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
"""The network sees grey values from 0 to 255."""


@dataclass
class NoisyRegressor:
    """Stands in for `GraphPredictor`: image number i is one of grey value i, and its descriptor is i.

    `poses[i]`: map_from_camera of image i; `sigma` (m, rad) of an edge, of which `shared` (a share of the
    variance) is the same on all edges of a graph; `admits`: by what factor the deviation that it says exceeds
    the true one; `wrong`: share of edges that are anywhere. Of references that look more than `overlap` rad
    elsewhere than the query it knows nothing: it says very unsurely that the query is where they are, or,
    unless `honest`, as surely as ever that it is where the first of them is.
    """

    poses: list[Rigid]
    sigma: tuple[float, float] = (0.06, 0.02)
    shared: float = 0.0
    admits: float = 1.0
    wrong: float = 0.0
    overlap: float = 1.2
    honest: bool = True
    seed: int = 0
    path: Path = Path("noisy.safetensors")
    identity: str = "1" * 64
    name: str = "relpose_gnn.noisy"
    graph: GraphInfo = field(default_factory=lambda: GraphInfo(PLAIN.to_dict(), neighbours=6, period=1))
    asked: int = 0

    def features(self, images):
        """The grey value of each image."""
        return images.mean(axis=(1, 2, 3)).round()[:, None].astype(np.float32)

    def relative(self, query, references, map_from_reference):
        """Edges from all references, in order."""
        self.asked += 1
        number, count = int(query[0]), len(references)
        generator = np.random.default_rng([self.seed, number, *references[:, 0].astype(int)])
        sigma = np.repeat(self.sigma, 3)
        own = generator.normal(0, np.sqrt(1 - self.shared) * sigma, (count, 6))
        # What is shared is an error of the query: the same in the axes of the map.
        common = generator.normal(0, np.sqrt(self.shared) * sigma)
        truth = self.poses[number].perturbed(common)
        edges = map_from_reference.inverse() @ Rigid.stack([truth] * count)
        edges = edges.perturbed(own)
        lost = generator.uniform(size=count) < self.wrong
        edges = _replaced(edges, lost, edges.perturbed(generator.normal(0, [3] * 3 + [1] * 3, (count, 6))))
        cosine = map_from_reference.rotation[:, :, 2] @ self.poses[number].rotation[:, 2]
        unseen = cosine < np.cos(self.overlap)
        nowhere = Rigid.stack([Rigid.identity()] * count).perturbed(own)
        insisted = (map_from_reference.inverse() @ Rigid.stack([map_from_reference[0]] * count)).perturbed(
            own
        )
        edges = _replaced(edges, unseen, nowhere if self.honest else insisted)
        variance = np.tile((self.admits * sigma) ** 2, (count, 1))
        if self.honest:
            variance[unseen] = np.repeat([4.0, 1.0], 3)
        return Edges(np.arange(count), edges, variance[:, :, None] * np.eye(6))


def _replaced(one: Rigid, where, other: Rigid) -> Rigid:
    rotation = np.where(where[:, None, None], other.rotation, one.rotation)
    return Rigid(rotation, np.where(where[:, None], other.translation, one.translation))


def image_of(number: int, camera) -> np.ndarray:
    """Image `number`."""
    return np.full((camera.height, camera.width), number, np.uint8)


def known_to(map_: Map, regressor: NoisyRegressor) -> Map:
    """The map with descriptors for it: reference i is image i. Not calibrated."""
    rows = np.arange(len(map_), dtype=np.float32)[:, None]
    graph = GraphFeatures(rows, regressor.path.name, regressor.identity, regressor.name, PLAIN.to_dict())
    return replace(map_, graph=graph)
