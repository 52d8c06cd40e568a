"""The error of one pose as a number to be minimised, and its derivative by the pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class PoseErrorWeights:
    """`rotation` per degree, `translation` per metre; above `soft_clamp` the loss grows as a square root."""

    rotation: float = 1.0
    translation: float = 100.0
    soft_clamp: float = 100.0


def pose_error(
    pose: Rigid, truth: Rigid, weights: PoseErrorWeights, compat: bool = False
) -> tuple[float, Array]:
    """l = w_r angle + w_t |t - t*|, or sqrt(c l) where l > c (DSAC*, TPAMI 2021), and dl / dtwist (6,).

    The twist is that of `Rigid.perturbed`. At the truth, where the derivative has no direction, it is zero.
    `compat`: as published, the angle comes from the trace of `truth` as it is, rounded or not, and the
    derivative of the square root lacks its factor sqrt(c).
    """
    shift = pose.translation - truth.translation
    distance = float(np.linalg.norm(shift))
    turn = pose.rotation @ truth.rotation.T
    twice_sine = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    cosine = (np.trace(turn) - 1) / 2
    if compat:
        angle = float(np.arccos(np.clip(cosine, -1, 1)))
    else:
        angle = float(np.arctan2(np.linalg.norm(twice_sine) / 2, cosine))
    plain = weights.rotation * np.degrees(angle) + weights.translation * distance
    along = weights.translation * shift / max(distance, 1e-12)
    axis = twice_sine / max(float(np.linalg.norm(twice_sine)), 1e-12)
    gradient = np.concatenate([along, weights.rotation * np.degrees(axis)])
    if plain <= weights.soft_clamp:
        return plain, gradient
    scale = 1.0 if compat else float(np.sqrt(weights.soft_clamp))
    return float(np.sqrt(weights.soft_clamp * plain)), gradient * (0.5 * scale / np.sqrt(plain))
