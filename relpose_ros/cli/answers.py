"""One localization as a person reads it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relpose_ros.types import Localization

REFERENCES_SHOWN = 5


def describe(answer: Localization, metric: bool = True) -> str:
    """A few lines: state, position and orientation with their standard deviations, why; a line a camera."""
    head = f"{answer.source}: {answer.state.value}"
    details = []
    if answer.has_pose:
        details = [answer.method, f"{answer.inliers} inliers", f"confidence {answer.confidence:.2f}"]
    if "total" in answer.latency_ms:
        details.append(f"{answer.latency_ms['total']:.0f} ms")
    lines = [f"{head}  ({', '.join(d for d in details if d)})" if details else head]
    if answer.reason:
        lines.append(f"  reason       {answer.reason}")
    lines += _pose_lines(answer, metric)
    if answer.references:
        more = len(answer.references) - REFERENCES_SHOWN
        shown = ", ".join(answer.references[:REFERENCES_SHOWN])
        lines.append(f"  references   {shown}{f' and {more} more' if more > 0 else ''}")
    for camera in answer.cameras:
        remark = f" ({camera.remark})" if camera.remark else ""
        lines.append(f"  {camera.source:<12} {camera.inliers} inliers{remark}")
    return "\n".join(lines)


def _pose_lines(answer: Localization, metric: bool) -> list[str]:
    if answer.map_from_camera is None:
        return []
    unit, small, factor = ("m", "cm", 100.0) if metric else ("units", "units", 1.0)
    position = "  ".join(f"{v:.3f}" for v in answer.map_from_camera.translation)
    rotation = "  ".join(f"{v:.4f}" for v in answer.map_from_camera.rotation_xyzw)
    lines = [f"  position     {position} {unit}", f"  orientation  {rotation} (x y z w)"]
    if answer.covariance is not None:
        sigma = np.sqrt(np.diag(answer.covariance))
        lines[0] += f"   1-sigma {_three(sigma[:3] * factor)} {small}"
        lines[1] += f"   1-sigma {_three(np.degrees(sigma[3:]))} deg"
    return lines


def _three(values: NDArray[np.float64]) -> str:
    return " ".join(f"{v:.3g}" for v in values)
