"""Odometry made from ground truth: what wheels or an IMU would have said, with noise, and a kidnapping."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid

Array = NDArray[np.float64]


@dataclass(frozen=True)
class OdometryNoise:
    """Standard deviations per axis, of white noise that adds up along the way, and of a constant scale.

    `metres_per_root_metre`: of the position after 1 m; `radians_per_root_radian`, `radians_per_root_metre`:
    of the rotation after a turn of 1 rad and after 1 m; `scale_metres`, `scale_radians`: of the relative
    error of all distances and of all turns of a run; `rate`: samples a second.
    """

    metres_per_root_metre: float = 0.02
    radians_per_root_radian: float = 0.01
    radians_per_root_metre: float = 0.005
    scale_metres: float = 0.01
    scale_radians: float = 0.01
    rate: float = 50.0

    def scaled(self, unit: float) -> OdometryNoise:
        """The same where a metre is `unit` long."""
        return OdometryNoise(
            self.metres_per_root_metre * unit**0.5,
            self.radians_per_root_radian,
            self.radians_per_root_metre / unit**0.5,
            self.scale_metres,
            self.scale_radians,
            self.rate,
        )

    def to_json(self) -> dict[str, float]:
        """Plain types."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Kidnapping:
    """The base is carried to where odometry does not see it go.

    Between two frames `seconds` pass; meanwhile odometry and truth part by `metres` and `radians`, which is
    as if the base were lifted, carried and set down.
    """

    metres: float = 3.0
    radians: float = float(np.pi / 2)
    seconds: float = 2.0

    @property
    def unseen(self) -> Rigid:
        """To the side and about the vertical of a camera (x right, y down)."""
        return Rigid.from_rotation_vector([0.0, self.radians, 0.0], [self.metres, 0.0, 0.0])


@dataclass(frozen=True, eq=False)
class Odometry:
    """Samples `odom_from_body` (M,) at `stamps` (M,), and the `frame_stamps` (N,) that they belong to."""

    stamps: Array
    odom_from_body: Rigid
    frame_stamps: Array


def simulate_odometry(
    stamps: ArrayLike,
    map_from_body: Rigid,
    seed: int,
    noise: OdometryNoise | None = None,
    kidnapped_after: int | None = None,
    kidnapping: Kidnapping | None = None,
) -> Odometry:
    """Odometry along true poses (N,) at rising stamps (N,), linear and slerp between them.

    `kidnapped_after`: index of the last frame before a kidnapping, by which later frames are delayed. Same
    seed, same odometry. Raises ConfigurationError for stamps that do not rise or too few poses.
    """
    times = np.asarray(stamps, float)
    if len(times) < 2 or len(times) != len(map_from_body) or not (np.diff(times) > 0).all():
        raise ConfigurationError(
            f"expected two or more poses at rising stamps to make odometry from, got {len(times)}"
        )
    noise = noise or OdometryNoise()
    felt_times, felt = times, map_from_body
    if kidnapped_after is not None:
        kidnapping = kidnapping or Kidnapping()
        felt_times, felt = _carried_off(times, map_from_body, kidnapped_after, kidnapping)
        times = times + kidnapping.seconds * (np.arange(len(times)) > kidnapped_after)
    sample_times, path = _sampled(felt_times, felt, noise.rate)
    return Odometry(sample_times, _accumulated(path, noise, seed), times)


def _carried_off(stamps: Array, poses: Rigid, last: int, kidnapping: Kidnapping) -> tuple[Array, Rigid]:
    """The way that odometry feels: at rest in truth, it moves by what it and the truth part by."""
    before, after = poses[: last + 1], poses[last:]
    moved = before[-1] @ kidnapping.unseen @ before[-1].inverse() @ after
    times = np.concatenate([stamps[: last + 1], stamps[last:] + kidnapping.seconds])
    return times, _joined(before, moved)


def _sampled(stamps: Array, poses: Rigid, rate: float) -> tuple[Array, Rigid]:
    """At each stamp and, between them, at least `rate` times a second: linear and slerp."""
    seconds = np.diff(stamps)
    steps = np.maximum(np.ceil(seconds * rate - 1e-6), 1).astype(int)
    segment = np.repeat(np.arange(len(steps)), steps)
    place = np.arange(len(segment)) - np.repeat(np.cumsum(steps) - steps, steps)
    fraction = place / steps[segment]
    twist = poses[:-1].error_to(poses[1:])
    between = poses[segment].perturbed(fraction[:, None] * twist[segment])
    return np.append(stamps[segment] + fraction * seconds[segment], stamps[-1]), _joined(between, poses[-1:])


def _joined(first: Rigid, second: Rigid) -> Rigid:
    return Rigid(
        np.concatenate([first.rotation, second.rotation]),
        np.concatenate([first.translation, second.translation]),
    )


def _accumulated(path: Rigid, noise: OdometryNoise, seed: int) -> Rigid:
    """What adding up noisy steps gives, from the identity."""
    random = np.random.default_rng(seed)
    scale = 1 + random.normal(size=2) * [noise.scale_metres, noise.scale_radians]
    step = path[:-1].inverse() @ path[1:]
    metres, radians = np.linalg.norm(step.translation, axis=1), step.angle
    turned = (noise.radians_per_root_radian**2 * radians + noise.radians_per_root_metre**2 * metres) ** 0.5
    moved = noise.metres_per_root_metre * metres**0.5
    translation = scale[0] * step.translation + moved[:, None] * random.normal(size=(len(metres), 3))
    rotation = scale[1] * step.rotation_vector + turned[:, None] * random.normal(size=(len(metres), 3))
    pose, poses = Rigid.identity(), [Rigid.identity()]
    taken = Rigid.from_rotation_vector(rotation, translation)
    for index in range(len(taken)):
        pose = pose @ taken[index]
        poses.append(pose)
    return Rigid.stack(poses)
