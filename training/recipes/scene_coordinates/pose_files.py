"""Poses of a test as files that others read: TUM, and the one that DSAC* writes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from relpose_ros.evaluation.files import write_text
from relpose_ros.evaluation.trajectories import write_tum
from relpose_training.recipes.scene_coordinates.examination import ImageResult


def write_poses(results: Sequence[ImageResult], path: Path) -> Path:
    """TUM if the name ends in .tum, map_from_camera; else DSAC*'s `poses_*.txt`. Images without a pose are
    left out."""
    if path.suffix == ".tum":
        known = [r for r in results if r.estimate.pose is not None]
        stamps = [r.stamp for r in known]
        if len(set(stamps)) < len(stamps):
            stamps = [float(i) for i in range(len(known))]
        return write_tum(path, stamps, [r.estimate.pose for r in known if r.estimate.pose is not None])
    return write_text(path, "".join(f"{line}\n" for line in map(published_line, results) if line))


def published_line(result: ImageResult) -> str:
    """`file qw qx qy qz tx ty tz r_err t_err`, camera_from_map, degrees and metres; "" without a pose.

    For a camera that is not turned the original has NaN; here it is 1 0 0 0.
    """
    pose = result.estimate.pose
    if pose is None:
        return ""
    inverse = pose.inverse()
    x, y, z, w = inverse.rotation_xyzw.tolist()
    sign = math.copysign(1.0, w)
    numbers = (*(sign * q for q in (w, x, y, z)), *inverse.translation.tolist())
    errors = (result.rotation_deg, result.translation_m)
    return " ".join([result.name.replace(" ", "_"), *(f"{n:.9g}" for n in (*numbers, *errors))])
