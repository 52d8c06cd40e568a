"""One query's image with what tied it to the map."""

from __future__ import annotations

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import RelposeError
from relpose_ros.evaluation.records import QueryRecord
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.types import Matches

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]

MAX_SIDE = 560
MAX_DRAWN = 300
GREEN, RED, BLUE = (90, 200, 60), (60, 60, 225), (235, 150, 40)
"""BGR."""


def data_uri(record: QueryRecord) -> str | None:
    """A JPEG of the query as a `data:` address, at most `MAX_SIDE` wide or high.

    Green circles: inliers; red crosses: outliers; a line from an inlier leads to where the pose
    (green) and the truth (blue) put its landmark. None when there is no image to be had.
    """
    picture = read(record)
    if picture is None:
        return None
    small, scale = shrink(picture)
    matches = record.localization.matches
    if matches is not None and len(matches.pixels):
        draw(small, scale, matches, record)
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 78])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode() if done else None


def read(record: QueryRecord) -> Picture | None:
    """The record's image as uint8 BGR; None when it has none or it cannot be read any more."""
    if record.image is None:
        return None
    try:
        picture: NDArray[Any] = np.asarray(record.image())
    except (RelposeError, OSError, ValueError):
        return None
    if picture.dtype != np.uint8 or picture.ndim not in (2, 3) or not picture.size:
        return None
    if picture.ndim == 2 or picture.shape[2] == 1:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)  # type: ignore[return-value]
    return np.ascontiguousarray(picture[..., :3])


def shrink(picture: Picture) -> tuple[Picture, float]:
    """At most `MAX_SIDE` wide or high (a copy), and the factor."""
    scale = min(1.0, MAX_SIDE / max(picture.shape[:2]))
    if scale == 1.0:
        return picture.copy(), scale
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), scale  # type: ignore[return-value]


def draw(picture: Picture, scale: float, matches: Matches, record: QueryRecord) -> None:
    """Draw the matches into the picture, in place."""
    inlier = np.asarray(matches.inlier, bool)
    for pixel in _some(_scaled(matches.pixels[~inlier], scale)):
        _mark(picture, pixel, RED, cross=True)
    pixels = _scaled(matches.pixels[inlier], scale)
    if record.camera is not None:
        poses = ((record.ground_truth, BLUE), (record.localization.map_from_camera, GREEN))
        for pose, colour in poses:
            if pose is not None:
                seen = _scaled(projected(matches.points[inlier], pose, record.camera), scale)
                _lines(picture, pixels, seen, colour)
    for pixel in _some(pixels):
        _mark(picture, pixel, GREEN, cross=False)


def projected(points: Array, map_from_camera: Rigid, camera: Camera) -> Array:
    """Pixels (N, 2) of map points (N, 3); NaN where a point is not seen."""
    if not (np.isfinite(map_from_camera.matrix).all() and len(points)):
        return np.full((len(points), 2), np.nan)
    return camera.project(map_from_camera.inverse().apply(points))


def _scaled(pixels: Array, scale: float) -> Array:
    return (np.asarray(pixels, float).reshape(-1, 2) + 0.5) * scale - 0.5


def _some(rows: Array) -> Array:
    return rows[:: max(1, -(-len(rows) // MAX_DRAWN))]


def _lines(picture: Picture, start: Array, end: Array, colour: tuple[int, int, int]) -> None:
    limit = 4 * max(picture.shape)
    for a, b in zip(_some(start), _some(end), strict=True):
        if np.isfinite([*a, *b]).all() and np.abs([*a, *b]).max() < limit:
            cv2.line(picture, _whole(a), _whole(b), colour, 1, cv2.LINE_AA)


def _mark(picture: Picture, pixel: Array, colour: tuple[int, int, int], *, cross: bool) -> None:
    if not np.isfinite(pixel).all() or np.abs(pixel).max() > 4 * max(picture.shape):
        return
    if cross:
        cv2.drawMarker(picture, _whole(pixel), colour, cv2.MARKER_TILTED_CROSS, 6, 1, cv2.LINE_AA)
    else:
        cv2.circle(picture, _whole(pixel), 3, colour, 1, cv2.LINE_AA)


def _whole(pixel: Array) -> tuple[int, int]:
    return round(float(pixel[0])), round(float(pixel[1]))
