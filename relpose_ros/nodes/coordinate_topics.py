"""What a scene-coordinate network said of each cell: ~/uncertainty_image and ~/coordinates.

Made only while somebody looks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField

from relpose_ros.geometry.covariance import axis_deviation
from relpose_ros.nodes.camera_node import CameraNode
from relpose_ros.nodes.intake import ImageMessage

if TYPE_CHECKING:
    from relpose_ros.checkpoints.scene import CoordinateMap

POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("sigma", "<f4"), ("rgb", "<u4")])
"""A point of the cloud. `rgb` is 0x00RRGGBB and declared FLOAT32, as PCL and RViz expect it."""


class CoordinateTopics:
    """Publishes coordinate maps. Costs nothing while neither topic has a subscriber."""

    def __init__(self, node: CameraNode, map_frame: str) -> None:
        self._map_frame = map_frame
        self._images = node.open_publisher(Image, "~/uncertainty_image", 1)
        self._clouds = node.open_publisher(PointCloud2, "~/coordinates", 1)

    def publish(self, cells: CoordinateMap, image: NDArray[np.uint8], message: ImageMessage) -> None:
        """Publish what is wanted; `image` is the query (H, W) or (H, W, 3) BGR of `message`."""
        if self._images.get_subscription_count():
            self._images.publish(deviation_message(cells, message))
        if self._clouds.get_subscription_count():
            self._clouds.publish(cloud_message(cells, image, message, self._map_frame))


def deviations(cells: CoordinateMap) -> NDArray[np.float32]:
    """Standard deviation (N,) of each cell along an axis, m; NaN where nothing is known."""
    if cells.covariances is None:
        return np.full(len(cells.points), np.nan, np.float32)
    return np.where(cells.usable, axis_deviation(cells.covariances), np.nan).astype(np.float32)


def deviation_message(cells: CoordinateMap, source: ImageMessage) -> Image:
    """32FC1 of the map's shape, metres, with the header of the image."""
    height, width = cells.shape
    out = Image(header=source.header, height=height, width=width, encoding="32FC1", step=4 * width)
    out.data = deviations(cells).astype("<f4").tobytes()
    return out


def cloud_message(
    cells: CoordinateMap, image: NDArray[np.uint8], source: ImageMessage, map_frame: str
) -> PointCloud2:
    """An organised cloud (a row of cells is a row of points) in the map frame; unknown points are NaN."""
    height, width = cells.shape
    points = np.zeros(len(cells.points), POINT)
    known = np.where(cells.usable[:, None], cells.points, np.nan)
    points["x"], points["y"], points["z"] = known.T
    points["sigma"], points["rgb"] = deviations(cells), colours(image, cells.pixels)
    out = PointCloud2(height=height, width=width, point_step=POINT.itemsize, is_dense=False)
    out.header.stamp, out.header.frame_id = source.header.stamp, map_frame
    out.row_step = POINT.itemsize * width
    out.fields = [
        PointField(name=name, offset=4 * index, datatype=PointField.FLOAT32, count=1)
        for index, name in enumerate(POINT.names or ())
    ]
    out.data = points.tobytes()
    return out


def colours(image: NDArray[np.uint8], pixels: NDArray[np.float64]) -> NDArray[np.uint32]:
    """0x00RRGGBB (N,) of a grey or BGR image at the nearest pixels (N, 2); black outside of it."""
    x, y = np.rint(pixels).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < image.shape[1]) & (y < image.shape[0])
    out = np.zeros(len(pixels), np.uint32)
    found = image[y[inside], x[inside]].astype(np.uint32)
    blue, green, red = (found, found, found) if found.ndim == 1 else found.T
    out[inside] = red << 16 | green << 8 | blue
    return out
