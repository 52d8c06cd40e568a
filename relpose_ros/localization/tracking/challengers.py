"""Fixes that no track has taken up, kept as long as further fixes may agree with them."""

from __future__ import annotations

from collections.abc import Callable

from relpose_ros.localization.tracking.fusion import fused, gate, share_in_common, squared_distance
from relpose_ros.localization.tracking.options import TrackerOptions
from relpose_ros.localization.tracking.track import Track

Move = Callable[[Track], Track]


class Challengers:
    """At most `limit` beliefs, each of fixes that agree with each other through odometry."""

    def __init__(self, options: TrackerOptions, limit: int) -> None:
        self._options, self._limit, self._gate = options, limit, gate(options)
        self._tracks: list[Track] = []

    @property
    def strongest(self) -> Track | None:
        """The one with the most fixes; of several the newest."""
        return max(self._tracks, key=lambda t: (t.count, t.last_fix), default=None)

    def add(self, fix: Track, carry: Callable[[Track, float], Track]) -> Track:
        """The belief that the fix belongs to: one that it agrees with, or one that it begins.

        `carry` brings a belief to a stamp. Where there is no room, the weakest and oldest makes it.
        """
        distances = []
        for index, track in enumerate(self._tracks):
            here = carry(track, fix.stamp)
            distances.append((squared_distance(here, fix, self._options), index, here))
        best = min(distances, key=lambda d: d[0], default=None)
        if best is not None and best[0] <= self._gate:
            _, index, here = best
            share = share_in_common(here, fix.stamp, self._options)
            self._tracks[index] = fused(here, fix, share, self._options)
            return self._tracks[index]
        if len(self._tracks) >= self._limit:
            self._tracks.remove(min(self._tracks, key=lambda t: (t.count, t.last_fix)))
        self._tracks.append(fix)
        return fix

    def move(self, move: Move) -> None:
        """Replace each belief by what `move` makes of it."""
        self._tracks = [move(track) for track in self._tracks]

    def clear(self, limit: int) -> None:
        """Forget them; from here on `limit` are kept."""
        self._tracks, self._limit = [], limit
