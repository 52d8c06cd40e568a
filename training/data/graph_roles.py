"""Which images of a scene are references and which query, in each split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_training.data.correspondences import evenly
from relpose_training.data.scene_splits import scene_splits

Queries = Literal["auto", "split", "each_other", "all"]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Roles:
    """Numbers of the images that are `references` (R,) and that query them (Q,); an image may do both."""

    references: Numbers
    queries: Numbers

    @property
    def images(self) -> Numbers:
        """All of them, in order."""
        return np.union1d(self.references, self.queries)


def usable(images: Sequence[PosedImage], most: int, name: str) -> list[PosedImage]:
    """Images with a pose, at most so many, evenly. Raises DatasetError for less than two, or equal names."""
    posed = [image for image in images if image.map_from_camera is not None]
    kept = [posed[k] for k in evenly(len(posed), most)]
    if len(kept) < 2:
        raise DatasetError(
            f"{name}: expected two images with poses or more, got {len(kept)} (of {len(images)})"
        )
    if len({image.name for image in kept}) < len(kept):
        raise DatasetError(f"{name}: two images have the same name; expected each once")
    return kept


def whole_roles(images: Sequence[PosedImage], split: str, queries: Queries, name: str) -> Roles:
    """Of a scene that is in one split as a whole.

    "split": images of the source's query split query those of its map; "each_other": the map's images query
    each other; "all": every image queries the map's. "auto": "all" to train with, where more is better; else
    "split" if the source has one, else "each_other". Raises DatasetError, ConfigurationError.
    """
    if queries not in get_args(Queries):
        raise ConfigurationError(f"expected --queries of {', '.join(get_args(Queries))}, got {queries!r}")
    asks = np.array([image.split == "query" for image in images], bool)
    divided = bool(asks.any() and not asks.all())
    how = queries
    if queries == "auto":
        how = "all" if split == "train" else "split" if divided else "each_other"
    if how == "split" and not divided:
        raise DatasetError(
            f"{name}: expected images of a map and of a query split, got one of them; give --queries "
            "each_other"
        )
    everything = np.arange(len(images))
    references = np.flatnonzero(~asks) if divided else everything
    chosen = {"split": np.flatnonzero(asks), "each_other": references, "all": everything}
    return Roles(references, chosen[how])


def divided_roles(
    images: Sequence[PosedImage], shares: Mapping[str, float], queries: Queries = "auto"
) -> dict[str, Roles]:
    """Of a scene that is divided: what trains is also what the other splits query.

    The source's map images are divided by `shares`, in runs. "train": its images query each other; "val" and
    "test" query those of "train". Images of the source's query split are "test". Raises ConfigurationError.
    """
    if queries not in ("auto", "each_other", "split") or "train" not in shares:
        raise ConfigurationError(
            "expected a split train, and --queries auto, for a source that is divided: its training images "
            "query each other, those of other splits query them"
        )
    at = {image.name: k for k, image in enumerate(images)}
    splits = scene_splits([images], shares)
    numbers = {name: np.array([at[i.name] for i in chosen], int) for name, chosen in splits.items()}
    references = np.sort(numbers["train"])
    return {
        name: Roles(references, references if name == "train" else np.sort(chosen))
        for name, chosen in numbers.items()
    }
