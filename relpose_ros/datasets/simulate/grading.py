"""The look of a game engine that renders a scanned model: flat light, no noise, other colours, soft."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from relpose_ros.datasets.simulate.surfaces import Label

Image = NDArray[np.uint8]

GROUPS = {
    Label.FLOOR: 1,
    Label.CEILING: 1,
    Label.WALL: 2,
    Label.POSTER: 2,
    Label.DOOR: 3,
    Label.WINDOW: 3,
    Label.SHELF: 4,
    Label.TABLE: 4,
    Label.CABINET: 4,
    Label.CRATE: 5,
    Label.SCREEN: 5,
    Label.LAMP: 5,
    Label.CLUTTER: 5,
}
"""Six classes of surfaces, as many as CrossLoc has; 0 is where nothing is."""


@dataclass(frozen=True)
class Grading:
    """How a simulated picture's colours differ from those of the surfaces: the same for all of a world.

    `tint` factors of blue, green, red; `gamma`; `contrast` about the middle grey; `saturation`; `softness`,
    pixels.
    """

    tint: tuple[float, float, float]
    gamma: float
    contrast: float
    saturation: float
    softness: float

    @classmethod
    def drawn(cls, rng: Generator) -> Grading:
        """One of a plain sort."""
        tint = rng.uniform(0.82, 1.12, 3).tolist()
        return cls(
            (tint[0], tint[1], tint[2]),
            gamma=float(rng.uniform(0.75, 1.3)),
            contrast=float(rng.uniform(0.6, 0.85)),
            saturation=float(rng.uniform(0.55, 0.85)),
            softness=float(rng.uniform(0.5, 0.9)),
        )

    def __call__(self, image: Image) -> Image:
        """BGR (H, W, 3) bare colours -> the picture."""
        soft = cv2.GaussianBlur(image, (0, 0), self.softness)
        grey = cv2.cvtColor(cv2.cvtColor(soft, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        pale = cv2.addWeighted(soft, self.saturation, grey, 1 - self.saturation, 0)
        levels = 255 * (np.arange(256) / 255) ** self.gamma
        even = 128 + self.contrast * (levels - 128)
        table = np.stack([np.clip(np.rint(even * factor), 0, 255) for factor in self.tint], axis=-1)
        return np.asarray(cv2.LUT(pale, table.astype(np.uint8)[None]), np.uint8)


def grouped(labels: Image) -> Image:
    """Semantic classes (H, W) of `surfaces.Label` -> `GROUPS`."""
    table = np.zeros(len(Label), np.uint8)
    for label, group in GROUPS.items():
        table[label] = group
    return np.asarray(table[labels])
