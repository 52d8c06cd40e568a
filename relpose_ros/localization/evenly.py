"""Some of many, evenly spread."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` of the numbers below `count`, ascending: the first, the last and as even as can be."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
