"""What each reference of a map sees of its landmarks: for commands of packages that may not know maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def map_landmarks(path: Path) -> dict[str, NDArray[np.float64]]:
    """Name of each reference -> points (M, 3) in the map's frame. Raises MapError for a broken map."""
    from relpose_ros.maps.bundle import Map

    prior = Map.open(path)
    return {
        name: prior.landmark_points[seen]
        for name, seen in zip(prior.reference_names, prior.visible, strict=True)
    }
