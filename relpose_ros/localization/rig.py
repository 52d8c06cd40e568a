"""Several cameras as one query: each is matched, one pose found over all of them, the base's answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import MapError
from relpose_ros.geometry.covariance import transform_pose_covariance
from relpose_ros.geometry.rig import Mounts
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.arbiter import Arbiter
from relpose_ros.localization.hint import Hint, settled
from relpose_ros.localization.query import Look, nothing_found
from relpose_ros.localization.rig_roads import RigRoads, Told, contested, mounted, moved
from relpose_ros.localization.rig_structure import RigHypothesis
from relpose_ros.localization.roads import total
from relpose_ros.maps.bundle import Map
from relpose_ros.types import CameraShare, Frame, Localization, RigFrame

Array = NDArray[np.float64]


@dataclass
class RigLocalizer:
    """Localizes rigs by the roads of a localizer."""

    roads: RigRoads
    arbiter: Arbiter

    def localize(
        self, rig: RigFrame, look: Callable[[Frame, Hint | None], Look], hint: Hint | None = None
    ) -> Localization:
        """The pose of the rig's base, or UNLOCALIZED with a reason. Same input, same answer.

        A `hint` of the base is taken as `Localizer.localize` takes one.
        """
        start = time.perf_counter()
        looks = [
            look(frame, None if hint is None else hint.seen_from(rig.base_from_camera[c]))
            for c, frame in enumerate(rig.frames)
        ]
        answer = self._answer(rig, looks)
        timings = total(*(found.timings for found in looks), answer.latency_ms)
        if hint is not None and not answer.has_pose and any(found.near for found in looks):
            near = self._answer(rig, [_near(found) for found in looks])
            timings = total(timings, near.latency_ms)
            answer = settled(answer, near, hint, self.arbiter.options.hint_trust)
        timings["total"] = 1e3 * (time.perf_counter() - start)
        return replace(answer, latency_ms=timings)

    def _answer(self, rig: RigFrame, looks: Sequence[Look]) -> Localization:
        """With the milliseconds of the roads alone."""
        seeing = [camera for camera, found in enumerate(looks) if not found.reason]
        told, common = self._hypotheses(looks, seeing, rig.mounts)
        lead = _lead(told)
        there = [moved(t, rig.base_from_camera, lead) for t in told]
        there = contested(there, self.arbiter.contradict)
        answer = self.arbiter.decide([t.hypothesis for t in there], _otherwise(rig.names, looks))
        taken = [t for t, as_lead in zip(told, there, strict=True) if _is_of(answer, as_lead)]
        shares = [CameraShare(n, 0, found.reason) for n, found in zip(rig.names, looks, strict=True)]
        if taken and not taken[0].common:
            shares = _of_one(shares, taken[0])
        elif common is not None:
            for camera, share in zip(seeing, _of_all(common, [rig.names[c] for c in seeing]), strict=True):
                shares[camera] = share
        return replace(
            of_base(answer, rig.base_from_camera[lead].inverse()),
            reason=answer.reason
            if answer.has_pose
            else _with_quarrels(answer.reason, common, seeing, shares),
            latency_ms=self.roads.timings if seeing else {},
            source=" ".join(rig.names),
            stamp=rig.stamp,
            cameras=tuple(shares),
        )

    def _hypotheses(
        self, looks: Sequence[Look], seeing: Sequence[int], mounts: Mounts
    ) -> tuple[list[Told], RigHypothesis | None]:
        """Of the cameras that see something, and of those that ask their image: numbered as in the rig."""
        told: list[Told] = []
        common = None
        if seeing:
            queries = [looks[camera].query for camera in seeing]
            neighbours = [looks[camera].neighbours for camera in seeing]
            told, common = self.roads.hypotheses(queries, neighbours, mounts[seeing])
        told = [t._replace(camera=seeing[t.camera]) for t in told]
        told += [Told(c, h) for c, look in enumerate(looks) for h in look.beside]
        return [mounted(t, mounts) for t in told], common


def _near(look: Look) -> Look:
    """With the references round the hint alone."""
    reason = look.reason or ("" if look.near else "the map shows nothing round the hint that it may see")
    return look._replace(neighbours=list(look.near), reason=reason)


def in_units_of(map_: Map, rig: RigFrame) -> RigFrame:
    """The rig as it is; in a map without scale with positions of mounts that are exact.

    Raises MapError where mounts that are away from the base meet a map without scale.
    """
    if map_.metric:
        return rig
    if rig.base_from_camera.translation.any():
        raise MapError(
            f"{map_.path or map_.name}: mounts are in metres, this map has no scale; use a "
            "metric map, or localize each camera alone"
        )
    return replace(rig, mount_sigma=rig.mounts.sigma * (0.0, 1.0))


def of_one(answer: Localization, rig: RigFrame) -> Localization:
    """The answer to the one camera of a rig as one to the rig."""
    remark = "" if answer.has_pose else answer.reason
    share = CameraShare(rig.names[0], answer.inliers, remark, answer.matches)
    widened = _widened(answer, rig.mounts.covariance(0))
    found = of_base(widened, rig.base_from_camera[0].inverse())
    return replace(found, source=rig.names[0], cameras=(share,))


def _widened(answer: Localization, added: Array) -> Localization:
    """With this (6, 6) added to what is known of the camera's pose."""
    alternatives = tuple(replace(a, covariance=a.covariance + added) for a in answer.alternatives)
    covariance = None if answer.covariance is None else answer.covariance + added
    return replace(answer, covariance=covariance, alternatives=alternatives)


def of_base(answer: Localization, camera_from_base: Rigid) -> Localization:
    """An answer to a camera as one to the base that it is fixed to."""
    if answer.map_from_camera is None or answer.covariance is None:
        pose, covariance = None, None
    else:
        pose = answer.map_from_camera @ camera_from_base
        covariance = transform_pose_covariance(answer.covariance, answer.map_from_camera, camera_from_base)
    alternatives = tuple(
        replace(
            other,
            map_from_camera=other.map_from_camera @ camera_from_base,
            covariance=transform_pose_covariance(other.covariance, other.map_from_camera, camera_from_base),
        )
        for other in answer.alternatives
    )
    return replace(answer, map_from_camera=pose, covariance=covariance, alternatives=alternatives)


def _lead(told: Sequence[Told]) -> int:
    """The camera as which hypotheses are judged: that of the common one, else of the best supported."""
    if not told:
        return 0
    return (told[0] if told[0].common else max(told, key=lambda t: t.hypothesis.evidence.inliers)).camera


def _is_of(answer: Localization, told: Told) -> bool:
    return told.hypothesis.map_from_camera is answer.map_from_camera


def _otherwise(names: Sequence[str], looks: Sequence[Look]) -> str:
    """Why there is no pose where no road of any camera found one."""
    reasons = [look.reason or nothing_found(look.query, look.neighbours) for look in looks]
    return "; ".join(f"{name}: {reason}" for name, reason in zip(names, reasons, strict=True))


def _of_all(common: RigHypothesis, names: Sequence[str]) -> list[CameraShare]:
    """What each camera gave to the common pose."""
    shares = []
    for camera, (name, matches) in enumerate(zip(names, common.matches, strict=True)):
        count, remark = int(matches.inlier.sum()), ""
        if camera in common.apart:
            remark = _quarrel(common, camera)
        elif not count:
            remark = "none of its matches agrees with the pose"
        shares.append(CameraShare(name, count, remark, matches, camera in common.apart))
    return shares


def _quarrel(common: RigHypothesis, camera: int) -> str:
    alone = common.apart[camera]
    expected = common.found.map_from_camera @ common.lead_from_camera[camera]
    distance, angle = expected.distance_to(alone.map_from_camera)
    return (
        f"disagrees: by its own {alone.inliers} matches it is {distance:.3g} map units and "
        f"{np.rad2deg(angle):.2g} deg from where the others and its mount put it"
    )


def _of_one(shares: Sequence[CameraShare], taken: Told) -> list[CameraShare]:
    """Where the answer is one camera's alone."""
    chosen = shares[taken.camera].source
    others = f"not asked: the pose is that of {chosen} alone, by {taken.hypothesis.method}"
    mine = CameraShare(chosen, taken.hypothesis.evidence.inliers, "", taken.hypothesis.matches)
    rest = [replace(share, remark=share.remark or others) for share in shares]
    return [mine if c == taken.camera else share for c, share in enumerate(rest)]


def _with_quarrels(
    reason: str, common: RigHypothesis | None, seeing: Sequence[int], shares: Sequence[CameraShare]
) -> str:
    """A reason, and which cameras disagree."""
    apart = [shares[seeing[camera]] for camera in common.apart] if common is not None else []
    return "; ".join([reason, *(f"{share.source} {share.remark}" for share in apart)])
