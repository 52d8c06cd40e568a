"""How a pose moves when the scene coordinates that it was computed from move: implicit differentiation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.rigid import Rigid, skew
from relpose_ros.geometry.scene_targets import Targets

Array = NDArray[np.float64]


def pose_sensitivity(map_from_camera: Rigid, points: Array, targets: Targets) -> Array:
    """Derivatives (N, 6, 3) of a least-squares pose by its map points (N, 3).

    `map_from_camera` must be where the gradient g of the squared residuals vanishes: the optimum of
    PnP or Kabsch, or a P3P solution. Then d twist / dX = -(dg / d twist)^-1 dg / dX (implicit function
    theorem), exactly, second derivatives of the projection included. The twist is that of
    `Rigid.perturbed`. Raises numpy.linalg.LinAlgError where the pose is not determined.

    With q = dr/dX^T r and d = X - t: g = sum [-q, q x d]; Q is the second derivative of |r|^2 / 2 by X.
    """
    offset = points - map_from_camera.translation
    local = offset @ map_from_camera.rotation
    residual = targets.residuals(local)
    by_point = targets.jacobian(map_from_camera, points)[1]
    bend = np.einsum("nk,nkij->nij", residual, targets.curvature(local))
    axes = map_from_camera.rotation
    second = np.swapaxes(by_point, 1, 2) @ by_point + axes @ bend @ axes.T
    pull, arm = skew(np.einsum("nki,nk->ni", by_point, residual)), skew(offset)
    by_map_point = np.concatenate([-second, pull - arm @ second], axis=1)
    turned = second @ arm - pull
    by_turn = np.concatenate([-turned, -arm @ turned], axis=1)
    by_twist = np.concatenate([-by_map_point, by_turn], axis=2).sum(axis=0)
    solved = np.linalg.solve(by_twist, by_map_point.transpose(1, 0, 2).reshape(6, -1))
    return np.asarray(-solved.reshape(6, -1, 3).transpose(1, 0, 2))
