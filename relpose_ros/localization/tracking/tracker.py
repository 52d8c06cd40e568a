"""The pose of the base over time, out of odometry and of fixes that may be wrong, late or unordered."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.geometry.covariance import checked_covariance
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking.answers import Decision, Kind, TrackedPose
from relpose_ros.localization.tracking.challengers import Challengers, Move
from relpose_ros.localization.tracking.fix import Fix
from relpose_ros.localization.tracking.fusion import fused, gate, share_in_common, squared_distance
from relpose_ros.localization.tracking.odometry_buffer import Arrival, OdometryBuffer
from relpose_ros.localization.tracking.options import TrackerOptions
from relpose_ros.localization.tracking.reporting import is_lost, tracked_pose
from relpose_ros.localization.tracking.track import Track
from relpose_ros.types import Localization, State

Array = NDArray[np.float64]

MAX_EVENTS = 20
"""So many events wait for `take_events`; the oldest go first."""


class PoseTracker:
    """Odometry and fixes in, `map_from_odom` and poses with covariance out. Thread-safe.

    Memory is bounded: `buffer_seconds` of odometry, and two hypotheses at most. How it works and what each
    option means: docs/tracking.md.
    """

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self.options = options or TrackerOptions()
        self._gate = gate(self.options)
        self._lock = threading.RLock()
        self._events: deque[str] = deque(maxlen=MAX_EVENTS)
        self._odometry = OdometryBuffer(self.options)
        self._challengers = Challengers(self.options, 2)
        self._look_alikes = Challengers(self.options, 1)
        self._track: Track | None = None
        self._prior: Track | None = None
        self._hint: Fix | None = None
        self._map_from_odom: Rigid | None = None

    def odometry(self, stamp: float, odom_from_base: Rigid) -> None:
        """Take a sample of odometry, at any rate. A late one is sorted in.

        A jump of time ends the track, one of odometry widens its covariance; `take_events` says so. Samples
        with numbers that are not finite, and late ones that do not fit, are ignored and said too.
        """
        with self._lock:
            if not np.isfinite([stamp, *odom_from_base.matrix.ravel()]).all():
                self._say("odometry with numbers that are not finite was ignored")
                return
            arrival = self._odometry.judged(stamp, odom_from_base)
            if arrival is Arrival.MISFIT:
                self._say("late odometry that does not fit what was before and after it was ignored")
                return
            if arrival is Arrival.TIME_JUMP:
                back = self._odometry.newest[0] - stamp
                self.reset(f"time jumped back by {back:.2f} s")
            elif arrival is Arrival.POSE_JUMP:
                self._cross_jump(stamp, odom_from_base)
            self._odometry.add(stamp, odom_from_base)
            self._anchor_prior()
            self._forget_old()

    def offer(self, stamp: float, answer: Localization) -> Decision | None:
        """Judge an answer to the base: its pose (`fix`) or its places (`ambiguous`); None without either.

        Raises ValueError as `Fix` does.
        """
        if answer.map_from_camera is not None and answer.covariance is not None:
            pose, covariance = answer.map_from_camera, answer.covariance
            return self.fix(Fix(stamp, pose, covariance, answer.confidence, answer.state))
        if answer.alternatives:
            return self.ambiguous([Fix(stamp, a.map_from_camera, a.covariance) for a in answer.alternatives])
        return None

    def fix(self, fix: Fix) -> Decision:
        """Judge a fix against the track and use it, or not. Stamps may be late and out of order."""
        with self._lock:
            if beyond := self._beyond_odometry(fix.stamp):
                return beyond
            track = self._believed(fix.stamp)
            alone = Track.of(fix, self._odometry.at(fix.stamp))
            sure = fix.state is State.LOCALIZED
            believed = sure or self.options.use_degraded
            if track is not None:
                return self._against_track(track, alone, believed, sure)
            if self._prior is not None:
                return self._against_prior(self._prior, alone, believed, sure)
            if not believed:
                return Decision(Kind.PENDING, reason="a degraded fix does not start a track")
            return self._from_nothing(alone)

    def ambiguous(self, places: Sequence[Fix]) -> Decision:
        """Judge a frame that may show any one of `places`, which look alike; all are of its stamp.

        None of them is used. Where none is the track's own place, that speaks against the track as a fix that
        disagrees does: the pose covers the nearest of them, and is degraded, until a fix is accepted or a
        frame may show the track's place again. It is never followed: another of them may be right.
        """
        with self._lock:
            stamp = places[0].stamp
            if beyond := self._beyond_odometry(stamp):
                return beyond
            track = self._believed(stamp)
            if track is None:
                return Decision(Kind.AMBIGUOUS, reason="places that look alike do not start a track")
            alone = [Track.of(place, self._odometry.at(stamp)) for place in places]
            apart = [squared_distance(track, self._carried(a, track.stamp), self.options) for a in alone]
            nearest = int(np.argmin(apart))
            distance = float(np.sqrt(apart[nearest]))
            if apart[nearest] <= self._gate:
                self._look_alikes.clear(limit=1)
                return Decision(Kind.AMBIGUOUS, distance, f"the track's is one of {len(places)} places")
            self._look_alikes.add(alone[nearest], self._carried)
            words = (
                f"{distance:.1f} standard deviations from the track to the nearest of {len(places)} places"
            )
            return Decision(Kind.AMBIGUOUS, distance, words)

    @property
    def map_from_odom(self) -> Rigid | None:
        """The odometry frame in the map; constant between fixes; None before the first fix.

        Of a track that was lost it stays, as the last that is known, until the next `first`.
        """
        with self._lock:
            return self._map_from_odom if self._track is None else self._track.map_from_odom

    def pose(self, stamp: float) -> TrackedPose | None:
        """Where the base is at `stamp`; None where `missing(stamp)` says why."""
        with self._lock:
            if self._track is None or self._odometry.missing(stamp):
                return None
            track = self._carried(self._track, stamp)
            fixes, look_alikes = self._challengers.strongest, self._look_alikes.strongest
            if fixes is None and look_alikes is not None:
                rival = self._carried(look_alikes, stamp)
                return tracked_pose(track, rival, self.options, ambiguous=True)
            return tracked_pose(track, None if fixes is None else self._carried(fixes, stamp), self.options)

    def missing(self, stamp: float) -> str:
        """Why there is no pose at `stamp`, in words; empty where there is one."""
        with self._lock:
            return self._waiting() if self._track is None else self._odometry.missing(stamp)

    def initial(self, map_from_base: Rigid, covariance: Array, stamp: float) -> None:
        """A hint of where the base is, as from /initialpose: ends the track.

        It is not published. A single fix that agrees with it starts a track, also a degraded one; others are
        `rejected_by_prior` until `kidnap_fixes` of them agree with each other, none of them degraded unless
        `use_degraded`. Raises ValueError as `Fix` does.
        """
        hint = Fix(stamp, map_from_base, checked_covariance(covariance))
        with self._lock:
            self._forget()
            self._hint = hint
            self._anchor_prior()

    @property
    def prior(self) -> tuple[Rigid, Array] | None:
        """The hint carried to the newest odometry, with covariance; None once a fix has settled it."""
        return self.prior_at(float("inf"))

    def prior_at(self, stamp: float) -> tuple[Rigid, Array] | None:
        """The same at `stamp`, or at the nearest that the hint and odometry reach."""
        with self._lock:
            if self._prior is None:
                return None if self._hint is None else (self._hint.map_from_base, self._hint.covariance)
            reached = max(self._prior.stamp, min(stamp, self._odometry.newest[0]))
            here = self._carried(self._prior, reached)
            return here.map_from_base, here.covariance(self.options)

    def reset(self, reason: str) -> None:
        """Forget track, hint and odometry."""
        with self._lock:
            self._forget()
            self._odometry.clear()
            self._say(f"tracking starts anew: {reason}")

    def take_events(self) -> list[str]:
        """What was noticed since the last call, in words: jumps of time and odometry, tracks lost."""
        with self._lock:
            events = list(self._events)
            self._events.clear()
            return events

    def _beyond_odometry(self, stamp: float) -> Decision | None:
        """What becomes of a fix whose stamp odometry does not cover; None where it does."""
        if missing := self._odometry.missing(stamp):
            return Decision(Kind.STALE if self._odometry.is_past(stamp) else Kind.NO_ODOMETRY, reason=missing)
        return None

    def _against_track(self, track: Track, fix: Track, believed: bool, sure: bool) -> Decision:
        later = self._carried(fix, track.stamp)
        squared = squared_distance(track, later, self.options)
        if squared <= self._gate:
            share = share_in_common(track, fix.stamp, self.options)
            refined = fused(track, later, share, self.options)
            refined = replace(refined, by_hint=track.by_hint and not sure)
            return self._follow(Kind.ACCEPTED, refined, squared)
        words = f"{np.sqrt(squared):.1f} standard deviations from the track"
        if not believed:
            return Decision(Kind.GATED, float(np.sqrt(squared)), f"degraded, and {words}")
        return self._challenged(Kind.GATED, fix, squared, words)

    def _against_prior(self, prior: Track, fix: Track, believed: bool, sure: bool) -> Decision:
        squared = squared_distance(self._carried(prior, fix.stamp), fix, self.options)
        if squared <= self._gate:
            first = replace(fix, by_hint=not sure)
            return self._follow(Kind.FIRST, first, squared, "agrees with the initial pose")
        words = f"{np.sqrt(squared):.1f} standard deviations from the initial pose"
        if not believed:
            return Decision(Kind.REJECTED_BY_PRIOR, float(np.sqrt(squared)), f"degraded, and {words}")
        return self._challenged(Kind.REJECTED_BY_PRIOR, fix, squared, words)

    def _challenged(self, kind: Kind, fix: Track, squared: float, words: str) -> Decision:
        """A fix that disagrees: followed when it is the last of enough that agree with each other."""
        rival = self._challengers.add(fix, self._carried)
        options = self.options
        if rival.count < options.kidnap_fixes or rival.lasted < options.kidnap_seconds:
            reason = f"{words}; {rival.count} of {options.kidnap_fixes} such fixes over {rival.lasted:.1f} s"
            return Decision(kind, float(np.sqrt(squared)), reason)
        return self._follow(
            Kind.KIDNAPPED, rival, squared, f"{rival.count} fixes agree with each other; {words}"
        )

    def _from_nothing(self, fix: Track) -> Decision:
        found = self._challengers.add(fix, self._carried)
        wanted = self.options.min_consistent_fixes
        if found.count < wanted or (wanted > 1 and found.lasted < self.options.start_seconds):
            return Decision(Kind.PENDING, reason=self._waiting_for(found))
        return self._follow(Kind.FIRST, found, float("nan"), f"{found.count} fixes agree with each other")

    def _follow(self, kind: Kind, track: Track, squared: float, reason: str = "") -> Decision:
        before = self.map_from_odom
        jump = (0.0, 0.0)
        if before is not None:
            metres, radians = (before @ track.odom_from_base).distance_to(track.map_from_base)
            jump = float(metres), float(radians)
        self._track, self._prior, self._hint = track, None, None
        self._clear_rivals(limit=1)
        return Decision(kind, float(np.sqrt(squared)), reason, jump)

    def _carried(self, track: Track, stamp: float) -> Track:
        return track.carried(self._odometry, stamp, self.options)

    def _say(self, event: str) -> None:
        if event not in self._events:
            self._events.append(event)

    def _forget(self) -> None:
        """Everything but odometry."""
        self._track, self._prior, self._hint, self._map_from_odom = None, None, None, None
        self._clear_rivals(limit=2)

    def _clear_rivals(self, limit: int) -> None:
        """`limit`: so many beliefs of fixes that no track takes up are kept from here on."""
        self._challengers.clear(limit)
        self._look_alikes.clear(limit=1)

    def _waiting(self) -> str:
        """Why there is no track."""
        if self._prior is not None or self._hint is not None:
            return "an initial pose was given and no fix has agreed with it yet"
        if (found := self._challengers.strongest) is not None:
            return self._waiting_for(found)
        return "there has been no fix yet"

    def _waiting_for(self, found: Track) -> str:
        options = self.options
        count = f"{found.count} of {options.min_consistent_fixes} fixes that agree with each other"
        return f"{count}, over {found.lasted:.2f} of {options.start_seconds:g} s"

    def _believed(self, stamp: float) -> Track | None:
        """The track at `stamp`, or where it is if that is later; a track that is lost ends."""
        if self._track is None:
            return None
        track = self._carried(self._track, max(self._track.stamp, stamp))
        if not is_lost(track, self.options):
            return track
        self._say(f"the track was lost: {stamp - track.last_fix:.1f} s since the last fix")
        self._map_from_odom, self._track = track.map_from_odom, None
        self._clear_rivals(limit=2)
        return None

    def _anchor_prior(self) -> None:
        """Tie a hint to odometry as soon as there is some."""
        if self._hint is None or self._prior is not None or not len(self._odometry):
            return
        stamp = min(max(self._hint.stamp, self._odometry.oldest), self._odometry.newest[0])
        if self._odometry.missing(stamp):
            stamp = self._odometry.first_from(stamp)
        self._prior = Track.of(replace(self._hint, stamp=stamp), self._odometry.at(stamp))

    def _cross_jump(self, stamp: float, odom_from_base: Rigid) -> None:
        """Odometry starts anew: the base is where it was, give or take how far it may have come."""
        last, before = self._odometry.newest
        metres, radians = before.distance_to(odom_from_base)
        self._say(
            f"odometry jumped by {metres:.2f} m and {np.degrees(radians):.0f} deg in {stamp - last:.3f} s"
        )
        reach = self.options.max_speed * (stamp - last), self.options.max_turn_rate * (stamp - last)
        self._move(lambda t: self._carried(t, last).moved_unseen(stamp, odom_from_base, *reach))
        self._odometry.clear()

    def _forget_old(self) -> None:
        """Drop old samples, after moving every belief to where samples stay."""
        newest, seconds = self._odometry.newest[0], self.options.buffer_seconds
        horizon, ahead = newest - seconds, self._odometry.first_from(newest - 0.5 * seconds)
        self._move(lambda t: self._carried(t, ahead) if t.stamp < horizon else t)
        self._odometry.forget_before(horizon)

    def _move(self, move: Move) -> None:
        """Replace every belief by what `move` makes of it."""
        if self._track is not None:
            self._track = move(self._track)
        if self._prior is not None:
            self._prior = move(self._prior)
        self._challengers.move(move)
        self._look_alikes.move(move)
