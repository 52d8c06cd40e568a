"""What `benchmarks thresholds` varies: one threshold at a time, all others as in the profile `default`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relpose_ros.localization.options import PROFILES, LocalizerOptions, options_for
from relpose_ros.localization.tracking import TrackerOptions
from relpose_ros.types import Localization, State

NODE = "node parameter"
PYTHON = "Python"


@dataclass(frozen=True)
class Threshold:
    """A dotted `name` among the options, the `values` to try, and `where` a user sets it."""

    name: str
    values: tuple[Any, ...]
    where: str = PYTHON


SEARCH = (
    Threshold("profile", ("fast", "default", "accurate"), NODE),
    Threshold("max_keypoints", (500, 1500, 3000)),
    Threshold("first_keypoints", (600, 1200)),
    Threshold("image_scale", (0.5, 1.0)),
    Threshold("neighbours", (2, 4, 8, 16)),
    Threshold("weak_below", (0, 30, 100)),
    Threshold("rerank", (False, True)),
    Threshold("structure.ratio", (0.7, 0.85, 0.95)),
    Threshold("structure.max_error_px", (3.0, 6.0, 12.0)),
    Threshold("structure.gate_sigma", (2.0, 4.0, 8.0)),
    Threshold("relative.neighbours", (2, 5)),
    Threshold("relative.min_inliers", (10, 18, 36)),
)
"""Of how a pose is looked for: every value means localizing again."""

JUDGEMENT = (
    Threshold("arbiter.min_inliers", (6, 10, 15, 25, 50)),
    Threshold("arbiter.min_spread", (0.0, 0.08, 0.2)),
    Threshold("arbiter.relative_factor", (1.0, 3.0, 6.0)),
    Threshold("arbiter.max_ambiguity", (0.25, 0.5, 1.0)),
    Threshold("arbiter.max_rotation_sigma", (0.02, 0.15, 1.0)),
    Threshold("arbiter.max_translation_sigma", (0.02, 0.15, 1.0)),
)
"""Of what is believed: the same hypotheses are judged again."""

PUBLISHING = (
    Threshold("minimum_confidence", (0.0, 0.5, 0.9, 0.99), NODE),
    Threshold("publish_degraded", (True, False), NODE),
)
"""Of what goes to `~/pose`: the same answers, some withheld."""

TRACKING = (
    Threshold("min_consistent_fixes", (1, 2, 3, 5), NODE),
    Threshold("start_seconds", (0.0, 0.2, 1.0), NODE),
    Threshold("kidnap_fixes", (2, 5, 10), NODE),
    Threshold("kidnap_seconds", (0.0, 0.5, 2.0), NODE),
    Threshold("gate_probability", (0.9, 0.99, 0.999, 0.999999), NODE),
    Threshold("use_degraded", (False, True), NODE),
    Threshold("correlation_seconds", (0.0, 1.0, 5.0), NODE),
    Threshold("max_speed", (0.5, 5.0, 20.0), NODE),
    Threshold("max_turn_rate", (0.5, 2.0, 10.0), NODE),
    Threshold("degraded_seconds", (1.0, 10.0), NODE),
    Threshold("lost_metres", (0.2, 1.0, 5.0), NODE),
    Threshold("lost_radians", (0.05, 0.2, 0.7), NODE),
    Threshold("alpha1", (3e-5, 3e-4, 3e-3), NODE),
    Threshold("alpha2", (1e-5, 1e-4, 1e-3), NODE),
    Threshold("alpha3", (1e-4, 1e-3, 1e-2), NODE),
    Threshold("alpha4", (1e-5, 1e-4, 1e-3), NODE),
    Threshold("alpha5", (4e-7, 4e-6, 4e-5), NODE),
    Threshold("alpha6", (3e-7, 3e-6, 3e-5), NODE),
)
"""Parameters `tracking.*` of localizer_node."""


def default_of(threshold: Threshold) -> Any:
    """The value that it has where nobody sets it."""
    if threshold.name == "profile":
        return "default"
    if threshold in PUBLISHING:
        return threshold.values[0]
    value: Any = TrackerOptions() if threshold in TRACKING else PROFILES["default"]
    for word in threshold.name.split("."):
        value = getattr(value, word)
    return value


def changed(name: str, value: Any) -> LocalizerOptions:
    """The profile `default` with one number changed, or another profile."""
    if name == "profile":
        return options_for(value)
    options = options_for("default")
    outer, _, inner = name.partition(".")
    if not inner:
        return replace(options, **{outer: value})
    return replace(options, **{outer: replace(getattr(options, outer), **{inner: value})})


def filter_of(name: str, value: Any) -> Callable[[Localization], bool]:
    """Which answers go to `~/pose`."""
    if name == "minimum_confidence":
        return lambda answer: answer.has_pose and answer.confidence >= value
    return lambda answer: answer.has_pose and (bool(value) or answer.state is State.LOCALIZED)


def check(thresholds: Sequence[Threshold]) -> None:
    """Raises ValueError where a default is not among the values: nothing could be compared with it."""
    for threshold in thresholds:
        if default_of(threshold) not in threshold.values:
            raise ValueError(f"{threshold.name}: {default_of(threshold)} is not among {threshold.values}")
