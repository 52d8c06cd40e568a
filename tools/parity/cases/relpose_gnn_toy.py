"""The toy scene that RelPoseGNN's end-to-end goldens were made on. Registers no case of its own."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from relpose_ros.datasets.base import Source
from relpose_ros.datasets.seven_scenes import open_seven_scenes
from tools.parity.weights import rule_module

KEPT = Path(__file__).parents[3] / "build" / "parity" / "toy_7scenes"
"""It takes ten seconds to make, so one copy is kept."""


@dataclass(frozen=True)
class Toy:
    """`folder` holds the scene `heads`; `source` is that scene."""

    folder: Path
    source: Source


@cache
def toy() -> Toy:
    """The scene, made by the goldens' own script where it is not there yet."""
    if not KEPT.is_dir():
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT.parent, prefix=".toy.") as part:
            rule_module("relpose_gnn", "make_toy_7scenes.py").main(os.path.join(part, "scene"))
            if not KEPT.is_dir():  # another process may have been faster
                os.rename(os.path.join(part, "scene"), KEPT)
    return Toy(KEPT, open_seven_scenes(KEPT / "heads"))
