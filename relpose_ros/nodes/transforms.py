"""Reading TF: through tf2_ros where it is installed, else by a small listener of ours."""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.nodes.messages import rigid_from_transform, seconds
from relpose_ros.nodes.transform_buffer import TransformBuffer, TransformError, TransformNotYetError


class TransformSource(Protocol):
    """Reads TF: our own listener or tf2_ros."""

    def lookup(self, target: str, source: str, stamp: Time) -> Rigid:
        """`target_from_source`. Raises TransformError or TransformNotYetError."""
        ...

    def latest(self, target: str, source: str) -> tuple[float, Rigid]:
        """The newest stamp (seconds) at which it is known, and `target_from_source` then.

        Raises TransformError, also when nothing moves between the frames: then there is no stamp.
        """
        ...

    def forget(self) -> None:
        """Time has jumped back."""
        ...

    def close(self) -> None:
        """Listen no more."""
        ...


class SmallListener:
    """Reads /tf and /tf_static into our own buffer, where tf2_ros is not installed."""

    def __init__(self, node: Node) -> None:
        from tf2_msgs.msg import TFMessage

        self._node, self._logger = node, node.get_logger()
        self._buffer = TransformBuffer()
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions = [
            node.create_subscription(TFMessage, "/tf", lambda m: self._add(m, fixed=False), 100),
            node.create_subscription(TFMessage, "/tf_static", lambda m: self._add(m, fixed=True), latched),
        ]

    def lookup(self, target: str, source: str, stamp: Time) -> Rigid:
        """`target_from_source`. Raises TransformError or TransformNotYetError."""
        return self._buffer.lookup(_plain(target), _plain(source), seconds(stamp))

    def latest(self, target: str, source: str) -> tuple[float, Rigid]:
        """The newest stamp and `target_from_source` then. Raises TransformError."""
        return self._buffer.latest(_plain(target), _plain(source))

    def forget(self) -> None:
        """Time has jumped back."""
        self._buffer.forget()

    def close(self) -> None:
        """Listen no more."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _add(self, message: Any, fixed: bool) -> None:
        for link in message.transforms:
            stamp = None if fixed else seconds(link.header.stamp)
            parent, child = _plain(link.header.frame_id), _plain(link.child_frame_id)
            try:
                self._buffer.insert(parent, child, stamp, rigid_from_transform(link.transform))
            except ValueError as error:
                text = f"TF {parent!r} <- {child!r} is not a rigid transform: {error}"
                self._logger.warning(text, throttle_duration_sec=5.0)


class Tf2Listener:
    """Reads TF through tf2_ros."""

    def __init__(self, node: Node) -> None:
        import tf2_ros

        self._tf2 = tf2_ros
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def lookup(self, target: str, source: str, stamp: Time) -> Rigid:
        """`target_from_source`. Raises TransformError or TransformNotYetError."""
        return self._found(target, source, stamp)[1]

    def latest(self, target: str, source: str) -> tuple[float, Rigid]:
        """The newest stamp and `target_from_source` then. Raises TransformError."""
        stamp, target_from_source = self._found(target, source, Time())  # which tf2 takes for the newest
        if not stamp:
            raise TransformError(f"TF has no moving transform {target!r} <- {source!r}")
        return stamp, target_from_source

    def _found(self, target: str, source: str, stamp: Time) -> tuple[float, Rigid]:
        from rclpy.time import Time as RosTime

        try:
            found = self._buffer.lookup_transform(_plain(target), _plain(source), RosTime.from_msg(stamp))
            return seconds(found.header.stamp), rigid_from_transform(found.transform)
        except self._tf2.ExtrapolationException as error:
            raise TransformNotYetError(str(error)) from error
        except (self._tf2.TransformException, ValueError) as error:
            raise TransformError(str(error)) from error

    def forget(self) -> None:
        """tf2 notices a jump of time by itself."""

    def close(self) -> None:
        """Listen no more."""
        self._listener.unregister()


def open_transforms(node: Node) -> TransformSource | None:
    """Whichever way of reading TF is installed, or None."""
    if importlib.util.find_spec("tf2_ros") is not None:
        return Tf2Listener(node)
    if importlib.util.find_spec("tf2_msgs") is not None:
        return SmallListener(node)
    return None


class SharedTransforms:
    """The one listener of a node: opened by the first who wants it, and closed by the node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._source: TransformSource | None = None

    def open(self) -> TransformSource | None:
        """The listener, or None where TF cannot be read."""
        if self._source is None:
            self._source = open_transforms(self._node)
        return self._source

    def forget(self) -> None:
        """Time has jumped back."""
        if self._source is not None:
            self._source.forget()

    def close(self) -> None:
        """Listen no more."""
        source, self._source = self._source, None
        if source is not None:
            source.close()


def _plain(frame: str) -> str:
    """Frame names without the leading slash of old drivers."""
    return frame.lstrip("/")
