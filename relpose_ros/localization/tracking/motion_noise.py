"""How uncertain a path of odometry is: variances that grow per metre, per radian and per second.

In the spirit of the odometry model of Thrun, Burgard, Fox, Probabilistic Robotics (2005), table 5.6, whose
alphas AMCL has; here for three dimensions and with variances that are linear along the way, so that it does
not matter how often odometry is sampled. A constant error of scale, which is not, is kept apart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import skew
from relpose_ros.localization.tracking.odometry_buffer import Path
from relpose_ros.localization.tracking.options import TrackerOptions

Array = NDArray[np.float64]


def step_variances(path: Path, options: TrackerOptions) -> tuple[Array, Array]:
    """Variance of the translation (N - 1,) in m^2 and of the rotation in rad^2, per axis, of each step."""
    metres = np.linalg.norm(path.steps[:, :3], axis=1)
    radians = np.linalg.norm(path.steps[:, 3:], axis=1)
    seconds = np.abs(np.diff(path.stamps))
    moved = options.alpha3 * metres + options.alpha4 * radians + options.alpha5 * seconds
    turned = options.alpha1 * radians + options.alpha2 * metres + options.alpha6 * seconds
    unseen = np.zeros(len(seconds), bool) if path.blind is None else path.blind.copy()
    if path.guessed:
        unseen[np.argmax(path.stamps[1:])] = True
    # What was not seen may as well not have happened.
    return moved + unseen * metres**2, turned + unseen * radians**2


def path_covariance(path: Path, options: TrackerOptions) -> Array:
    """Covariance (6, 6) of the base at the end of a path whose start is exact, in odometry's axes.

    A rotation error r in the middle of a step moves the end by r x p, p the lever from there to the end:
    the sum over steps of A diag(moved, turned) A^T with A = [[I, -[p]x], [0, I]].
    """
    moved, turned = step_variances(path, options)
    lever = _levers(path)
    first = turned @ lever
    second = np.einsum("n,ni,nj->ij", turned, lever, lever)
    out = np.zeros((6, 6))
    out[:3, :3] = (moved.sum() + np.trace(second)) * np.eye(3) - second
    out[:3, 3:] = -skew(first)
    out[3:, :3] = out[:3, 3:].T
    out[3:, 3:] = turned.sum() * np.eye(3)
    return out


def scale_jacobian(path: Path) -> Array:
    """Twist (6, 2) of the end, in odometry's axes, per unit of relative error of distances and of turns."""
    turns = path.steps[:, 3:]
    out = np.zeros((6, 2))
    out[:3, 0] = path.odom_from_base.translation[-1] - path.odom_from_base.translation[0]
    out[:3, 1] = np.cross(turns, _levers(path)).sum(axis=0)
    out[3:, 1] = turns.sum(axis=0)
    return out


def _levers(path: Path) -> Array:
    """(N - 1, 3) from the middle of each step to the end."""
    points = path.odom_from_base.translation
    return np.asarray(points[-1] - 0.5 * (points[1:] + points[:-1]))
