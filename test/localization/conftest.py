"""A map of points and one of rendered images, each made once."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relpose_ros.datasets.base import Source
from relpose_ros.localization.mapping import build_map
from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Landmarks, Map

sys.path.append(str(Path(__file__).parents[1]))  # analytic_room


@pytest.fixture(scope="session")
def hall(point_world: Any) -> Map:
    """Twenty-four references round the hall of points; prior calibration."""
    return assemble(point_world.references(24), "hall", True, BuildOptions(), {})


@pytest.fixture(scope="session")
def bare_hall(hall: Map) -> Map:
    """The same without any landmark: only pairs of images are left to go by."""
    size = hall.landmarks.descriptors.shape[1]
    return replace(
        hall,
        landmarks=Landmarks(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros((0, size), np.float32)),
        features=tuple(replace(f, landmarks=np.full_like(f.landmarks, -1)) for f in hall.features),
    )


@pytest.fixture(scope="session")
def office(rendered_world: Source, tmp_path_factory: pytest.TempPathFactory) -> Map:
    """The rendered world, built and calibrated as `relpose map build` does."""
    return build_map(rendered_world, tmp_path_factory.mktemp("office") / "office.relmap")
