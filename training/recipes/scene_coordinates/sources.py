"""What a network of a scene is tested on: a posed-image source, or a split of prepared shards as one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage, Source
from relpose_ros.datasets.open import open_source
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.scene_coordinate_augmentation import View
from relpose_training.data.scene_storage import stored_view
from relpose_training.data.shards import ShardSet


def open_tested(path: str | Path, split: str = "test", format: str | None = None) -> Source:  # noqa: A002
    """The posed-image source at `path`; or, if it holds shards, its `split`, in the map of its meta.

    Raises DatasetError if it is neither, ConfigurationError for an unknown format.
    """
    has_shards = any((Path(path) / f"{name}.json").is_file() for name in (split, "train", "val"))
    if format is None and ("://" in str(path) or has_shards):
        return stored_source(ShardSet(path, split))
    return open_source(path, format=format)


def stored_source(shards: ShardSet) -> Source:
    """The views of a split as queries, their poses in the map. Raises DatasetError if it has none."""
    meta = shards.index.meta
    if "origin" not in meta or "names" not in meta:
        raise DatasetError(
            f"{shards.url}/{shards.split}: expected views of a scene (`relpose prepare scene`), found others"
        )
    origin, names = np.asarray(meta["origin"], float), [str(name) for name in meta["names"]]
    images = [
        _image(shards, shard, item, origin, names)
        for shard, size in enumerate(shards.sizes)
        for item in range(size)
    ]
    return Source(
        f"{Path(shards.url).name} ({shards.split})", Path(shards.url), tuple(images), bool(meta["metric"])
    )


def _image(
    shards: ShardSet, shard: int, item: int, origin: NDArray[np.float64], names: list[str]
) -> PosedImage:
    view, number = _view(shards, shard, item), int(shards.shard(shard).sample(item)["number"])
    pose = view.map_from_camera
    return PosedImage(
        names[number] if number < len(names) else str(number),
        view.camera,
        Rigid(pose.rotation, pose.translation + origin),
        "query",
        partial(_pixels, shards, shard, item),
        stamp=float(number),
        load_depth=None if view.depth is None else partial(_depth, shards, shard, item),
    )


def _view(shards: ShardSet, shard: int, item: int) -> View:
    return stored_view(shards.shard(shard).sample(item))


def _pixels(shards: ShardSet, shard: int, item: int) -> NDArray[np.uint8]:
    return _view(shards, shard, item).image


def _depth(shards: ShardSet, shard: int, item: int) -> NDArray[np.float32]:
    depth = _view(shards, shard, item).depth
    return np.zeros((1, 1), np.float32) if depth is None else depth
