"""A small TF buffer: a tree of frames with a short memory. Used where tf2_ros is not installed."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque

from relpose_ros.errors import RelposeError
from relpose_ros.geometry.rigid import Rigid, interpolate

MAX_DEPTH = 100
"""A chain of frames longer than this is a loop."""


class TransformError(RelposeError):
    """There is no way from one frame to the other."""


class TransformNotYetError(TransformError):
    """There is a way, but it is not known at that time yet: a little later it may be."""


class _Link:
    """One child frame in its parent: fixed, or samples of the last seconds in order of time."""

    def __init__(self, parent: str, memory: float) -> None:
        self.parent, self._memory = parent, memory
        self._fixed: Rigid | None = None
        self._samples: deque[tuple[float, Rigid]] = deque()

    def set(self, stamp: float | None, parent_from_child: Rigid) -> None:
        if stamp is None:
            self._fixed = parent_from_child
            return
        if self._samples and stamp < self._samples[-1][0] - self._memory:
            self._samples.clear()  # time has jumped back
        stamps = [s for s, _ in self._samples]
        place = bisect_left(stamps, stamp)
        if place < len(stamps) and stamps[place] == stamp:
            self._samples[place] = (stamp, parent_from_child)
        else:
            self._samples.insert(place, (stamp, parent_from_child))
        while self._samples[-1][0] - self._samples[0][0] > self._memory:
            self._samples.popleft()

    def at(self, stamp: float) -> Rigid:
        """Interpolated at `stamp`; never extrapolated."""
        if self._fixed is not None:
            return self._fixed
        if not self._samples or stamp > self._samples[-1][0]:
            newest = self._samples[-1][0] if self._samples else float("nan")
            raise TransformNotYetError(f"asked at {stamp:.3f} s, the newest transform is of {newest:.3f} s")
        place = bisect_left([s for s, _ in self._samples], stamp)
        later = self._samples[place]
        if later[0] == stamp:
            return later[1]
        if place == 0:
            raise TransformError(f"asked at {stamp:.3f} s, the oldest transform is of {later[0]:.3f} s")
        earlier = self._samples[place - 1]
        return interpolate(earlier[1], later[1], (stamp - earlier[0]) / (later[0] - earlier[0]))

    @property
    def newest(self) -> float | None:
        """Stamp of the newest sample; infinite where it is fixed, None where there is none."""
        if self._fixed is not None:
            return math.inf
        return self._samples[-1][0] if self._samples else None

    def forget(self) -> bool:
        """Drop the samples; whether anything fixed is left."""
        self._samples.clear()
        return self._fixed is not None


class TransformBuffer:
    """Frames and how they lie in their parents. Thread-safe; stamps in seconds."""

    def __init__(self, memory: float = 10.0) -> None:
        self._memory = memory
        self._links: dict[str, _Link] = {}
        self._lock = threading.Lock()

    def insert(self, parent: str, child: str, stamp: float | None, parent_from_child: Rigid) -> None:
        """Remember `parent_from_child` at `stamp`, or for ever when `stamp` is None."""
        with self._lock:
            link = self._links.get(child)
            if link is None or link.parent != parent:
                link = self._links[child] = _Link(parent, self._memory)
            link.set(stamp, parent_from_child)

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
            links = [self._links[frame] for chain in self._ways(target, source) for frame in chain]
            stamps = [link.newest for link in links]
            stamp = min((s for s in stamps if s is not None), default=math.inf)
            if math.isinf(stamp) or None in stamps:
                raise TransformError(f"TF has no moving transform {target!r} <- {source!r}")
            return stamp, self._lookup(target, source, stamp)

    def forget(self) -> None:
        """Drop everything that moves: time has jumped back."""
        with self._lock:
            self._links = {child: link for child, link in self._links.items() if link.forget()}

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
        while chain[-1] in self._links:
            chain.append(self._links[chain[-1]].parent)
            if len(chain) > MAX_DEPTH:
                raise TransformError(f"the TF tree above {frame!r} runs in a circle")
        return chain

    def _compose(self, chain: list[str], stamp: float) -> Rigid:
        """`parent_from_frame`: the parent of the chain's last frame, and its first."""
        out = Rigid.identity()
        for frame in chain:
            out = self._links[frame].at(stamp) @ out
        return out
