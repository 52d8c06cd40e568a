"""Which images of a scene are learnt from, and which only looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import ConfigurationError

Queries = Literal["test", "mixed", "none"]
CHUNK = 20
"""Images in a row that stay together, at most: neighbours in a drive show the same."""


def scene_splits(
    groups: Sequence[Sequence[PosedImage]], shares: Mapping[str, float], queries: Queries = "test"
) -> dict[str, list[PosedImage]]:
    """Images with poses of several groups (sources, domains), each divided by `shares` in chunks.

    Images of the query split go to "test" ("test"), with the others ("mixed"), or nowhere ("none"). A split
    that would get none gets one image of the fullest. Raises ConfigurationError for one that still has none.
    """
    if queries not in get_args(Queries):
        raise ConfigurationError(f"expected queries to go to {', '.join(get_args(Queries))}; got {queries!r}")
    splits: dict[str, list[PosedImage]] = {name: [] for name in shares}
    for group in groups:
        posed = [image for image in group if image.map_from_camera is not None]
        learnt = [image for image in posed if image.split == "map" or queries == "mixed"]
        for name, numbers in in_chunks(len(learnt), shares).items():
            splits[name] += [learnt[k] for k in numbers]
        if queries == "test":
            tested = [image for image in posed if image.split == "query"]
            splits.setdefault("test", []).extend(tested)
    if "test" not in shares and not splits.get("test"):
        splits.pop("test", None)
    empty = [name for name, images in splits.items() if not images]
    for name in empty:
        fullest = max(shares, key=lambda share: len(splits[share]))
        if len(splits[fullest]) > 1:
            splits[name].append(splits[fullest].pop())
    empty = [name for name in empty if not splits[name]]
    if empty:
        raise ConfigurationError(
            f"{empty[0]} gets no image with a pose: give more images, other shares with --split, or, if all "
            "images are queries, --queries mixed"
        )
    return splits


def in_chunks(count: int, shares: Mapping[str, float]) -> dict[str, list[int]]:
    """Numbers 0 to `count` - 1 in runs: each goes to the split that is furthest behind its share."""
    smallest = min(shares.values())
    length = max(1, min(CHUNK, math.ceil(count * smallest / 3)))
    out: dict[str, list[int]] = {name: [] for name in shares}
    for start in range(0, count, length):
        chunk = range(start, min(start + length, count))
        behind = {name: share * chunk.stop - len(out[name]) for name, share in shares.items()}
        out[max(behind, key=lambda name: behind[name])].extend(chunk)
    return out
