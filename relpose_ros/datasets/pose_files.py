"""One pose a file: the 4x4 camera-to-world matrix of 7-Scenes and 12-Scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relpose_ros.datasets.text_files import rows
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid

ROTATION_TOLERANCE = 0.02
"""How far R R^T may be from the identity; the publishers print few digits."""


def read_pose_file(path: Path) -> Rigid | None:
    """`map_from_camera` of a pose file; None when tracking was lost (inf, NaN or #IND in it).

    The rotation is made orthonormal. Raises DatasetError when the file is not a rigid 4x4 matrix.
    """
    lines = list(rows(path))
    if len(lines) != 4 or any(len(row.fields) != 4 for row in lines):
        raise DatasetError(
            f"{path}: expected a 4x4 matrix, got {len(lines)} lines of {[len(r.fields) for r in lines]}"
        )
    texts = [field for row in lines for field in row.fields]
    if any("#" in text or "nan" in text.lower() or "inf" in text.lower() for text in texts):
        return None
    matrix = np.array([row.numbers() for row in lines])
    rotation = matrix[:3, :3]
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > ROTATION_TOLERANCE or np.linalg.det(rotation) < 0 or not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise DatasetError(
            f"{path}: expected a rigid camera-to-world matrix, got one that is off by {error:.2g}"
        )
    u, _, vt = np.linalg.svd(rotation)
    return Rigid(u @ vt, matrix[:3, 3])
