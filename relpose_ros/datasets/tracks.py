"""Poses over time: interpolation at a stamp, and trees of frames as TF keeps them."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field

import numpy as np

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid, interpolate

MAX_GAP_NS = 500_000_000
"""Between two samples further apart than this nothing is known."""


@dataclass
class PoseTrack:
    """Samples of one transform over time, in nanoseconds."""

    samples: dict[int, Rigid] = field(default_factory=dict)
    _stamps: list[int] = field(default_factory=list)

    def add(self, stamp: int, pose: Rigid) -> None:
        """Add a sample; a later one with the same stamp replaces it. Stamps may come in any order."""
        self.samples[stamp] = pose

    @property
    def stamps(self) -> list[int]:
        """The stamps in order."""
        if len(self._stamps) != len(self.samples):
            self._stamps = sorted(self.samples)
        return self._stamps

    def at(self, stamp: int) -> Rigid | None:
        """The transform at `stamp`: linear and slerp between its neighbours; None outside or in a gap."""
        if stamp in self.samples:
            return self.samples[stamp]
        stamps = self.stamps
        after = bisect.bisect_left(stamps, stamp)
        if after in (0, len(stamps)):
            return None
        start, end = stamps[after - 1], stamps[after]
        if end - start > MAX_GAP_NS:
            return None
        return interpolate(self.samples[start], self.samples[end], (stamp - start) / (end - start))


@dataclass
class FrameTree:
    """Frames and the transforms between them, static or over time (`parent_from_child`)."""

    parents: dict[str, set[str]] = field(default_factory=dict)
    static: dict[str, Rigid] = field(default_factory=dict)
    moving: dict[str, PoseTrack] = field(default_factory=dict)

    def add(self, parent: str, child: str, parent_from_child: Rigid, stamp: int | None) -> None:
        """Add a transform; `stamp` None means always."""
        parent, child = clean_frame(parent), clean_frame(child)
        self.parents.setdefault(child, set()).add(parent)
        if stamp is None:
            self.static[child] = parent_from_child
        else:
            self.moving.setdefault(child, PoseTrack()).add(stamp, parent_from_child)

    def chain(self, frame: str) -> list[str]:
        """`frame`, its parent, and so on up to the root. Raises DatasetError for two parents or a loop."""
        out = [clean_frame(frame)]
        while out[-1] in self.parents:
            above = self.parents[out[-1]]
            if len(above) > 1:
                raise DatasetError(
                    f"TF gives frame {out[-1]!r} {len(above)} parents ({', '.join(sorted(above))})"
                )
            parent = next(iter(above))
            if parent in out:
                raise DatasetError(f"TF has a loop: {' -> '.join([*out, parent])}")
            out.append(parent)
        return out

    def connects(self, target: str, source: str) -> bool:
        """Whether both frames hang in one tree."""
        return self.chain(target)[-1] == self.chain(source)[-1]

    def moves(self, target: str, source: str) -> bool:
        """Whether a transform between the two changes over time."""
        up, down = self.chain(source), self.chain(target)
        return any(frame in self.moving for frame in set(up) ^ set(down))

    def lookup(self, target: str, source: str, stamp: int) -> Rigid | None:
        """`target_from_source` at `stamp`; None where a part of the way is not known then."""
        up, down = self.chain(source), self.chain(target)
        shared = next((frame for frame in up if frame in down), None)
        if shared is None:
            return None
        shared_from_source = self._climb(up[: up.index(shared)], stamp)
        shared_from_target = self._climb(down[: down.index(shared)], stamp)
        if shared_from_source is None or shared_from_target is None:
            return None
        return shared_from_target.inverse() @ shared_from_source

    def _climb(self, frames: list[str], stamp: int) -> Rigid | None:
        pose = Rigid.identity()
        for frame in frames:
            step = self.static[frame] if frame in self.static else self.moving[frame].at(stamp)
            if step is None:
                return None
            pose = step @ pose
        return pose


def clean_frame(name: str) -> str:
    """Frame ids without the leading slash that TF1 allowed."""
    return name.lstrip("/")


def rigid_or_none(rotation_xyzw: list[float], translation: list[float]) -> Rigid | None:
    """A transform from a message; None when it holds NaN or a quaternion of norm zero (drivers send both)."""
    numbers = [*rotation_xyzw, *translation]
    if not np.all(np.isfinite(numbers)) or abs(np.linalg.norm(rotation_xyzw) - 1.0) > 0.05:
        return None
    return Rigid.from_quaternion(rotation_xyzw, translation)
