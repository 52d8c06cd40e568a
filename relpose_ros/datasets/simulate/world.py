"""A furnished place: surfaces, textures, lights and the ways through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.atlas import Atlas, build_atlas
from relpose_ros.datasets.simulate.light_maps import Light, LightMaps, bake
from relpose_ros.datasets.simulate.painters import paint
from relpose_ros.datasets.simulate.surfaces import Surface

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """Geometry alone: what a layout designs. The same for both appearances.

    `routes` maps a drive ("mapping", "query") to floor points (N, 2) in metres;
    `obstacles` (M, 4, 2) are footprints that a robot must not touch.
    """

    surfaces: tuple[Surface, ...]
    lights: tuple[Light, ...]
    routes: Mapping[str, Floats]
    obstacles: Floats


@dataclass(frozen=True)
class World:
    """A plan with everything the renderer needs, as arrays over its N surfaces."""

    kind: str
    seed: int
    appearance: str
    plan: Plan
    corners: Floats
    alongs: Floats
    downs: Floats
    normals: Floats
    labels: NDArray[np.int32]
    instances: NDArray[np.int32]
    densities: Floats
    """Texels a metre at the finest level (N,)."""
    deepest: NDArray[np.int32]
    first_level: NDArray[np.int32]
    """Row of the surface's finest level in `atlas_columns` (N,)."""
    atlas: Atlas
    atlas_columns: tuple[NDArray[np.float32], ...]
    light: LightMaps

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """All surfaces, in the order of the arrays."""
        return self.plan.surfaces

    @property
    def channels(self) -> int:
        """How many lights can be weighted."""
        return int(self.light.maps.shape[2])


@lru_cache(maxsize=2)
def build_world(kind: str = "office", seed: int = 0, appearance: str = "a") -> World:
    """Design, paint and light a world. The same arguments give the same world."""
    from relpose_ros.datasets.simulate.layouts import LAYOUTS

    plan = LAYOUTS[kind](seed)
    surfaces = plan.surfaces
    atlas, texture = _paint_all(surfaces, seed, appearance)
    sizes = np.array([s.size for s in surfaces])
    depth = atlas.place.shape[1]
    return World(
        kind,
        seed,
        appearance,
        plan,
        corners=np.stack([s.corner for s in surfaces]),
        alongs=np.stack([s.along for s in surfaces]),
        downs=np.stack([s.down for s in surfaces]),
        normals=np.stack([s.normal for s in surfaces]),
        labels=np.array([int(s.label) for s in surfaces], np.int32),
        instances=np.array([s.instance for s in surfaces], np.int32),
        densities=(atlas.place[texture, 0, 2:] / sizes).max(axis=1),
        deepest=atlas.levels[texture] - 1,
        first_level=(texture * depth).astype(np.int32),
        atlas=atlas,
        atlas_columns=tuple(np.ascontiguousarray(atlas.place[..., k].ravel()) for k in range(4)),
        light=bake(surfaces, plan.lights),
    )


def _paint_all(surfaces: Sequence[Surface], seed: int, appearance: str) -> tuple[Atlas, NDArray[np.int64]]:
    """The atlas of all distinct textures, and which of them each surface wears (N,)."""
    sizes: dict[object, tuple[float, float]] = {}
    for s in surfaces:
        wide, tall = sizes.get(s.texture, (0.0, 0.0))
        sizes[s.texture] = max(wide, s.size[0]), max(tall, s.size[1])
    order = {texture: i for i, texture in enumerate(sizes)}
    pictures = [paint(t, size, seed, appearance) for t, size in sizes.items()]  # type: ignore[arg-type]
    return build_atlas(pictures), np.array([order[s.texture] for s in surfaces])
