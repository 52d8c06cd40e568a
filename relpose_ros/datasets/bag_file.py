"""One rosbag2 on disk, read message by message; every failure of the file becomes a DatasetError."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relpose_ros.errors import DatasetError, DependencyError, RelposeError


@dataclass(frozen=True)
class Stamp:
    """When a message was recorded and what its header says, in nanoseconds, and its frame id.

    A header stamp of zero means that the driver set none: `header` is then the time of recording.
    """

    log: int
    header: int
    frame_id: str


class BagFile:
    """A rosbag2 directory, or a single .mcap or .db3 file. One open reader a thread, closed with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        with self._failures():
            self.types = {topic: info.msgtype or "" for topic, info in self._reader().topics.items()}

    def topics(self, *types: str) -> list[str]:
        """Topics of these message types (full names, like sensor_msgs/msg/Image), sorted."""
        return sorted(topic for topic, kind in self.types.items() if kind in types)

    def describe(self) -> str:
        """All topics by type, for messages to people."""
        lines = [
            f"  {kind or 'mixed types'}: {', '.join(self.topics(kind))}"
            for kind in sorted(set(self.types.values()))
        ]
        return "\n".join(lines) or "  (no topics)"

    def notes(self) -> dict[str, str]:
        """The bag's custom metadata."""
        with self._failures():
            return dict(self._reader().readers[0].storage.metadata.custom or {})

    def messages(
        self, topic: str, start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[int, Any]]:
        """(time of recording in ns, message) of a topic in order of recording."""
        for log, raw, kind in self._raw(topic, start, stop):
            with self._failures():
                message = self._reader().deserialize(raw, kind)
            yield log, message

    def stamps(self, topic: str) -> list[Stamp]:
        """Stamps of all messages of a topic, read from their headers alone."""
        return [_header(raw, log, f"{self.path} {topic}") for log, raw, _ in self._raw(topic)]

    def message(self, topic: str, stamp: Stamp) -> Any:
        """The one message with this stamp."""
        for log, raw, kind in self._raw(topic, stamp.log, stamp.log + 1):
            if _header(raw, log, f"{self.path} {topic}") == stamp:
                with self._failures():
                    return self._reader().deserialize(raw, kind)
        raise DatasetError(
            f"{self.path}: the message of {topic} at {stamp.log} ns is gone; did the bag change?"
        )

    def _raw(
        self, topic: str, start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[int, bytes, str]]:
        with self._failures():
            reader = self._reader()
            connections = [c for c in reader.connections if c.topic == topic]
            messages = reader.messages(connections=connections, start=start, stop=stop)
        while True:
            with self._failures():
                item = next(messages, None)
            if item is None:
                return
            yield item[1], item[2], item[0].msgtype

    def _reader(self) -> Any:
        reader = getattr(self._local, "reader", None)
        if reader is None:
            from rosbags.highlevel import AnyReader
            from rosbags.typesys import Stores, get_typestore

            # Bags of before Iron carry no definitions; the standard types have not changed since.
            reader = AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_KILTED))
            reader.open()
            self._local.reader = reader
        return reader

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Whatever the parsers raise on a broken file, said once and clearly."""
        try:
            yield
        except RelposeError:
            raise
        except ModuleNotFoundError as error:
            raise DependencyError(
                f"reading bags needs the package rosbags ({error}): pip install rosbags"
            ) from error
        except Exception as error:
            raise DatasetError(
                f"{self.path}: expected a rosbag2, but reading it fails ({type(error).__name__}: {error}); "
                "if the recording was interrupted, try `ros2 bag reindex`, or copy the bag again"
            ) from error


def _header(raw: bytes, log: int, place: str) -> Stamp:
    """The std_msgs/Header at the start of a CDR message, without decoding the pixels behind it."""
    try:
        order = "<" if raw[1] & 1 else ">"
        seconds, nanoseconds, length = struct.unpack_from(f"{order}iII", raw, 4)
        frame_id = bytes(raw[16 : 16 + length]).rstrip(b"\0").decode("utf-8", "replace")
    except (struct.error, IndexError) as error:
        raise DatasetError(f"{place}: a message of {len(raw)} bytes is too short for its header") from error
    stamp = seconds * 10**9 + nanoseconds
    return Stamp(log, stamp or log, frame_id)
