"""ROS messages for the bag writer, made with the types that `rosbags` carries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
ODOMETRY = "nav_msgs/msg/Odometry"
CAMERA_INFO, POSE, TF = (
    "sensor_msgs/msg/CameraInfo",
    "geometry_msgs/msg/PoseStamped",
    "tf2_msgs/msg/TFMessage",
)


class Messages:
    """Makes messages; every stamp is in nanoseconds."""

    def __init__(self) -> None:
        from rosbags.typesys import Stores, get_typestore

        self.store = get_typestore(Stores.ROS2_KILTED)

    def serialized(self, message: Any, kind: str) -> bytes | memoryview:
        """The CDR bytes of a message."""
        return self.store.serialize_cdr(message, kind)

    def image(self, stamp: int, frame_id: str, pixels: NDArray[np.uint8]) -> Any:
        """sensor_msgs/Image, mono8 for (H, W) and bgr8 for (H, W, 3)."""
        height, width = pixels.shape[:2]
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        return self._make(
            IMAGE,
            header=self._header(stamp, frame_id),
            height=height,
            width=width,
            encoding="mono8" if channels == 1 else "bgr8",
            is_bigendian=0,
            step=width * channels,
            data=np.ascontiguousarray(pixels, np.uint8).reshape(-1),
        )

    def compressed(self, stamp: int, frame_id: str, image: NDArray[np.uint8] | bytes, quality: int) -> Any:
        """sensor_msgs/CompressedImage: file bytes as they are, pixels as JPEG."""
        form, data = _file_format(image) if isinstance(image, bytes) else ("jpeg", _jpeg(image, quality))
        header = self._header(stamp, frame_id)
        return self._make(COMPRESSED, header=header, format=form, data=np.frombuffer(data, np.uint8))

    def camera_info(self, stamp: int, frame_id: str, camera: Camera) -> Any:
        """sensor_msgs/CameraInfo of the whole image."""
        roi = self._make(
            "sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False
        )
        header, fields = self._header(stamp, frame_id), camera_info_fields(camera)
        return self._make(CAMERA_INFO, header=header, binning_x=0, binning_y=0, roi=roi, **fields)

    def pose(self, stamp: int, frame_id: str, pose: Rigid) -> Any:
        """geometry_msgs/PoseStamped."""
        position = self._vector("geometry_msgs/msg/Point", pose)
        body = self._make("geometry_msgs/msg/Pose", position=position, orientation=self._quaternion(pose))
        return self._make(POSE, header=self._header(stamp, frame_id), pose=body)

    def tf(self, stamp: int, parent: str, child: str, parent_from_child: Rigid) -> Any:
        """tf2_msgs/TFMessage with one transform."""
        translation = self._vector("geometry_msgs/msg/Vector3", parent_from_child)
        rotation = self._quaternion(parent_from_child)
        transform = self._make("geometry_msgs/msg/Transform", translation=translation, rotation=rotation)
        header = self._header(stamp, parent)
        kind = "geometry_msgs/msg/TransformStamped"
        return self._make(
            TF, transforms=[self._make(kind, header=header, child_frame_id=child, transform=transform)]
        )

    def odometry(self, stamp: int, frame_id: str, child: str, pose: Rigid, twist: NDArray[np.float64]) -> Any:
        """nav_msgs/Odometry; `twist` (6,) is the child's, in its own axes. Covariances stay 0: unknown."""
        position = self._vector("geometry_msgs/msg/Point", pose)
        body = self._make("geometry_msgs/msg/Pose", position=position, orientation=self._quaternion(pose))
        linear, angular = (
            self._make("geometry_msgs/msg/Vector3", x=float(x), y=float(y), z=float(z))
            for x, y, z in np.reshape(twist, (2, 3))
        )
        speed = self._make("geometry_msgs/msg/Twist", linear=linear, angular=angular)
        return self._make(
            ODOMETRY,
            header=self._header(stamp, frame_id),
            child_frame_id=child,
            pose=self._make("geometry_msgs/msg/PoseWithCovariance", pose=body, covariance=np.zeros(36)),
            twist=self._make("geometry_msgs/msg/TwistWithCovariance", twist=speed, covariance=np.zeros(36)),
        )

    def _header(self, stamp: int, frame_id: str) -> Any:
        time = self._make("builtin_interfaces/msg/Time", sec=stamp // 10**9, nanosec=stamp % 10**9)
        return self._make("std_msgs/msg/Header", stamp=time, frame_id=frame_id)

    def _vector(self, kind: str, pose: Rigid) -> Any:
        x, y, z = map(float, pose.translation)
        return self._make(kind, x=x, y=y, z=z)

    def _quaternion(self, pose: Rigid) -> Any:
        x, y, z, w = map(float, pose.rotation_xyzw)
        return self._make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)

    def _make(self, kind: str, **fields: Any) -> Any:
        return self.store.types[kind](**fields)


def camera_info_fields(camera: Camera) -> dict[str, Any]:
    """`sensor_msgs/CameraInfo` fields of a camera, by name, without header, binning and ROI."""
    zeros = (0.0,) * (4 if camera.model == "equidistant" else 5)
    projection = np.concatenate([camera.matrix, np.zeros((3, 1))], axis=1)
    return {
        "height": camera.height,
        "width": camera.width,
        "distortion_model": "plumb_bob" if camera.model == "pinhole" else camera.model,
        "d": np.array(camera.distortion or zeros, np.float64),
        "k": camera.matrix.reshape(-1),
        "r": np.eye(3).reshape(-1),
        "p": projection.reshape(-1),
    }


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    import cv2

    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DatasetError(f"cannot encode an image of shape {pixels.shape} as JPEG")
    return data.tobytes()


def _file_format(data: bytes) -> tuple[str, bytes]:
    """The CompressedImage format of file bytes; only what every image_transport reads passes."""
    for magic, form in ((b"\xff\xd8", "jpeg"), (b"\x89PNG", "png")):
        if data.startswith(magic):
            return form, data
    raise DatasetError(
        "expected the bytes of a JPEG or PNG file for a compressed bag; decode other images first"
    )
