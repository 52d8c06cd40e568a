"""Map or query, where a dataset does not say."""

from __future__ import annotations

from relpose_ros.datasets.base import Split
from relpose_ros.errors import ConfigurationError


def split_every(index: int, query_every: int, split: Split = "map") -> Split:
    """Every `query_every`-th image is a query and the rest is the map; 0: all are of `split`."""
    if query_every < 0 or query_every == 1 or split not in ("map", "query"):
        raise ConfigurationError(
            f"expected query_every 0 or at least 2 and split map or query, got {query_every} and {split!r}"
        )
    if not query_every:
        return split
    return "query" if index % query_every == query_every - 1 else "map"
