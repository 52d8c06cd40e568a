"""Earth-centred coordinates against values of the WGS 84 ellipsoid."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.geometry.geodetic import ecef_from_geodetic, ecef_from_ned, geodetic_from_ecef


def test_known_places():
    np.testing.assert_allclose(ecef_from_geodetic(0, 0, 0), [6378137.0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(ecef_from_geodetic(90, 0, 10), [0, 6378147.0, 0], atol=1e-8)
    np.testing.assert_allclose(ecef_from_geodetic(0, 90, 0), [0, 0, 6356752.314245], atol=1e-6)


@pytest.mark.parametrize("place", [(7.065, 46.3705, 1410.0), (-122.4, -33.9, -50.0), (179.9, 84.0, 9000.0)])
def test_there_and_back(place):
    np.testing.assert_allclose(geodetic_from_ecef(ecef_from_geodetic(*place)), place, atol=1e-8)


def test_north_east_down():
    axes = ecef_from_ned(7.0, 46.0)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-14)
    assert np.linalg.det(axes) == pytest.approx(1)
    here = ecef_from_geodetic(7.0, 46.0, 500.0)
    np.testing.assert_allclose(ecef_from_geodetic(7.0, 46.0, 400.0) - here, 100 * axes[:, 2], atol=1e-6)
    north = ecef_from_geodetic(7.0, 46.00001, 500.0) - here
    np.testing.assert_allclose(north / np.linalg.norm(north), axes[:, 0], atol=1e-6)
    east = ecef_from_geodetic(7.00001, 46.0, 500.0) - here
    np.testing.assert_allclose(east / np.linalg.norm(east), axes[:, 1], atol=1e-6)
