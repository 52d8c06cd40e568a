"""Pictures for people: ~/debug_image and ~/markers, made only while somebody looks."""

from __future__ import annotations

from typing import Any

import numpy as np
from geometry_msgs.msg import Point
from numpy.typing import NDArray
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.camera_node import CameraNode
from relpose_ros.nodes.intake import ImageMessage
from relpose_ros.nodes.messages import pose_message
from relpose_ros.types import Frame, Localization, State

COLOURS = {
    State.LOCALIZED: (0.1, 0.8, 0.2),
    State.DEGRADED: (1.0, 0.7, 0.0),
    State.UNLOCALIZED: (0.9, 0.1, 0.1),
}
"""State -> red, green, blue in 0..1."""

MAX_LANDMARKS = 20_000
"""Points shown in a viewer; more only make it slow."""


class DebugPublisher:
    """Draws answers. Costs nothing while neither topic has a subscriber."""

    def __init__(self, node: CameraNode, map_frame: str) -> None:
        self._map_frame = map_frame
        self._images = node.open_publisher(Image, "~/debug_image", 1)
        self._markers = node.open_publisher(MarkerArray, "~/markers", 1)

    def publish(self, answer: Localization, frame: Frame, message: ImageMessage, map_: Any) -> None:
        """Publish the pictures that are wanted; `map_` is what the answer was found in."""
        if self._images.get_subscription_count():
            self._images.publish(_image_message(draw(answer, frame.image), message))
        if self._markers.get_subscription_count():
            self._markers.publish(MarkerArray(markers=self._scene(answer, message, map_)))

    def _scene(self, answer: Localization, message: ImageMessage, map_: Any) -> list[Marker]:
        out = [self._landmarks(message, map_), self._references(answer, message, map_)]
        if answer.map_from_camera is None:
            gone = self._marker("camera", Marker.ARROW, message)
            gone.action = Marker.DELETE
            return [*out, gone]
        return [*out, self._camera(answer, answer.map_from_camera, message)]

    def _landmarks(self, message: ImageMessage, map_: Any) -> Marker:
        points = map_.landmark_points
        marker = self._marker("landmarks", Marker.POINTS, message)
        marker.scale.x = marker.scale.y = 0.02
        marker.color = _colour((0.6, 0.6, 0.6))
        marker.points = _points(points[:: max(1, len(points) // MAX_LANDMARKS)])
        return marker

    def _references(self, answer: Localization, message: ImageMessage, map_: Any) -> Marker:
        """All references; those that took part in the answer's colour."""
        marker = self._marker("references", Marker.SPHERE_LIST, message)
        marker.scale.x = marker.scale.y = marker.scale.z = 0.05
        marker.points = _points(map_.reference_poses.translation)
        used, plain = set(answer.references), (0.3, 0.4, 0.9)
        marker.colors = [
            _colour(COLOURS[answer.state] if name in used else plain) for name in map_.reference_names
        ]
        return marker

    def _camera(self, answer: Localization, map_from_camera: Rigid, message: ImageMessage) -> Marker:
        """An arrow of half a metre along the optical axis."""
        marker = self._marker("camera", Marker.ARROW, message)
        marker.scale.x, marker.scale.y, marker.scale.z = 0.03, 0.08, 0.1
        marker.color = _colour(COLOURS[answer.state])
        marker.points = _points(map_from_camera.apply(np.array([[0, 0, 0], [0, 0, 0.5]])))
        return marker

    def _marker(self, name: str, kind: int, message: ImageMessage) -> Marker:
        marker = Marker(ns=name, type=kind, action=Marker.ADD, pose=pose_message(Rigid.identity()))
        marker.header.stamp, marker.header.frame_id = message.header.stamp, self._map_frame
        return marker


def draw(answer: Localization, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image in BGR with its matches (inliers coloured, outliers grey) and the state in words."""
    import cv2

    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR) if image.ndim == 2 else image.copy()
    red, green, blue = (round(255 * c) for c in COLOURS[answer.state])
    if answer.matches is not None:
        for pixel, inlier in zip(answer.matches.pixels, answer.matches.inlier, strict=True):
            centre = (round(float(pixel[0])), round(float(pixel[1])))
            cv2.circle(canvas, centre, 3, (blue, green, red) if inlier else (128, 128, 128), 1)
    text = f"{answer.state.value} {answer.confidence:.2f} {answer.inliers} inliers {answer.reason}"
    cv2.putText(canvas, text, (5, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 3)
    cv2.putText(canvas, text, (5, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (blue, green, red), 1)
    return np.asarray(canvas, np.uint8)


def _image_message(image: NDArray[np.uint8], source: ImageMessage) -> Image:
    height, width = image.shape[:2]
    out = Image(header=source.header, height=height, width=width, encoding="bgr8", step=3 * width)
    out.data = image.tobytes()  # bytes: assigning an array takes half a second
    return out


def _points(points: NDArray[np.float64]) -> list[Point]:
    return [Point(x=x, y=y, z=z) for x, y, z in np.asarray(points, float).tolist()]


def _colour(colour: tuple[float, float, float]) -> ColorRGBA:
    return ColorRGBA(r=colour[0], g=colour[1], b=colour[2], a=1.0)
