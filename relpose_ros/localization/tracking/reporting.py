"""From beliefs to what is said of the pose: one covariance, one state, one reason."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.localization.tracking.answers import TrackedPose
from relpose_ros.localization.tracking.options import TrackerOptions
from relpose_ros.localization.tracking.track import Track
from relpose_ros.types import State

Array = NDArray[np.float64]


def deviations(covariance: Array) -> tuple[float, float]:
    """Half axes of one standard deviation along the worst direction: m and rad."""
    metres, radians = (np.linalg.eigvalsh(covariance[part, part])[-1] for part in (slice(3), slice(3, 6)))
    return float(np.sqrt(max(metres, 0.0))), float(np.sqrt(max(radians, 0.0)))


def is_lost(track: Track, options: TrackerOptions) -> bool:
    """Whether the belief alone says too little to be one."""
    metres, radians = deviations(track.covariance(options))
    return metres >= options.lost_metres or radians >= options.lost_radians


def challenged_covariance(track: Track, rival: Track | None, options: TrackerOptions) -> Array:
    """Covariance (6, 6) about the track's pose when it may be the rival, at the same time, that is right.

    Second moment of a mixture of both about the first. The rival's share is (n + 1) / (k + 2) for n of its
    fixes in a row out of the k that would have it followed: Laplace's rule of succession.
    """
    own = track.covariance(options)
    if rival is None:
        return own
    share = min((rival.count + 1) / (options.kidnap_fixes + 2), 1.0)
    apart = track.map_from_base.error_to(rival.map_from_base)
    return (1 - share) * own + share * (rival.covariance(options) + np.outer(apart, apart))


def distrusted_covariance(covariance: Array, options: TrackerOptions) -> Array:
    """Covariance (6, 6) of a pose that a hint decided, by one that is right with chance `hint_trust` alone.

    Where the hint is wrong the base is elsewhere, as far off as a pose that counts as lost: the second moment
    of the mixture of both about the pose.
    """
    lost = np.diag(np.repeat([options.lost_metres**2, options.lost_radians**2], 3))
    return np.asarray(covariance + (1 - options.hint_trust) * lost)


def tracked_pose(
    track: Track, rival: Track | None, options: TrackerOptions, ambiguous: bool = False
) -> TrackedPose:
    """What is published of a track, with the rival that fixes speak for, both at the same time.

    `ambiguous`: the rival is the nearest of places that look alike, none of them the track's.
    """
    covariance = challenged_covariance(track, rival, options)
    age = track.stamp - track.last_fix
    state, reason = _judged(
        covariance, age, "" if rival is None else _in_a_row(rival.count, ambiguous), options
    )
    if track.by_hint:
        covariance = distrusted_covariance(covariance, options)
        words = "it stands by an initial pose and degraded fixes alone"
        state = State.DEGRADED if state is State.LOCALIZED else state
        reason = f"{words}; {reason}" if reason else words
    return TrackedPose(track.stamp, track.map_from_base, covariance, age, state, reason, track.by_hint)


def _judged(covariance: Array, age: float, rivals: str, options: TrackerOptions) -> tuple[State, str]:
    metres, radians = deviations(covariance)
    size = f"one standard deviation is {metres:.2f} m and {np.degrees(radians):.1f} deg"
    disagree = f"{rivals} with the track, {size}" if rivals else ""
    if metres >= options.lost_metres or radians >= options.lost_radians:
        return State.UNLOCALIZED, disagree or f"{age:.1f} s since the last fix, {size}"
    if disagree:
        return State.DEGRADED, disagree
    if age > options.degraded_seconds:
        return State.DEGRADED, f"{age:.1f} s since the last fix"
    if metres >= options.degraded_metres or radians >= options.degraded_radians:
        return State.DEGRADED, size
    return State.LOCALIZED, ""


def _in_a_row(count: int, ambiguous: bool) -> str:
    if ambiguous:
        return (
            "the last image, an ambiguous one, disagrees"
            if count == 1
            else f"{count} ambiguous images disagree"
        )
    return "the last fix disagrees" if count == 1 else f"{count} fixes in a row disagree"
