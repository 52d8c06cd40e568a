"""One number for how far two poses are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid

DEGREES_PER_METRE = 40.0


def pose_distance(
    pose: Rigid, other: Rigid, degrees_per_metre: float = DEGREES_PER_METRE
) -> NDArray[np.float64]:
    """Metres between the origins plus the angle, 40 degrees as much as a metre (CamNet, ICCV 2019): (...)."""
    distance, angle = pose.distance_to(other)
    return np.asarray(distance + np.degrees(angle) / degrees_per_metre)
