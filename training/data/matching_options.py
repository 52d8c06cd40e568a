"""How labelled pairs are made of posed images, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from relpose_ros.errors import ConfigurationError
from relpose_ros.features.registry import make_extractor
from relpose_ros.progress import Progress
from relpose_training.data.matching_fields import DECODING, VARYING, Storage
from relpose_training.data.matching_views import Scores
from relpose_training.data.reprojection_matches import ReprojectionOptions
from relpose_training.data.sequences import PosedSequence
from relpose_training.data.shards import Sample


@dataclass(frozen=True)
class MatchingOptions:
    """How labelled pairs are made. Raises ConfigurationError for what cannot be.

    `features`, `max_keypoints`: see `make_extractor`; `scores`: the keypoints' rank, or what the detector
    says; `storage` of descriptors. Of a sequence at most `images` (evenly spread) are used, and `pairs`
    are made, of every overlap between `least_overlap` and `most_overlap`. A pair needs `least_common`
    landmarks that both images see (where there is no depth), `least_keypoints` in both images,
    `least_matches` true ones, and a translation longer than `least_baseline` in the unit of the poses.
    `inlier_px`, `outlier_px`, `compat`: see `ReprojectionOptions`.
    """

    features: str = "rootsift64"
    max_keypoints: int = 1024
    scores: Scores = "rank"
    storage: Storage = "uint8"
    images: int = 300
    pairs: int = 1000
    least_overlap: float = 0.1
    most_overlap: float = 0.8
    least_common: int = 20
    least_keypoints: int = 200
    least_matches: int = 20
    least_baseline: float = 0.02
    inlier_px: float = 3.0
    outlier_px: float = 10.0
    compat: bool = False
    seed: int = 0

    varying: ClassVar[tuple[str, ...]] = VARYING

    def __post_init__(self) -> None:
        counts = (self.max_keypoints, self.images, self.pairs, self.least_keypoints, self.least_matches)
        if min(counts) < 2 or min(self.least_common, self.seed) < 0 or self.least_baseline <= 0:
            raise ConfigurationError(
                f"expected counts of 2 or more, a positive baseline and a seed of 0 or more; got {self}"
            )
        if not 0 < self.least_overlap < self.most_overlap <= 1:
            raise ConfigurationError(f"expected 0 < least_overlap < most_overlap <= 1, got {self}")
        self.reprojection()
        make_extractor(self.features, 2)  # refuses a name that it does not know

    def reprojection(self) -> ReprojectionOptions:
        """How matches are told."""
        return ReprojectionOptions(self.inlier_px, self.outlier_px, compat=self.compat)

    def new_tally(self) -> MatchingTally:
        """For one sequence."""
        return MatchingTally()

    def meta(self) -> dict[str, Any]:
        """What the index of a split says of the pairs."""
        return {
            "features": self.features,
            "descriptor_size": make_extractor(self.features, 2).dimension,
            "descriptors": DECODING[self.storage],
            "scores": self.scores,
        }

    def samples(
        self, sequence: PosedSequence, folder: Path, progress: Progress, tally: MatchingTally
    ) -> Iterator[Sample]:
        """The pairs of a sequence; what was found out about its images is kept in `folder`."""
        from relpose_training.data.matching_sequences import labelled_pairs

        for pair in labelled_pairs(sequence, self, folder, progress, tally):
            yield pair.sample


PUBLISHED = {
    "features": "rootsift128",
    "max_keypoints": 4096,
    "scores": "detector",
    "least_keypoints": 1024,
    "least_matches": 21,
    "inlier_px": 5.0,
    "outlier_px": 15.0,
    "compat": True,
}
"""`MatchingOptions` with which the published training data were made (specs/imp.md 2.1)."""


@dataclass
class MatchingTally:
    """What became of a sequence's images and of the pairs that were looked at."""

    images: int = 0
    without_pose: int = 0
    unreadable: int = 0
    overlapping: int = 0
    few_keypoints: int = 0
    few_true: int = 0
    kept: int = 0
    matches: int = 0
    unmatched: int = 0
    keypoints: int = 0

    def sentence(self) -> str:
        """In words."""
        text = (
            f"{self.kept} pairs of {self.images} images ({self.without_pose} more have no pose, "
            f"{self.unreadable} cannot be read); {self.overlapping} pairs overlap, {self.few_keypoints} of "
            f"those looked at had too few keypoints, {self.few_true} too few true matches"
        )
        if self.kept:
            text += (
                f"; of an image's {self.keypoints / self.kept / 2:.0f} keypoints "
                f"{self.matches / max(self.keypoints / 2, 1):.0%} are matched, "
                f"{self.unmatched / max(self.keypoints, 1):.0%} certainly have no partner"
            )
        return text

    def add(self, sample: Sample) -> None:
        """Count a pair."""
        self.kept += 1
        self.matches += len(sample["matches"])
        self.unmatched += len(sample["unmatched0"]) + len(sample["unmatched1"])
        self.keypoints += len(sample["keypoints0"]) + len(sample["keypoints1"])
