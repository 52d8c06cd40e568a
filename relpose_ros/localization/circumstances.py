"""What calibration asks of a hypothesis beside its covariance: how far the map was from what was seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from relpose_ros.maps.bundle import Map
from relpose_ros.types import Hypothesis


def with_circumstances(map_: Map, hypothesis: Hypothesis, focal: float) -> Hypothesis:
    """Add what the calibration asks for: how far the nearest reference's view and what was
    matched are, and how well the map agrees with itself here."""
    pose, evidence = hypothesis.map_from_camera, hypothesis.evidence
    depth = evidence.depth or map_.depth
    if hypothesis.matches is not None and hypothesis.matches.inlier.any():
        offset = hypothesis.matches.points[hypothesis.matches.inlier] - pose.translation
        depth = float(np.median(np.linalg.norm(offset, axis=1)))
    parallax, angle = view_change(map_, pose.translation, pose.rotation[:, 2], depth)
    change = float(np.sqrt(parallax**2 + angle**2).min())
    # A tenth of a pixel is as well as keypoints ever agree.
    residual = max(evidence.residual_px, 0.1) / focal
    seen = replace(evidence, view_change=change, depth=depth, residual_angle=residual)
    return replace(hypothesis, evidence=seen)


def view_change(
    map_: Map, centre: np.ndarray, forward: np.ndarray, depth: float
) -> tuple[np.ndarray, np.ndarray]:
    """From a view to each reference's: distance over `depth` (R,) and turn of the axis (R,), rad."""
    references = map_.reference_poses
    distance = np.linalg.norm(references.translation - centre, axis=1)
    cosine = references.rotation[:, :, 2] @ forward
    return distance / max(depth, 1e-9), np.arccos(np.clip(cosine, -1, 1))
