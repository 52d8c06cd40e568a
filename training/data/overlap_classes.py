"""How good a partner a view is, by frustum overlap and rotation: the classes of CamNet (Ding et al., ICCV
2019)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class OverlapClass(IntEnum):
    """`FINE`: much in common and seen alike; `MEDIUM`: much in common, turned far; `NEGATIVE`: little in
    common."""

    NONE = 0
    FINE = 1
    MEDIUM = 2
    NEGATIVE = 3


def overlap_class(there: float, back: float, angle: float) -> OverlapClass:
    """The class of a pair with these overlaps, 0 to 1 each way, and an angle (radians) between the
    cameras."""
    least, most = min(there, back), max(there, back)
    if least > 0.4 and angle < np.radians(30):
        return OverlapClass.FINE
    if least > 0.3 and angle > np.radians(60):
        return OverlapClass.MEDIUM
    if least > 0.05 and most < 0.25:
        return OverlapClass.NEGATIVE
    return OverlapClass.NONE
