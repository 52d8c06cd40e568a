"""Simulated drives: a true way, odometry with noise, and fixes whose errors have something in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from relpose_ros.evaluation.consistency import nees
from relpose_ros.evaluation.simulated_odometry import OdometryNoise, simulate_odometry
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.tracking import Decision, Fix, PoseTracker, TrackerOptions

Array = NDArray[np.float64]

MATCHED = OdometryNoise(
    metres_per_root_metre=1e-3**0.5,
    radians_per_root_radian=3e-4**0.5,
    radians_per_root_metre=1e-4**0.5,
    scale_metres=0.01,
    scale_radians=0.01,
    rate=20.0,
)
"""As the tracker's defaults have it."""


@dataclass(frozen=True)
class Law:
    """How errors of fixes come about: `common` of their variance is one error for the whole drive, and the
    rest an Ornstein-Uhlenbeck process of time constant `tau`."""

    common: float = 0.5
    tau: float = 1.0
    deviation: Array = field(default_factory=lambda: np.repeat([0.03, 0.01], 3))
    fixes_per_second: float = 5.0


@dataclass(frozen=True, eq=False)
class Drive:
    """True poses and odometry at `stamps`, and fixes of some of these times in order."""

    stamps: Array
    truth: Rigid
    odometry: Rigid
    fixes: tuple[Fix, ...]

    def true_at(self, stamp: float) -> Rigid:
        """The true pose at one of the stamps."""
        return self.truth[int(np.argmin(np.abs(self.stamps - stamp)))]

    def run(
        self, tracker: PoseTracker, late: Callable[[int], float] = lambda _: 0.0
    ) -> Iterator[tuple[float, list[Decision]]]:
        """After each sample: its stamp, and what became of fixes that come `late` seconds after theirs."""
        waiting = sorted((fix.stamp + late(i), i) for i, fix in enumerate(self.fixes))
        for index, stamp in enumerate(self.stamps):
            tracker.odometry(stamp, self.odometry[index])
            decisions = []
            while waiting and waiting[0][0] <= stamp + 1e-9:
                decisions.append(tracker.fix(self.fixes[waiting.pop(0)[1]]))
            yield float(stamp), decisions


def way(seconds: float, rate: float, seed: int) -> tuple[Array, Rigid]:
    """A drive with bends, on and off the level, at about 1 m/s."""
    random = np.random.default_rng(seed)
    stamps = np.arange(int(seconds * rate) + 1) / rate
    phase, swing = random.uniform(0, 6, 4), random.uniform(0.2, 0.6, 2)
    yaw = phase[0] + 1.5 * np.sin(swing[0] * stamps + phase[1]) + swing[1] * stamps
    speed = 1 + 0.5 * np.sin(0.7 * stamps + phase[2])
    ahead = np.c_[np.cos(yaw), np.sin(yaw), 0.1 * np.sin(0.3 * stamps + phase[3])]
    position = np.cumsum(speed[:, None] * ahead / rate, axis=0)
    tilt = 0.1 * np.c_[np.sin(stamps), np.cos(1.3 * stamps), 10 * yaw]
    rotation = Rigid.from_rotation_vector(tilt * [0, 0, 1], position).rotation
    tilted = Rigid.from_rotation_vector(tilt * [1, 1, 0], position).rotation
    return stamps, Rigid(rotation @ tilted, position)


def make_drive(seed: int, law: Law, seconds: float = 20.0, noise: OdometryNoise = MATCHED) -> Drive:
    """A drive with odometry at 20 Hz."""
    random = np.random.default_rng(seed)
    stamps, truth = way(seconds, 20.0, seed)
    odometry = simulate_odometry(stamps, truth, seed, noise)
    every = round(20.0 / law.fixes_per_second)
    shape = random.normal(size=(6, 6))
    correlation = np.eye(6) + 0.3 * shape @ shape.T / 6
    correlation /= np.sqrt(np.outer(np.diag(correlation), np.diag(correlation)))
    covariance = correlation * np.outer(law.deviation, law.deviation)
    factor = np.linalg.cholesky(covariance)
    constant, rest = random.normal(size=6), random.normal(size=6)
    keep = np.exp(-every / 20.0 / law.tau) if law.tau > 0 else 0.0
    fixes = []
    for index in range(0, len(stamps), every):
        rest = keep * rest + (1 - keep**2) ** 0.5 * random.normal(size=6)
        error = factor @ (law.common**0.5 * constant + (1 - law.common) ** 0.5 * rest)
        fixes.append(Fix(float(stamps[index]), truth[index].perturbed(error), covariance))
    return Drive(stamps, truth, odometry.odom_from_body, tuple(fixes))


@pytest.fixture
def drive() -> Callable[..., Drive]:
    """`drive(seed, law, seconds, noise)`."""
    return make_drive


@pytest.fixture
def law() -> type[Law]:
    """How errors of fixes come about."""
    return Law


@pytest.fixture
def matched() -> OdometryNoise:
    """Odometry that errs as the tracker's defaults have it."""
    return MATCHED


def end_nees(
    law: Law, options: TrackerOptions, seeds: range, late: Callable[[int], float] = lambda _: 0.0,
    seconds: float = 12.0, after: int = 20,
) -> Array:  # fmt: skip
    """NEES of poses 2.15 s apart (after the first `after` samples) of one drive a seed."""
    values = []
    for seed in seeds:
        made, tracker = make_drive(seed, law, seconds), PoseTracker(options)
        for index, (stamp, _) in enumerate(made.run(tracker, late)):
            if index < after or index % 43:
                continue
            if (pose := tracker.pose(stamp)) is not None:
                error = pose.map_from_base.error_to(made.true_at(stamp))
                values.append(nees(error, pose.covariance))
    return np.array(values)


@pytest.fixture
def coverage() -> Callable[..., float]:
    """Share of NEES values within the 95 % region: `coverage(law, options, seeds, late)`."""

    def measure(*args, **kwargs) -> float:
        return float((end_nees(*args, **kwargs) < 12.592).mean())

    return measure


@pytest.fixture
def with_outliers() -> Callable[[Drive, float, int], Drive]:
    """The drive with a share of its fixes wrong by metres."""

    def spoil(made: Drive, share: float, seed: int) -> Drive:
        random = np.random.default_rng(seed)
        fixes = []
        for fix in made.fixes:
            if random.random() < share:
                twist = np.r_[random.normal(size=3) * 3, random.normal(size=3)]
                fix = replace(fix, map_from_base=fix.map_from_base.perturbed(twist))
            fixes.append(fix)
        return replace(made, fixes=tuple(fixes))

    return spoil
