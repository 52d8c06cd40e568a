"""EPFL and comballaz as TransPose's renderer leaves them: views of a textured city model (LHS-sim).

Beside each other: `*_img.png` (or `*_fake_B.png`, translated; or photographs `*.JPG`), `*_pc.npy`, the ECEF
point that every pixel sees (H, W, 3), -1 where there is none, and `*_poses.npy`, a line x y z yaw pitch roll
of each image, in order: ECEF metres, degrees of a north-east-down body. f = 480 for 720x480 pixels. The map
is ECEF less an origin, in float64, without a rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.array_files import read_array
from relpose_ros.datasets.base import Domain, PosedImage, Source
from relpose_ros.datasets.image_files import ImageFile
from relpose_ros.datasets.image_headers import quick_image_size
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.geodetic import ecef_from_geodetic, ecef_from_ned, geodetic_from_ecef
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]
LICENCE = "EPFL TOPO: see the page of TransPose and CrossLoc"
ORIGINS = {"comballaz": (7.065, 46.3705, 1410.0), "epfl": (6.5668, 46.5191, 390.0)}
"""Longitude and latitude in degrees and height in metres of the published frames."""
IMAGES: dict[str, Domain] = {"_img.png": "simulated", "_fake_B.png": "simulated", ".JPG": "real"}
FOCAL_PER_WIDTH = 480 / 720
INVALID = -1.0


@dataclass(frozen=True)
class EcefPoints:
    """A `PosedImage.load_coordinates`: the points of a file, less `origin` (3,)."""

    path: Path
    origin: tuple[float, float, float]

    def __call__(self) -> Array:
        """(H, W, 3), NaN where there is none. Raises DatasetError for a broken file."""
        points = read_array(self.path, (None, None, 3)).astype(np.float64)
        unknown = (points == INVALID).any(axis=2) | ~np.isfinite(points).all(axis=2)
        points -= self.origin
        points[unknown] = np.nan
        return points


def recognises(path: Path) -> bool:
    """Whether `path` has a `*_poses.npy` and its images."""
    return path.is_dir() and any(path.glob("*_poses.npy")) and any(_files(path, s) for s in IMAGES)


def open_lhs_sim(
    path: Path, *, origin: str | Sequence[float] = "", images: str = "", every: int = 1
) -> Source:
    """Open one folder; all of it is the map.

    `origin`: "comballaz", "epfl", or longitude, latitude (degrees) and height (m); by default the published
    one that the folder's path names, else that of ECEF. `images`: the ending of the images to take, as
    "_fake_B.png"; by default the first kind that is there. `every` keeps every Nth. Raises DatasetError for
    files that do not belong together.
    """
    ending = images or next((suffix for suffix in IMAGES if _files(path, suffix)), "_img.png")
    files, points = _files(path, ending), _files(path, "_pc.npy")
    numbers = [read_array(file, (None, 6)) for file in sorted(path.glob("*_poses.npy"))]
    poses = np.concatenate(numbers).astype(np.float64) if numbers else np.zeros((0, 6))
    if not files or len(poses) != len(files) or len(points) not in (0, len(files)):
        raise DatasetError(
            f"{path}: {len(files)} images *{ending}, {len(poses)} poses and {len(points)} files *_pc.npy; "
            "they belong together by their order, so one for each image is expected"
        )
    if not np.isfinite(poses).all():
        raise DatasetError(f"{path}: a pose is not finite; expected x y z yaw pitch roll")
    start = _origin(path, origin)
    domain = IMAGES.get(ending, "real")
    found = [
        _image(file, points[k] if points else None, poses[k], start, domain)
        for k, file in list(enumerate(files))[:: max(every, 1)]
    ]
    return Source(path.resolve().name, path, tuple(found), True, LICENCE)


def _files(path: Path, ending: str) -> list[Path]:
    return sorted(file for file in path.glob(f"*{ending}") if not file.name.endswith("_poses.npy"))


def _image(file: Path, points: Path | None, numbers: Array, origin: Array, domain: Domain) -> PosedImage:
    width, height = quick_image_size(file)
    focal = FOCAL_PER_WIDTH * width
    camera = Camera("pinhole", focal, focal, width / 2, height / 2, width, height)
    east, north, up = origin.tolist()
    return PosedImage(
        file.name,
        camera,
        map_from_camera(numbers, origin),
        "map",
        ImageFile(file, camera),
        load_coordinates=None if points is None else EcefPoints(points, (east, north, up)),
        domain=domain,
    )


def map_from_camera(numbers: Array, origin: Array) -> Rigid:
    """From x y z (ECEF, m) yaw pitch roll (degrees, north-east-down) of a body whose x axis looks ahead."""
    yaw, pitch, roll = np.deg2rad(numbers[3:])
    turns = (np.array([0, 0, yaw]), np.array([0, pitch, 0]), np.array([roll, 0, 0]))
    about_z, about_y, about_x = (Rigid.from_rotation_vector(turn, np.zeros(3)).rotation for turn in turns)
    longitude, latitude, _ = geodetic_from_ecef(numbers[:3])
    map_from_body = ecef_from_ned(longitude, latitude) @ about_z @ about_y @ about_x
    # Camera x, y, z are the body's y (right), z (down), x (forward).
    return Rigid(map_from_body[:, [1, 2, 0]], numbers[:3] - origin)


def _origin(path: Path, origin: str | Sequence[float]) -> Array:
    """ECEF of the origin (3,)."""
    if isinstance(origin, str) and "," not in origin:
        named = [name for name in ORIGINS if name in str(path.resolve()).lower()]
        name = origin.lower() or (named[-1] if named else "ecef")
        if name == "ecef":
            return np.zeros(3)
        if name not in ORIGINS:
            raise DatasetError(
                f"{path}: origin={origin}: expected {', '.join(ORIGINS)}, ecef, or lon,lat,height"
            )
        return ecef_from_geodetic(*ORIGINS[name])
    try:
        longitude, latitude, height = map(float, origin.split(",") if isinstance(origin, str) else origin)
    except (TypeError, ValueError):
        raise DatasetError(f"{path}: origin={origin}: expected longitude, latitude and height") from None
    return ecef_from_geodetic(longitude, latitude, height)
