"""A scene as a data set: posed images with depth, landmarks, coordinates or nothing -> shards of views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.progress import Progress, silent
from relpose_training.data.scene_encoding import Landmarks, SceneOptions, encoded_view
from relpose_training.data.scene_extent import Extent
from relpose_training.data.scene_storage import VARYING, StoredView
from relpose_training.data.shard_writer import write_shards
from relpose_training.data.shards import Sample, ShardSet

MOST_VIEWS = 300
OF_THE_SCENE = ("bounds", "mean", "known", "views")


@dataclass(frozen=True)
class SceneFacts:
    """What the index of a set says besides what is worked out of its images."""

    source: str = ""
    licence: str = "not stated"
    metric: bool = True
    frame: str = "map"
    more: Mapping[str, Any] = field(default_factory=dict)


NO_FACTS, DEFAULTS = SceneFacts(), SceneOptions()


def prepare_scene(
    splits: Mapping[str, Sequence[PosedImage]],
    folder: Path,
    shards: int = 1,
    facts: SceneFacts = NO_FACTS,
    options: SceneOptions = DEFAULTS,
    landmarks: Landmarks | None = None,
    progress: Progress = silent,
) -> dict[str, int]:
    """Write the splits, "train" first; returns how many images each has.

    All poses are of one frame. The origin is the median camera of the first split; its bounds, mean and
    views describe all splits. Without "train", these are those of the train split that is there already.
    Raises DatasetError for an image without a pose, a split with fewer images than shards, or a broken
    file.
    """
    order = sorted(splits, key=lambda name: name != "train")
    poses = {name: _poses(name, images) for name, images in splits.items()}
    known = _train_meta(folder) if "train" not in splits else None
    origin = scene_origin(poses[order[0]]) if known is None else np.array(known["origin"], float)
    extent = Extent([Rigid(p.rotation, p.translation - origin) for p in poses[order[0]]])
    for name in order:
        images = splits[name]
        views = (encoded_view(image, k, origin, options, landmarks) for k, image in enumerate(images))
        meta = {**_meta(images, facts, options), "origin": origin.tolist()}
        if known is not None:
            meta |= {key: known[key] for key in OF_THE_SCENE}
        samples = _samples(views, extent, meta, learn=name == order[0] and known is None)
        write_shards(samples, folder, name, shards, VARYING, meta, progress, len(images))
    return {name: len(splits[name]) for name in splits}


def _samples(
    views: Iterator[StoredView], extent: Extent, meta: dict[str, Any], learn: bool
) -> Iterator[Sample]:
    """The samples; behind the last one, `meta` is told how far the scene reaches."""
    for view in views:
        if learn:
            extent.add(view.view)
        yield view.sample()
    if "bounds" not in meta:
        meta.update(bounds=extent.bounds(), mean=extent.mean())
        meta.update(known=extent.known, views=extent.views(MOST_VIEWS))


def _train_meta(folder: Path) -> Mapping[str, Any] | None:
    """What the train split in a folder says of the scene; None where there is none."""
    if not (folder / "train.json").is_file():
        return None
    meta = ShardSet(folder, "train").index.meta
    if not all(key in meta for key in ("origin", *OF_THE_SCENE)):
        raise DatasetError(
            f"{folder}: expected a scene in its train split, found another set; choose another"
        )
    return meta


def _meta(images: Sequence[PosedImage], facts: SceneFacts, options: SceneOptions) -> dict[str, Any]:
    sizes = [[image.camera.width, image.camera.height] for image in images]
    return {
        "source": facts.source,
        "licence": facts.licence,
        "metric": facts.metric,
        "frame": facts.frame,
        "options": asdict(options),
        "names": [image.name for image in images],
        "mean_image_size": np.mean(sizes, axis=0).tolist(),
        **facts.more,
    }


def scene_origin(poses: Sequence[Rigid]) -> NDArray[np.float64]:
    """The median camera centre (3,), rounded to whole units."""
    middle = np.median([pose.translation for pose in poses], axis=0)
    return np.asarray(np.rint(middle) + 0.0, np.float64)  # no -0.0


def _poses(split: str, images: Sequence[PosedImage]) -> list[Rigid]:
    if not images:
        raise DatasetError(f"{split}: no image; give more sources or another --split")
    poses = [image.map_from_camera for image in images if image.map_from_camera is not None]
    if len(poses) < len(images):
        missing = next(image.name for image in images if image.map_from_camera is None)
        raise DatasetError(f"{split}: {missing} has no pose; expected images with poses")
    return poses
