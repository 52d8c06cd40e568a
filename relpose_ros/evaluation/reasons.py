"""Why there was no pose, counted. Reasons that differ only in their numbers are one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from relpose_ros.evaluation.records import QueryRecord

NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def generic(reason: str) -> str:
    """The reason with its numbers left out: `7 inliers, 12 needed` -> `… inliers, … needed`."""
    return NUMBER.sub("…", reason.strip()) or "no reason given"


def count_reasons(records: Sequence[QueryRecord], *, outside: bool = False) -> dict[str, int]:
    """Generic reason -> how many queries had no pose for it, most frequent first.

    Of the queries inside the map, or of those `outside` it.
    """
    missing = [r for r in records if not r.localization.has_pose and r.outside_map == outside]
    return dict(Counter(generic(r.localization.reason) for r in missing).most_common())
