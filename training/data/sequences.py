"""What data sets are prepared from: sequences of posed images, each in a frame of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.datasets.simulate.folder import LICENCE
from relpose_ros.errors import ConfigurationError
from relpose_training.data.simulated_worlds import SimulatedWorld

SPLITS = ("train", "val", "test")


class PosedSequence(Protocol):
    """Images in one frame; opened where they are used, so that it can be sent to another process."""

    @property
    def name(self) -> str:
        """As it stands in the index of a data set."""
        ...

    def images(self) -> Sequence[PosedImage]:
        """Its images. Raises DatasetError or CameraError."""
        ...


@dataclass(frozen=True)
class SourceSequence:
    """All images of one posed-image source, of the map split and of the query split.

    `label`: its name, if not that of the folder. `points`: what each image sees, by name (see `landmarks`),
    out of the file `points_from`.
    """

    path: Path
    format: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""
    points_from: str = ""
    points: Mapping[str, NDArray[np.float64]] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.label or self.path.resolve().name

    def images(self) -> Sequence[PosedImage]:
        from relpose_ros.datasets.open import open_source

        return open_source(self.path, format=self.format, **self.options).images

    def landmarks(self) -> Mapping[str, NDArray[np.float64]] | None:
        """Name of each image -> points (M, 3) in the frame of the poses; None where no one knows any.

        A COLMAP model brings its own. Raises DatasetError for a broken one.
        """
        from relpose_ros.datasets.open import detect_format

        if self.points is None and (self.format or detect_format(self.path)) == "colmap":
            from relpose_ros.datasets.colmap_points import colmap_points

            return colmap_points(self.path)
        return self.points


def metric_of(sequence: PosedSequence) -> bool:
    """Whether its unit is the metre, as far as a sequence says."""
    if isinstance(sequence, SourceSequence):
        from relpose_ros.datasets.open import open_source

        return open_source(sequence.path, format=sequence.format, **sequence.options).metric
    return isinstance(sequence, SimulatedWorld) or bool(getattr(sequence, "metric", False))


def licence_of(sequence: PosedSequence) -> str:
    """What a sequence's source says, or "not stated"."""
    if isinstance(sequence, SimulatedWorld):
        return LICENCE
    if isinstance(sequence, SourceSequence):
        from relpose_ros.datasets.open import open_source

        source = open_source(sequence.path, format=sequence.format, **sequence.options)
        return source.licence or "not stated"
    return str(getattr(sequence, "licence", "not stated"))


def parse_split(words: str) -> dict[str, float]:
    """`train`, or shares as `train=0.8,val=0.1,test=0.1` -> shares that add up to 1, in that order.

    Raises ConfigurationError for another split or shares that are not positive.
    """
    shares: dict[str, float] = {}
    for word in words.split(","):
        name, equals, value = word.partition("=")
        try:
            share = float(value) if equals else 1.0
        except ValueError:
            share = 0.0
        if name not in SPLITS or name in shares or not 0 < share < float("inf"):
            raise ConfigurationError(
                f"expected a split ({', '.join(SPLITS)}) or shares like train=0.8,val=0.2; got {words!r}"
            )
        shares[name] = share
    return {name: share / sum(shares.values()) for name, share in shares.items()}


def divide(count: int, shares: Mapping[str, float], seed: int = 0) -> dict[str, list[int]]:
    """Which of `count` sequences are in which split: whole ones, drawn by `seed`, at least one in each.

    Raises ConfigurationError when there are fewer sequences than splits.
    """
    if count < len(shares):
        raise ConfigurationError(
            f"{count} sequences cannot be divided into {', '.join(shares)}: images of one sequence in two "
            "splits would test what was learnt by heart. Give more sources, or prepare each with its --split"
        )
    order = np.arange(count) if len(shares) == 1 else np.random.default_rng([seed, 5]).permutation(count)
    spare = count - len(shares)
    ends = np.rint(np.cumsum(list(shares.values())) * spare).astype(int) + np.arange(1, len(shares) + 1)
    parts = np.split(order, ends[:-1])
    return {name: sorted(part.tolist()) for name, part in zip(shares, parts, strict=True)}
