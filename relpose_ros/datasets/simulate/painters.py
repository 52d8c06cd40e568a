"""From a texture's name to its pixels, in either of the two appearances."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from relpose_ros.datasets.simulate import decorations, materials
from relpose_ros.datasets.simulate.noise import Picture
from relpose_ros.datasets.simulate.surfaces import Texture

DENSITY = 320.0
"""Texels a metre; `Texture.density` multiplies it."""

LARGEST = 4096

Painter = Callable[[int, int, float, Generator], Picture]

PAINTERS: dict[str, Painter] = {
    "plaster": materials.plaster,
    "rough_plaster": materials.rough_plaster,
    "brick": materials.brick,
    "carpet": materials.carpet,
    "tiles": materials.tiles,
    "wood": materials.wood,
    "ceiling": materials.ceiling,
    "metal": materials.metal,
    "fabric": materials.fabric,
    "poster": decorations.poster,
    "books": decorations.books,
    "door": decorations.door,
    "window": decorations.window,
    "screen": decorations.screen,
    "whiteboard": decorations.whiteboard,
    "drawers": decorations.drawers,
    "crate": decorations.crate,
    "desktop": decorations.desktop,
    "lamp": decorations.lamp,
}

OTHER_MATERIAL = {
    "brick": "rough_plaster",
    "rough_plaster": "brick",
    "carpet": "tiles",
    "tiles": "carpet",
    "wood": "metal",
}
"""What appearance b is made of where appearance a has the key."""


def seeded(seed: int, *names: str) -> Generator:
    """A generator of its own for a seed and names, the same on every machine."""
    return np.random.default_rng([seed, *(zlib.crc32(n.encode()) for n in names)])


def paint(texture: Texture, size: tuple[float, float], seed: int, appearance: str) -> NDArray[np.uint8]:
    """Texels (H, W, 3) BGR of a texture that is to cover `size` (width, height) metres."""
    density = min(DENSITY * texture.density, LARGEST / max(size))
    width, height = (max(4, round(s * density)) for s in size)
    kind = OTHER_MATERIAL.get(texture.kind, texture.kind) if appearance == "b" else texture.kind
    picture = PAINTERS[kind](height, width, density, seeded(seed, texture.kind, texture.key))
    if appearance == "b":
        picture = _restyle(picture, seeded(seed, texture.kind, texture.key, "b"))
    # Never fully black or white: light and exposure come later.
    return np.asarray(np.clip(picture, 12, 250), np.uint8)


def _restyle(picture: Picture, rng: Generator) -> Picture:
    """The same design in other colours: hue turned, fine grain smoothed away, contrast changed."""
    smooth = cv2.GaussianBlur(picture, (0, 0), 1.0)
    hsv = cv2.cvtColor(np.clip(smooth / 255, 0, 1), cv2.COLOR_BGR2HSV)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(40, 320)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.7, 1.5), 0, 1)
    turned = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255
    middle = turned.mean()
    return np.asarray((turned - middle) * rng.uniform(0.8, 1.1) + middle + rng.uniform(-18, 18), np.float32)
