"""Earth-centred coordinates (ECEF, WGS 84), in float64: a float32 is off by half a metre out there."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SEMI_MAJOR = 6378137.0
FLATTENING = 1 / 298.257223563
ECCENTRICITY_2 = FLATTENING * (2 - FLATTENING)


def ecef_from_geodetic(longitude: float, latitude: float, height: float) -> Array:
    """Degrees and metres above the ellipsoid -> ECEF (3,), metres."""
    lon, lat = math.radians(longitude), math.radians(latitude)
    normal = SEMI_MAJOR / math.sqrt(1 - ECCENTRICITY_2 * math.sin(lat) ** 2)
    across = (normal + height) * math.cos(lat)
    up = (normal * (1 - ECCENTRICITY_2) + height) * math.sin(lat)
    return np.array([across * math.cos(lon), across * math.sin(lon), up])


def geodetic_from_ecef(point: Array) -> tuple[float, float, float]:
    """ECEF (3,) -> longitude, latitude (degrees) and height (m); exact near the ground."""
    x, y, z = (float(n) for n in point)
    across = math.hypot(x, y)
    latitude = math.atan2(z, across * (1 - ECCENTRICITY_2))
    for _ in range(5):  # fixed point: each round gains two to three digits
        normal = SEMI_MAJOR / math.sqrt(1 - ECCENTRICITY_2 * math.sin(latitude) ** 2)
        latitude = math.atan2(z + ECCENTRICITY_2 * normal * math.sin(latitude), across)
    normal = SEMI_MAJOR / math.sqrt(1 - ECCENTRICITY_2 * math.sin(latitude) ** 2)
    c, s = math.cos(latitude), math.sin(latitude)
    height = across * c + z * s - SEMI_MAJOR**2 / normal
    return math.degrees(math.atan2(y, x)), math.degrees(latitude), height


def ecef_from_ned(longitude: float, latitude: float) -> Array:
    """Rotation (3, 3) whose columns are north, east and down at a place (degrees)."""
    lon, lat = math.radians(longitude), math.radians(latitude)
    north = [-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)]
    east = [-math.sin(lon), math.cos(lon), 0.0]
    down = [-math.cos(lat) * math.cos(lon), -math.cos(lat) * math.sin(lon), -math.sin(lat)]
    return np.array([north, east, down]).T
