"""Maps of points, which take milliseconds to make, and how to compare maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Map


@pytest.fixture(scope="session")
def point_map(point_world: Any) -> Map:
    """Sixteen references round the hall; not calibrated, not on disk."""
    return assemble(point_world.references(), "hall", True, BuildOptions(), {"source": "points"})


def arrays_of(map_: Map) -> dict[str, np.ndarray]:
    """Everything that a map stores, flat."""
    parts: dict[str, np.ndarray] = {
        "rotation": map_.reference_poses.rotation,
        "translation": map_.reference_poses.translation,
        "points": map_.landmarks.points,
        "covariances": map_.landmarks.covariances,
        "landmark_descriptors": map_.landmarks.descriptors,
        "centres": map_.vlad.centres,
        "mean": map_.vlad.mean,
        "basis": map_.vlad.basis,
        "global": map_.global_descriptors,
    }
    for i, features in enumerate(map_.features):
        parts[f"keypoints{i}"] = features.keypoints
        parts[f"landmarks{i}"] = features.landmarks
        parts[f"descriptors{i}"] = features.descriptors
    return parts


@pytest.fixture(scope="session")
def contents() -> Callable[[Map], dict[str, np.ndarray]]:
    return arrays_of


@pytest.fixture(scope="session")
def assert_equal_maps() -> Callable[[Map, Map], None]:
    """Bit by bit, apart from when and where they were made."""

    def check(first: Map, second: Map) -> None:
        assert first.reference_names == second.reference_names
        assert (first.name, first.metric, first.feature) == (second.name, second.metric, second.feature)
        assert first.cameras == second.cameras and first.conditions == second.conditions
        assert first.calibration == second.calibration
        ours, theirs = arrays_of(first), arrays_of(second)
        assert ours.keys() == theirs.keys()
        for name, values in ours.items():
            # A rotation goes through a quaternion, which rounds.
            within = 1e-14 if name == "rotation" else 0
            np.testing.assert_allclose(values, theirs[name], rtol=0, atol=within, err_msg=name)

    return check
