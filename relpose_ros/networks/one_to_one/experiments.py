"""The variants of the one-to-one networks by the published experiment numbers."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from relpose_ros.errors import ConfigurationError

Channels = tuple[int, ...]

NARROW: Channels = (64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072)
WIDE: Channels = (128, 192, 256, 384, 512, 640, 768, 896, 1024, 1280, 1536, 2048)

EOT_CHANNELS: dict[int, Channels] = {
    0: tuple(c // 2 for c in NARROW),
    10: tuple(c * 3 // 4 for c in NARROW),
    20: NARROW,
    25: NARROW,
    30: WIDE,
    35: WIDE,
    40: (128, 256, 384, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048),
    50: tuple(range(128, 1537, 128)),
    60: tuple(range(256, 3073, 256)),
    70: tuple(range(256, 3073, 256)),
}
"""First experiment number of a series -> channels before and after each of its 11 halvings."""

TWO_POINTWISE = (25, 35, 70)
"""Series whose odd members have two pointwise convolutions, not one."""

CNN_CHANNELS: dict[int, Channels] = {
    0: tuple(accumulate([256] * 11, initial=128)),
    100: (128, 256, 384, 512, 768, 1024, 1280, 1536, 2048, 2560, 3072, 3584),
}
"""Experiment number -> channels before and after each of the 11 halvings of 2048 correspondences."""


def eot_parameters(experiment: int) -> dict[str, Any]:
    """Constructor arguments of EOT experiment `experiment`. ConfigurationError if there is none such."""
    series = max((s for s in EOT_CHANNELS if s <= experiment < s + 4), default=None)
    if series is None:
        numbers = ", ".join(f"{s} to {s + 3}" for s in EOT_CHANNELS)
        raise ConfigurationError(f"EOT experiment {experiment} is unknown; expected one of {numbers}")
    member = experiment - series
    return {
        "channels": list(EOT_CHANNELS[series]),
        "pointwise": (member % 2) * (2 if series in TWO_POINTWISE else 1),
        "second_pooling": member >= 2,
    }


def cnn_parameters(experiment: int, context: int = 2048) -> dict[str, Any]:
    """Constructor arguments of a CNN experiment (0 or 100) for 512, 1024 or 2048 correspondences."""
    halvings = context.bit_length() - 1
    if experiment not in CNN_CHANNELS or context not in (512, 1024, 2048):
        raise ConfigurationError(
            f"CNN experiment {experiment} for {context} correspondences is unknown; "
            f"expected an experiment of {sorted(CNN_CHANNELS)} and 512, 1024 or 2048 correspondences"
        )
    return {"channels": list(CNN_CHANNELS[experiment][: halvings + 1])}
