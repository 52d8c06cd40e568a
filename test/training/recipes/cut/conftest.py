"""Two domains of painted rectangles: the same grey values, tinted otherwise."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from relpose_training.recipes.cut.config import CutConfig
from relpose_training.recipes.cut.recipe import CutRecipe

ORANGE, BLUE = (0.4, 0.7, 1.0), (1.0, 0.7, 0.4)
"""Factors of blue, green, red."""


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """Sums come out in other bits with another number of threads."""


def painted(tint, seed, width=40, height=32):
    """uint8 BGR (height, width, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 110, np.uint8)
    for _ in range(4):
        x, y, w, h = (int(n) for n in rng.integers((0, 0, 6, 6), (width - 8, height - 8, 16, 16)))
        cv2.rectangle(image, (x, y), (x + w, y + h), [int(rng.integers(40, 220))] * 3, -1)
    return np.clip(image * np.array(tint), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def domains(tmp_path_factory):
    """Folders `orange` and `blue` of ten images each."""
    root = tmp_path_factory.mktemp("domains")
    for name, tint, first in (("orange", ORANGE, 0), ("blue", BLUE, 100)):
        (root / name).mkdir()
        for k in range(10):
            cv2.imwrite(str(root / name / f"{k}.png"), painted(tint, first + k))
    return root


@pytest.fixture
def recipe(domains, tmp_path, monkeypatch):
    """Make a recipe: `recipe(steps=3)`."""
    monkeypatch.setattr("relpose_training.engine.loop.plot_curves", lambda _: None)

    def make(**values):
        settings = {
            "out": tmp_path / "run", "source": str(domains / "orange"), "target": str(domains / "blue"),
            "short_side": 32, "crop": 32, "patches": 16, "steps": 2, "batch_size": 2, "save_every": 100,
            "validate_every": 100, "log_every": 1, "discriminator_channels": 8,
        }  # fmt: skip
        return CutRecipe(CutConfig(**(settings | values)))

    return make
