"""Pose metrics of the one-to-one framework and of OANet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.evaluation.pair_counts import pose_accuracy
from relpose_ros.evaluation.pose_auc import binned_auc, pose_auc, relative_pose_errors_deg
from relpose_ros.evaluation.two_view_poses import pose_by_ransac, pose_of_essential
from relpose_ros.geometry.rigid import Rigid
from tools.parity.case import Deviation, deviation, golden, load

DEGREES = 1e-3
THRESHOLDS = (5, 10, 20)
NAMES = ("err_q", "err_t", "err_qt")


@golden("one_to_one", "pose metrics", "metrics.npz")
def metrics() -> Iterator[Deviation]:
    stored = load("one_to_one", "metrics.npz")
    ours = np.array([pose_errors(stored, i) for i in range(8)])
    yield deviation("errors without RANSAC", ours[:, 0].T, [stored[n][:8] for n in NAMES[:2]], DEGREES)
    yield deviation("the greater error", ours[:, 0].max(axis=1), stored["err_qt"][:8], DEGREES)
    yield deviation("errors with RANSAC", ours[:, 1], stored["ransac_err_q_t_first8"], DEGREES)
    for row, name in enumerate(NAMES):
        errors = stored[name]
        yield deviation(f"AUC {name}", 100 * pose_auc(errors, THRESHOLDS), stored["mAP_exact"][row], DEGREES)
        shares = pose_accuracy(errors, range(1, 361))
        histogram = np.diff(shares, prepend=0.0) * len(errors)
        yield deviation(f"histogram {name}", histogram, stored["mAP_hist"][row], 1e-9)
    worst = stored["err_qt"]
    yield deviation("accuracy", 100 * pose_accuracy(worst, THRESHOLDS), stored["mAP_5_10_20_Rt"], DEGREES)
    binned = 100 * binned_auc(worst, range(5, 31, 5))
    yield deviation("OANet's mAP", binned, stored["oanet_mAP_5_10_15_20_25_30"], DEGREES)


def pose_errors(stored: dict[str, NDArray[Any]], i: int) -> tuple[tuple[float, float], ...]:
    """Rotation and translation error (degrees) of pair `i`, without and with RANSAC."""
    truth = Rigid(stored[f"{i}.R"].astype(float), stored[f"{i}.t"][:, 0].astype(float))
    pairs, logits = stored[f"{i}.xs"][0], stored[f"{i}.logits"]
    direct = pose_of_essential(stored[f"{i}.e_hat"].reshape(3, 3), pairs, logits)
    robust = pose_by_ransac(pairs, logits)
    return relative_pose_errors_deg(direct, truth), relative_pose_errors_deg(robust, truth)
