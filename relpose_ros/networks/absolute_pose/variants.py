"""Sizes of AtLoc, without torch: the registry reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SMALL: Mapping[str, Any] = {
    "dimension": 512,
    "stages": ((32, 1, 1), (64, 1, 2), (128, 1, 2), (256, 1, 2)),
}
"""ResNet-10 of half the width: 1.6 million parameters, for a CPU."""
