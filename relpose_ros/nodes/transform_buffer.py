"""A small TF buffer: a tree of frames with a short memory. Used where tf2_ros is not installed."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass

from relpose_ros.errors import RelposeError
from relpose_ros.geometry.rigid import Rigid, interpolate

MAX_DEPTH = 100
"""A chain of frames longer than this is a loop."""


class TransformError(RelposeError):
    """There is no way from one frame to the other."""


class TransformNotYetError(TransformError):
    """There is a way, but it is not known at that time yet: a little later it may be."""


REGULAR = 10
"""More samples than this of a frame that is fixed too, and it moves: fewer do not unscrew a camera."""


@dataclass(frozen=True)
class _Fixed:
    """One child frame that does not move in its parent."""

    parent: str
    parent_from_child: Rigid
    newest: float = math.inf

    def at(self, stamp: float) -> Rigid:
        return self.parent_from_child


class _Moving:
    """One child frame in its parent: samples of the last seconds in order of time."""

    def __init__(self, parent: str, memory: float) -> None:
        self.parent, self._memory = parent, memory
        self._samples: deque[tuple[float, Rigid]] = deque()

    @property
    def count(self) -> int:
        return len(self._samples)

    def add(self, stamp: float, parent_from_child: Rigid) -> None:
        if self._samples and stamp < self._samples[-1][0] - self._memory:
            self._samples.clear()  # time has jumped back
        place = bisect_left(self._samples, stamp, key=_stamp)
        if place < len(self._samples) and self._samples[place][0] == stamp:
            self._samples[place] = (stamp, parent_from_child)
        else:
            self._samples.insert(place, (stamp, parent_from_child))
        while self._samples[-1][0] - self._samples[0][0] > self._memory:
            self._samples.popleft()

    def at(self, stamp: float) -> Rigid:
        """Interpolated at `stamp`; never extrapolated."""
        if not self._samples or stamp > self._samples[-1][0]:
            newest = self._samples[-1][0] if self._samples else float("nan")
            raise TransformNotYetError(f"asked at {stamp:.3f} s, the newest transform is of {newest:.3f} s")
        place = bisect_left(self._samples, stamp, key=_stamp)
        later = self._samples[place]
        if later[0] == stamp:
            return later[1]
        if place == 0:
            raise TransformError(f"asked at {stamp:.3f} s, the oldest transform is of {later[0]:.3f} s")
        earlier = self._samples[place - 1]
        return interpolate(earlier[1], later[1], (stamp - earlier[0]) / (later[0] - earlier[0]))

    @property
    def newest(self) -> float | None:
        """Stamp of the newest sample, None where there is none."""
        return self._samples[-1][0] if self._samples else None


def _stamp(sample: tuple[float, Rigid]) -> float:
    return sample[0]


class TransformBuffer:
    """Frames and how they lie in their parents. Thread-safe; stamps in seconds.

    One wrong transform does no lasting harm: a frame has the parent that it was given last, where frames
    would run in a circle the link with the fewest samples is dropped, and a fixed frame stays where it is
    unless samples of it come regularly.
    """

    def __init__(self, memory: float = 10.0) -> None:
        self._memory = memory
        self._fixed: dict[str, _Fixed] = {}
        self._moving: dict[str, _Moving] = {}
        self._lock = threading.Lock()

    def insert(self, parent: str, child: str, stamp: float | None, parent_from_child: Rigid) -> None:
        """Remember `parent_from_child` at `stamp`, or for ever when `stamp` is None.

        Raises ValueError for frames that cannot lie in each other, and a stamp that is before time began.
        """
        if not parent or not child or parent == child:
            raise ValueError("a frame lies in another one, and both have names")
        if stamp is not None and stamp < 0:
            raise ValueError(f"the stamp {stamp:.3f} s is negative")
        with self._lock:
            self._remember(parent, child, stamp, parent_from_child)
            self._cut_circle(child)

    def _remember(self, parent: str, child: str, stamp: float | None, parent_from_child: Rigid) -> None:
        if stamp is None:
            self._fixed[child] = _Fixed(parent, parent_from_child)
            return
        link = self._moving.get(child)
        if link is None or link.parent != parent:
            link = self._moving[child] = _Moving(parent, self._memory)
        link.add(stamp, parent_from_child)

    def _cut_circle(self, child: str) -> None:
        """Where a new link puts the child above itself, drop what is known least of in that circle."""
        circle, link = [child], self._link(child)
        while link is not None and link.parent != child:
            circle.append(link.parent)
            link = self._link(link.parent)
        if link is None:
            return
        weakest = min(circle, key=self._evidence)  # of equals the new one
        (self._fixed if weakest in self._fixed else self._moving).pop(weakest)

    def _evidence(self, child: str) -> int:
        """How many samples speak for a frame's link."""
        return REGULAR if child in self._fixed else self._moving[child].count

    def _link(self, child: str) -> _Fixed | _Moving | None:
        """How a frame lies in its parent; None for a root."""
        fixed, moving = self._fixed.get(child), self._moving.get(child)
        if fixed is None or (moving is not None and moving.count > REGULAR):
            return moving
        return fixed

    def lookup(self, target: str, source: str, stamp: float) -> Rigid:
        """`target_from_source` at `stamp`.

        Raises TransformError when the frames are not connected or `stamp` is too old,
        TransformNotYetError when `stamp` is newer than what is known.
        """
        with self._lock:
            return self._lookup(target, source, stamp)

    def latest(self, target: str, source: str) -> tuple[float, Rigid]:
        """`target_from_source` at the newest stamp at which it is known, and that stamp.

        Raises TransformError when the frames are not connected, or by nothing that moves: then it has no
        stamp.
        """
        with self._lock:
            links = [self._link(frame) for chain in self._ways(target, source) for frame in chain]
            stamps = [link.newest for link in links if link is not None]
            stamp = min((s for s in stamps if s is not None), default=math.inf)
            if math.isinf(stamp) or None in stamps:
                raise TransformError(f"TF has no moving transform {target!r} <- {source!r}")
            return stamp, self._lookup(target, source, stamp)

    def forget(self) -> None:
        """Drop everything that moves: time has jumped back."""
        with self._lock:
            self._moving.clear()

    def _lookup(self, target: str, source: str, stamp: float) -> Rigid:
        up, down = self._ways(target, source)
        return self._compose(down, stamp).inverse() @ self._compose(up, stamp)

    def _ways(self, target: str, source: str) -> tuple[list[str], list[str]]:
        """The frames from the source, and those from the target, up to below what both are under."""
        above_source, above_target = self._chain(source), self._chain(target)
        common = next((frame for frame in above_source if frame in above_target), None)
        if common is None:
            raise TransformError(
                f"TF does not connect {source!r} (under {above_source[-1]!r}) "
                f"with {target!r} (under {above_target[-1]!r})"
            )
        return above_source[: above_source.index(common)], above_target[: above_target.index(common)]

    def _chain(self, frame: str) -> list[str]:
        """The frame, its parent, and so on up to the root."""
        chain = [frame]
        while (link := self._link(chain[-1])) is not None:
            chain.append(link.parent)
            if len(chain) > MAX_DEPTH:
                raise TransformError(f"the TF tree above {frame!r} runs in a circle")
        return chain

    def _compose(self, chain: list[str], stamp: float) -> Rigid:
        """`parent_from_frame`: the parent of the chain's last frame, and its first."""
        out = Rigid.identity()
        for frame in chain:
            link = self._link(frame)
            assert link is not None  # it is in a chain
            out = link.at(stamp) @ out
        return out
