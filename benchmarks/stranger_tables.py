"""The tables of `benchmarks strangers`: how many false poses, from which maps and images, the worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.report import markdown
from relpose_ros.evaluation.consistency import Share
from relpose_ros.localization.query import MIN_FEATURES
from relpose_ros.types import State

COUNTED = ["tried", "localized", "degraded", "published", "1 in", "95 %: at worst 1 in"]


@dataclass(frozen=True)
class Trial:
    """One strange image put to one map. `support`: the best hypothesis of the structure road."""

    profile: str
    map: str
    group: str
    image: str
    features: int
    state: State
    method: str
    support: int
    reason: str

    @property
    def published(self) -> bool:
        """Whether a pose came out."""
        return self.state is not State.UNLOCALIZED


def all_tables(trials: Sequence[Trial], count: int) -> str:
    """Totals, by map, by folder of images, and the `count` worst."""
    parts = (totals(trials), by("map", trials), by("group", trials), worst(trials, count))
    return "\n\n".join(parts)


def totals(trials: Sequence[Trial]) -> str:
    """Published poses by profile, with and without images that have too few features to be tried."""
    rows = []
    for profile in dict.fromkeys(t.profile for t in trials):
        mine = [t for t in trials if t.profile == profile]
        rows.append([profile, "all", *counted(mine)])
        rows.append([profile, "enough features", *counted([t for t in mine if t.features >= MIN_FEATURES])])
    return markdown(["profile", "images", *COUNTED], rows)


def by(key: str, trials: Sequence[Trial]) -> str:
    """The same by `map` or by `group`."""
    values = dict.fromkeys((t.profile, getattr(t, key)) for t in trials)
    rows = [
        [profile, value, *counted([t for t in trials if (t.profile, getattr(t, key)) == (profile, value)])]
        for profile, value in values
    ]
    return markdown(["profile", key, *COUNTED], rows)


def counted(trials: Sequence[Trial]) -> list[object]:
    """The cells of `COUNTED`."""
    states = [t.state for t in trials]
    share = Share(sum(t.published for t in trials), len(trials))
    one_in = f"{1 / share.value:.0f}" if share.hits else "-"
    bound = f"{1 / share.interval[1]:.0f}" if share.count else "-"
    counts = states.count(State.LOCALIZED), states.count(State.DEGRADED)
    return [share.count, *counts, share.hits, one_in, bound]


def worst(trials: Sequence[Trial], count: int) -> str:
    """Published ones first, then by support."""
    ordered = sorted(trials, key=lambda t: (t.published, t.support), reverse=True)[:count]
    rows = [
        [t.profile, t.map, f"{t.group}/{t.image}", t.state, t.method or "-", t.support, t.reason]
        for t in ordered
    ]
    return markdown(["profile", "map", "image", "state", "method", "inliers", "reason"], rows)
