"""A query on its way through the roads: features as rays, and the neighbours retrieved for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.base import Features
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.hint import Hint
from relpose_ros.types import Hypothesis

if TYPE_CHECKING:
    from relpose_ros.maps.bundle import Map

MIN_FEATURES = 20
"""Fewer keypoints than this is a blank, dark or blown-out image."""


@dataclass(frozen=True)
class Neighbour:
    """A retrieved reference: `index` and `name` in the map, cosine `score`, its pose."""

    index: int
    name: str
    score: float
    map_from_camera: Rigid

    @classmethod
    def of(cls, map_: Map, index: int, score: float = 0.0) -> Neighbour:
        """Reference `index` of a map."""
        return cls(index, map_.reference_names[index], score, map_.reference_poses[index])


@dataclass(frozen=True)
class Query:
    """`features` of an image and where its `camera` sees them: `rays` (N, 2) on z = 1.

    For roads that look at the whole image: `image`, uint8 grey or BGR, and `ranking`, more references than
    the neighbours, best first. `hint`: of this camera, where one was given.
    """

    features: Features
    camera: Camera
    rays: NDArray[np.float64]
    seed: int = 0
    image: NDArray[np.uint8] | None = None
    ranking: tuple[Neighbour, ...] = ()
    hint: Hint | None = None

    @classmethod
    def of(cls, features: Features, camera: Camera, seed: int = 0) -> Query:
        """Make one, dropping keypoints that the lens model cannot turn into rays."""
        rays = camera.rays(features.keypoints)
        seen = np.asarray(np.isfinite(rays).all(axis=1))
        if not seen.all():
            features, rays = features[seen], rays[seen]
        return cls(features, camera, rays, seed)

    def strongest(self, count: int) -> Query:
        """The same query with its `count` strongest features only."""
        if len(self.features) <= count:
            return self
        return replace(self, features=self.features[:count], rays=self.rays[:count])

    def ideal_pixels(self, rays: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rays (N, 2) on z = 1 -> pixels (N, 2) of the camera without its distortion."""
        return rays * [self.camera.fx, self.camera.fy] + [self.camera.cx, self.camera.cy]

    def spread(self, pixels: NDArray[np.floating]) -> float:
        """Share (0..1) of the image that `pixels` (N, 2) cover."""
        return covered(pixels, self.camera)


def covered(pixels: NDArray[np.floating], camera: Camera, cells: int = 6) -> float:
    """Share (0..1) of a `cells` x `cells` grid over a camera's image that holds one of `pixels` (N, 2)."""
    cell = ((pixels + 0.5) / [camera.width, camera.height] * cells).astype(np.int64)
    cell = np.clip(cell, 0, cells - 1)
    return len(np.unique(cell[:, 0] * cells + cell[:, 1])) / cells**2


class Retrieved(NamedTuple):
    """`neighbours`, the `ranking` that they head where a road asks for more of it, milliseconds by stage, and
    as `near` the references round a hint, where there is one."""

    neighbours: list[Neighbour]
    ranking: list[Neighbour]
    timings: dict[str, float]
    near: list[Neighbour]


class Look(NamedTuple):
    """All that one camera has before there is a pose, with milliseconds by stage.

    `beside`: hypotheses of roads that ask the image itself; `reason`: why the others cannot be taken, or "".
    `near`: the references round a hint that are most alike, where there is one.
    """

    query: Query
    neighbours: list[Neighbour]
    beside: list[Hypothesis]
    timings: dict[str, float]
    reason: str = ""
    near: Sequence[Neighbour] = ()


def too_few_features(features: Features) -> str:
    """Why nothing can be done with so few features, or ""."""
    if len(features) >= MIN_FEATURES:
        return ""
    return (
        f"only {len(features)} features in the image ({MIN_FEATURES} are needed): "
        "it is blank, dark, blown out, blurred or masked"
    )


def nothing_found(query: Query, neighbours: Sequence[Neighbour]) -> str:
    """Why there is no pose where no road found one."""
    if not neighbours:
        return "no reference was retrieved"
    return (
        f"none of the {len(neighbours)} most similar references shares a consistent geometry with "
        f"the {len(query.features)} features of this image: it shows something the map does not"
    )


class Road(Protocol):
    """One way from a query to pose hypotheses."""

    def hypotheses(self, query: Query, neighbours: list[Neighbour]) -> list[Hypothesis]:
        """Guesses of `map_from_camera`, best first; empty when this road leads nowhere."""
        ...
