"""The published dump of IMP's training data -> labelled pairs; nothing of it is unpickled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import ConfigurationError, DatasetError
from relpose_ros.progress import Progress
from relpose_training.data.matching_fields import (
    DECODING,
    VARYING,
    Storage,
    StoredImage,
    TrueMatches,
    encode,
    matching_fields,
)
from relpose_training.data.matching_options import MatchingTally
from relpose_training.data.megadepth_dump import DumpedImage, MegaDepthDump
from relpose_training.data.megadepth_scenes import LICENCE
from relpose_training.data.reprojection_matches import certainly_unmatched
from relpose_training.data.sequences import PosedSequence
from relpose_training.data.shards import Sample

KEPT_IMAGES = 32
"""Of a scene's images this many are held in memory: pairs that follow each other share images."""


@dataclass(frozen=True)
class DumpScene:
    """One scene of a dump; a `PosedSequence` whose images are not there, only their keypoints."""

    root: Path
    feature: str
    name: str
    pairs: int
    licence: str = LICENCE

    def images(self) -> Sequence[PosedImage]:
        """None."""
        return ()


@dataclass(frozen=True)
class DumpOptions:
    """At most `pairs` pairs of each scene of a dump, drawn by `seed`, and how descriptors are stored."""

    feature: str
    descriptor_size: int
    pairs: int = 1000
    storage: Storage = "uint8"
    seed: int = 0

    varying: ClassVar[tuple[str, ...]] = VARYING

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.seed < 0:
            raise ConfigurationError(f"expected one pair or more and a seed of 0 or more, got {self}")

    def new_tally(self) -> MatchingTally:
        """For one scene."""
        return MatchingTally()

    def meta(self) -> dict[str, Any]:
        """What the index of a split says of the pairs."""
        return {
            "features": self.feature,
            "descriptor_size": self.descriptor_size,
            "descriptors": DECODING[self.storage],
            "scores": "detector",
        }

    def samples(
        self, sequence: PosedSequence, folder: Path, progress: Progress, tally: MatchingTally
    ) -> Iterator[Sample]:
        """The pairs of a scene. Raises DatasetError naming a file that is damaged or hostile."""
        if not isinstance(sequence, DumpScene):
            raise DatasetError(f"{sequence.name}: expected a scene of a dump")
        scene = sequence
        dump = MegaDepthDump(scene.root, scene.feature)
        image = lru_cache(KEPT_IMAGES)(lambda path: dump.image(scene.name, path))
        chosen = np.random.default_rng([self.seed, 17]).permutation(scene.pairs)[: self.pairs]
        for index in sorted(chosen.tolist()):
            pair = dump.pair(scene.name, index)
            first, second = (image(path) for path in pair.image_paths)
            sample = dumped_pair(first, second, pair.matches, self.storage)
            tally.add(sample)
            progress(tally.kept, len(chosen), f"{scene.name}: pair {tally.kept}")
            yield sample
        tally.images = image.cache_info().misses


def dumped_pair(
    first: DumpedImage, second: DumpedImage, matches: np.ndarray[Any, Any], storage: Storage = "uint8"
) -> Sample:
    """A pair of a dump as shards hold it.

    Without partner are only keypoints that certainly have none. `overlap` is the share of keypoints that
    match: the dump does not say more. Raises DatasetError for matches of keypoints that are not there.
    """
    counts = len(first.keypoints), len(second.keypoints)
    if len(matches) and (matches.min() < 0 or (matches.max(axis=0) >= counts).any()):
        raise DatasetError(
            f"matches of {first.image_path} and {second.image_path} name keypoints that are not there"
        )
    alone = certainly_unmatched(first, second)
    for side, mask in enumerate(alone):
        mask[matches[:, side]] = False
    truth = TrueMatches(matches, np.flatnonzero(alone[0]), np.flatnonzero(alone[1]))
    second_from_first = second.camera_from_world @ first.camera_from_world.inverse()
    share = len(matches) / max(min(counts), 1)
    stored = [_stored(image, storage) for image in (first, second)]
    return matching_fields(stored[0], stored[1], truth, second_from_first, share)


def _stored(image: DumpedImage, storage: Storage) -> StoredImage:
    K = image.matrix
    rays = (image.keypoints - K[:2, 2]) / K[[0, 1], [0, 1]]
    values = (image.keypoints, image.scores, image.descriptors, rays)
    if not all(np.isfinite(v).all() for v in values):
        raise DatasetError(f"{image.image_path}: keypoints with numbers that are not finite")
    return StoredImage(
        np.asarray(image.keypoints, np.float32),
        np.asarray(image.scores, np.float32),
        encode(image.descriptors, storage),
        rays,
        K,
        image.size,
    )


def dump_scenes(root: Path, feature: str, names: Sequence[str] | None = None) -> tuple[list[DumpScene], int]:
    """The scenes of a dump, or those named, and the size of descriptors.

    Raises DatasetError for a dump that is not as published, or a scene that is not in it.
    """
    dump = MegaDepthDump(root, feature)
    counts = {scene: count for scene, count in dump.pair_counts().items() if count}
    missing = sorted(set(names or ()) - set(counts))
    if missing or not counts:
        raise DatasetError(
            f"{root}: expected pairs of scene {missing[0] if missing else '...'}; it has {len(counts)} scenes"
        )
    scenes = [
        DumpScene(root, feature, n, counts[n]) for n in (counts if names is None else dict.fromkeys(names))
    ]
    first = dump.image(scenes[0].name, dump.pair(scenes[0].name, 0).image_paths[0])
    return scenes, first.descriptors.shape[1]
