"""Which references the answers of an evaluation leaned on."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from relpose_ros.errors import RelposeError


def read_usage(path: Path) -> dict[str, int]:
    """Reference -> how many poses of a results.json leaned on it; references without any are missing.

    Raises RelposeError for a file that is no results.json.
    """
    try:
        queries = json.loads(path.read_text(encoding="utf-8"))["per_query"]
        return dict(Counter(name for query in queries for name in query["references"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RelposeError(
            f"{path}: expected the results.json that `relpose evaluate` writes, got something else ({error})"
        ) from error
