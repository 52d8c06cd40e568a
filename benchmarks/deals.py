"""A scene's images dealt anew into references and queries: more than one question for a small data set."""

from __future__ import annotations

import argparse
from dataclasses import replace

from relpose_ros.datasets.base import PosedImage, Source, Split

DEALS = ("given", "swapped", "every:N", "blocks:N")
"""given: the scene's own split. swapped: its queries are the map. every:N: each N-th image is a reference.
blocks:N: N+1 stretches of references with N of queries between them, which look at what lies between."""


def deal_argument(word: str) -> str:
    """One of `DEALS`, with a number for N.

    Raises:
        argparse.ArgumentTypeError: It is another word.
    """
    kind, _, number = word.partition(":")
    numbered = {"every": 2, "blocks": 1}
    if word in DEALS[:2] or (kind in numbered and number.isdecimal() and int(number) >= numbered[kind]):
        return word
    raise argparse.ArgumentTypeError(f"expected one of {', '.join(DEALS)}, as every:5, got {word!r}")


def dealt(source: Source, deal: str) -> Source:
    """The source's images with poses, in order of stamps and names, dealt as `deal` says (`DEALS`)."""
    if deal == "given":
        return source
    known = sorted((i for i in source.images if i.map_from_camera is not None), key=_order)
    images = tuple(replace(image, split=_split(image, n, len(known), deal)) for n, image in enumerate(known))
    return replace(source, name=f"{source.name}_{deal.replace(':', '')}", images=images)


def _order(image: PosedImage) -> tuple[float, str]:
    return image.stamp, image.name


def _split(image: PosedImage, index: int, count: int, deal: str) -> Split:
    if deal == "swapped":
        return "query" if image.split == "map" else "map"
    kind, _, number = deal.partition(":")
    if kind == "every":
        return "query" if index % int(number) else "map"
    return "query" if (2 * int(number) + 1) * index // count % 2 else "map"
