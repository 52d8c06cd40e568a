"""The uncertainty image and the coordinate cloud as messages."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sensor_msgs.msg import Image, PointCloud2, PointField

from relpose_ros.checkpoints.scene import CoordinateMap
from relpose_ros.nodes.coordinate_topics import CoordinateTopics, cloud_message, deviation_message
from relpose_ros.nodes.messages import time_message


@pytest.fixture
def cells() -> CoordinateMap:
    """Two rows of three cells of an image of 24x16; one has no ray, one no coordinate."""
    y, x = np.mgrid[:2, :3]
    pixels = 8.0 * np.stack([x.ravel(), y.ravel()], axis=1) + 4
    points = np.arange(18.0).reshape(6, 3)
    points[4] = np.nan
    rays = pixels / 100
    rays[5] = np.nan
    deviation = 0.1 * np.arange(1, 7)
    return CoordinateMap(points, deviation[:, None, None] ** 2 * np.eye(3), rays, pixels, (2, 3), 100.0)


@pytest.fixture
def picture() -> np.ndarray:
    """BGR: blue 10, green grows with the column, red with the row."""
    y, x = np.mgrid[:16, :24]
    return np.stack([np.full_like(x, 10), x, y], axis=2).astype(np.uint8)


@pytest.fixture
def message() -> Image:
    out = Image()
    out.header.stamp, out.header.frame_id = time_message(5_000_000_007), "camera"
    return out


def test_deviations_are_metres_in_rows(cells, message):
    out = deviation_message(cells, message)
    assert (out.height, out.width, out.encoding, out.step, out.is_bigendian) == (2, 3, "32FC1", 12, 0)
    assert out.header == message.header
    values = np.frombuffer(out.data, np.float32)
    assert np.allclose(values, [0.1, 0.2, 0.3, 0.4, np.nan, np.nan], equal_nan=True)


def test_an_anisotropic_deviation_is_the_root_of_the_mean_variance(cells, message):
    cells.covariances[0] = np.diag([1.0, 4.0, 7.0])
    assert np.isclose(np.frombuffer(deviation_message(cells, message).data, np.float32)[0], 2.0)


def test_a_network_without_uncertainty_says_nan(cells, message):
    silent = CoordinateMap(cells.points, None, cells.rays, cells.pixels, cells.shape, 100.0)
    assert np.isnan(np.frombuffer(deviation_message(silent, message).data, np.float32)).all()


@pytest.mark.parametrize("grey", [False, True])
def test_the_cloud_is_organised_and_coloured(cells, picture, message, grey):
    image = picture[..., 1].copy() if grey else picture
    out = cloud_message(cells, image, message, "office")
    assert (out.header.frame_id, out.header.stamp) == ("office", message.header.stamp)
    assert (out.height, out.width, out.point_step, out.row_step) == (2, 3, 20, 60)
    assert not out.is_dense and not out.is_bigendian and len(out.data) == 120
    assert [(f.name, f.offset, f.datatype, f.count) for f in out.fields] == [
        (name, 4 * i, PointField.FLOAT32, 1) for i, name in enumerate(["x", "y", "z", "sigma", "rgb"])
    ]
    values = np.frombuffer(out.data, np.float32).reshape(6, 5)
    assert np.allclose(values[:4, :3], np.arange(12).reshape(4, 3))
    assert np.isnan(values[4:, :4]).all()
    packed = np.frombuffer(out.data, np.uint32).reshape(6, 5)[1, 4]  # pixel (12, 4)
    expected = (12, 12, 12) if grey else (4, 12, 10)
    assert ((packed >> 16) & 255, (packed >> 8) & 255, packed & 255) == expected


def test_a_cell_beyond_the_image_is_black(cells, message):
    small = np.full((16, 20), 200, np.uint8)
    packed = np.frombuffer(cloud_message(cells, small, message, "m").data, np.uint32).reshape(6, 5)[:, 4]
    assert packed[0] == 0xC8C8C8 and packed[2] == 0  # pixel (20, 4)


class Publisher:
    def __init__(self, listeners: int) -> None:
        self.listeners, self.sent = listeners, []

    def get_subscription_count(self) -> int:
        return self.listeners

    def publish(self, message) -> None:
        self.sent.append(message)


@pytest.mark.parametrize(("images", "clouds"), [(0, 0), (1, 0), (0, 1), (2, 1)])
def test_nothing_is_made_that_nobody_hears(cells, picture, message, images, clouds, monkeypatch):
    publishers = {Image: Publisher(images), PointCloud2: Publisher(clouds)}
    node = SimpleNamespace(open_publisher=lambda kind, topic, depth: publishers[kind])
    topics = CoordinateTopics(node, "office")
    for name, listeners in (("deviation_message", images), ("cloud_message", clouds)):
        if not listeners:
            monkeypatch.setattr(f"relpose_ros.nodes.coordinate_topics.{name}", pytest.fail)
    topics.publish(cells, picture, message)
    assert [len(p.sent) for p in publishers.values()] == [min(images, 1), min(clouds, 1)]
