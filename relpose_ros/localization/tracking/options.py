"""Every number of a tracker."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from relpose_ros.errors import ConfigurationError


@dataclass(frozen=True)
class TrackerOptions:
    """docs/tracking.md explains each. Raises ConfigurationError for a value out of range.

    Odometry: `buffer_seconds` of samples are kept; a pose is never extrapolated further than
    `extrapolate_seconds` past the newest, nor interpolated across a gap of more than `gap_seconds`; a sample
    that is `reorder_seconds` older than the newest is a jump of time, one that is further than `max_speed`
    (m/s) and `max_turn_rate` (rad/s) allow is a jump of odometry.

    Noise of odometry, as variances that grow along the way whatever its rate of samples: `alpha1` rad^2 per
    rad, `alpha2` rad^2 per m, `alpha3` m^2 per m, `alpha4` m^2 per rad (order of AMCL's), `alpha5` m^2 per s,
    `alpha6` rad^2 per s. `scale_metres`, `scale_radians`: standard deviation of a constant relative error of
    distances and of turns.

    Fixes: one is judged by chi-square at `gate_probability`; `correlation_seconds`: time after which 1/e of
    the variance of two fixes is in common; `common_share`: at least this share always is, so that no number
    of fixes is believed further than one fix's covariance times it. `min_consistent_fixes` that agree with
    each other start a track, over at least `start_seconds` unless one is enough; `kidnap_fixes` that agree
    with each other and not with the track, over at least `kidnap_seconds`, move it. `use_degraded`: fixes
    that are only `degraded` may start and move one too. `hint_trust`: the chance that an initial pose is
    right, which is all that speaks for a track of it and degraded fixes.

    States of the answer: `degraded` from `degraded_seconds` without a fix, or one standard deviation of
    `degraded_metres` or `degraded_radians`; unlocalized from `lost_metres` or `lost_radians`, which also
    ends the track.
    """

    buffer_seconds: float = 10.0
    extrapolate_seconds: float = 0.2
    gap_seconds: float = 1.0
    reorder_seconds: float = 0.5
    max_speed: float = 20.0
    max_turn_rate: float = 10.0
    alpha1: float = 3e-4
    alpha2: float = 1e-4
    alpha3: float = 1e-3
    alpha4: float = 1e-4
    alpha5: float = 4e-6
    alpha6: float = 3e-6
    scale_metres: float = 0.01
    scale_radians: float = 0.01
    gate_probability: float = 0.999
    correlation_seconds: float = 1.0
    common_share: float = 0.5
    min_consistent_fixes: int = 2
    start_seconds: float = 0.2
    kidnap_fixes: int = 5
    kidnap_seconds: float = 0.5
    use_degraded: bool = False
    hint_trust: float = 0.9
    degraded_seconds: float = 10.0
    degraded_metres: float = 0.5
    degraded_radians: float = 0.2
    lost_metres: float = 5.0
    lost_radians: float = 0.7

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0 or value == float("inf"):
                raise ConfigurationError(f"{field.name}: expected a number of 0 or more, got {value}")
        if not 0.5 <= self.gate_probability < 1:
            raise ConfigurationError(
                f"gate_probability: expected 0.5 to below 1, got {self.gate_probability}"
            )
        for name in ("common_share", "hint_trust"):
            if getattr(self, name) > 1:
                raise ConfigurationError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        for name in ("buffer_seconds", "gap_seconds", "reorder_seconds", "max_speed", "max_turn_rate",
                     "min_consistent_fixes", "kidnap_fixes", "lost_metres", "lost_radians"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name}: expected more than 0, got {getattr(self, name)}")

    def scaled(self, unit: float) -> TrackerOptions:
        """The same for a map in which a metre is `unit` long."""
        by_length = ("max_speed", "degraded_metres", "lost_metres", "alpha3")
        changes = {name: getattr(self, name) * unit for name in by_length}
        changes |= {name: getattr(self, name) * unit**2 for name in ("alpha4", "alpha5")}
        return replace(self, alpha2=self.alpha2 / unit, **changes)
