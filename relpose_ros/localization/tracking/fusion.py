"""A track and a fix as one, when part of their errors may be the same error.

Split covariance intersection: Julier and Uhlmann, General decentralized data fusion with covariance
intersection (2001); Li, Nashashibi, Yang, Split covariance intersection filter, IEEE Trans. ITS 14 (2013).
Where nothing is in common it is the Kalman update; where all is, nothing becomes sharper than it was.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.localization.tracking.options import TrackerOptions
from relpose_ros.localization.tracking.track import REMEMBERED_FIXES, Track

Array = NDArray[np.float64]

DEGREES_OF_FREEDOM = 6


def gate(options: TrackerOptions) -> float:
    """The squared Mahalanobis distance that a right fix stays below with `gate_probability`."""
    from scipy.special import chdtri

    return float(chdtri(DEGREES_OF_FREEDOM, 1 - options.gate_probability))


def squared_distance(track: Track, other: Track, options: TrackerOptions) -> float:
    """Squared Mahalanobis distance of two beliefs about the base at the same time."""
    error = track.map_from_base.error_to(other.map_from_base)
    spread = track.covariance(options) + other.covariance(options)
    return float(error @ np.linalg.solve(spread, error))


def share_in_common(track: Track, stamp: float, options: TrackerOptions) -> float:
    """Share (0..1) of the variance of a fix at `stamp` that it may share with those in the track."""
    apart = min(abs(stamp - fixed) for fixed in track.fixed)
    tau = options.correlation_seconds
    recent = math.exp(-apart / tau) if tau > 0 else 0.0
    return max(recent, options.common_share)


def fused(track: Track, fix: Track, share: float, options: TrackerOptions) -> Track:
    """The track with a fix at the same stamp, `share` of whose variance may be the track's own error.

    What odometry added to a fix that was carried is odometry's error in the track too. Then all of the track
    may be in common with it.
    """
    added = fix.unshared(options)
    if added.any():
        track = replace(
            track, by_fixes=track.covariance(options), by_motion=np.zeros((6, 6)), drift=np.zeros((6, 2))
        )
    prior_own, fix_own = track.unshared(options), (1 - share) * fix.by_fixes
    fix_common = share * fix.by_fixes + added
    if fix_common.any():
        weight = _best_weight(track.by_fixes, prior_own, fix_common, fix_own)
        prior, other = track.by_fixes / weight + prior_own, fix_common / (1 - weight) + fix_own
    else:
        prior, other = track.by_fixes + prior_own, fix_own
    gain = np.linalg.solve(prior + other, prior).T
    rest = np.eye(6) - gain
    shift = gain @ track.map_from_base.error_to(fix.map_from_base)
    own = _symmetric(rest @ prior_own @ rest.T)
    by_fixes = _symmetric(rest @ (prior - prior_own) @ rest.T + gain @ other @ gain.T)
    stamps = sorted({*track.fixed, *fix.fixed})[-REMEMBERED_FIXES:]
    return replace(
        track, map_from_base=track.map_from_base.perturbed(shift), by_fixes=by_fixes, by_motion=own,
        drift=np.zeros((6, 2)), fixed=tuple(stamps), count=track.count + fix.count,
    )  # fmt: skip


def _best_weight(prior_common: Array, prior_own: Array, fix_common: Array, fix_own: Array) -> float:
    """The weight in (0, 1) that makes the fused covariance smallest (its determinant)."""
    from scipy.optimize import minimize_scalar

    def volume(weight: float) -> float:
        prior, other = prior_common / weight + prior_own, fix_common / (1 - weight) + fix_own
        # |(A^-1 + B^-1)^-1| = |A| |B| / |A + B|
        return _logdet(prior) + _logdet(other) - _logdet(prior + other)

    return float(
        minimize_scalar(volume, bounds=(1e-3, 1 - 1e-3), method="bounded", options={"xatol": 1e-2}).x
    )


def _logdet(matrix: Array) -> float:
    return float(np.linalg.slogdet(matrix)[1])


def _symmetric(matrix: Array) -> Array:
    return np.asarray(0.5 * (matrix + matrix.T))
