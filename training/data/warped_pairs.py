"""Two views of one picture: the picture on a wall, photographed twice by cameras that move and turn.

The homography of a plane is H = K1 (R + t n^T / d) K0^-1 (Hartley and Zisserman 2004, ch. 13.1), so these
pairs have a true relative pose, too. A plane hides nothing from anyone: every label is certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import ConfigurationError, ImageError
from relpose_ros.features.base import Extractor, rank_scores
from relpose_ros.features.registry import make_extractor
from relpose_ros.progress import Progress, silent
from relpose_training.data.correspondences import evenly
from relpose_training.data.illumination import change_light
from relpose_training.data.matching_fields import (
    DECODING,
    VARYING,
    Storage,
    StoredImage,
    decode,
    encode,
    matching_fields,
)
from relpose_training.data.matching_options import MatchingTally
from relpose_training.data.picture_shots import Shot, ShotRange, draw_shots
from relpose_training.data.reprojection_matches import PosedKeypoints, ReprojectionOptions
from relpose_training.data.sequences import PosedSequence
from relpose_training.data.shards import Sample
from relpose_training.data.true_matches import true_matches
from relpose_training.data.view_pairs import overlap, sight_from_depth

Array = NDArray[np.float64]
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class WarpOptions:
    """How `pairs` of each image are made. Raises ConfigurationError for what cannot be.

    Cameras differ as `shots` says, light as `illumination` does, in both views. Images longer than `largest`
    are reduced. The rest is as in `MatchingOptions`.
    """

    features: str = "rootsift64"
    max_keypoints: int = 1024
    storage: Storage = "uint8"
    pairs: int = 1
    images: int = 100_000
    largest: int = 640
    shots: ShotRange = field(default_factory=ShotRange)
    least_keypoints: int = 100
    least_matches: int = 20
    inlier_px: float = 2.0
    outlier_px: float = 6.0
    seed: int = 0

    varying: ClassVar[tuple[str, ...]] = VARYING

    def __post_init__(self) -> None:
        counts = self.max_keypoints, self.pairs, self.images, self.least_keypoints, self.least_matches
        if min(counts) < 1 or self.largest < 32 or self.seed < 0:
            raise ConfigurationError(f"expected counts of 1 or more and largest of 32 or more, got {self}")
        self.reprojection()
        make_extractor(self.features, 2)  # refuses a name that it does not know

    def reprojection(self) -> ReprojectionOptions:
        """How matches are told."""
        return ReprojectionOptions(self.inlier_px, self.outlier_px)

    def new_tally(self) -> MatchingTally:
        """For one sequence."""
        return MatchingTally()

    def meta(self) -> dict[str, Any]:
        """What the index of a split says of the pairs."""
        return {
            "features": self.features,
            "descriptor_size": make_extractor(self.features, 2).dimension,
            "descriptors": DECODING[self.storage],
            "scores": "rank",
        }

    def samples(
        self,
        sequence: PosedSequence,
        folder: Path,
        progress: Progress = silent,
        tally: MatchingTally | None = None,
    ) -> Iterator[Sample]:
        """The pairs of a sequence of images, whose poses do not matter; nothing is kept in `folder`."""
        tally = tally if tally is not None else self.new_tally()
        images = sequence.images()
        chosen = evenly(len(images), self.images)
        extractor = make_extractor(self.features, self.max_keypoints)
        for done, number in enumerate(chosen, 1):
            try:
                image = images[number].load()
            except ImageError:
                tally.unreadable += 1
                continue
            tally.images += 1
            for k in range(self.pairs):
                sample = warped_pair(image, extractor, self, np.random.default_rng([self.seed, number, k]))
                if min(len(sample["keypoints0"]), len(sample["keypoints1"])) < self.least_keypoints:
                    tally.few_keypoints += 1
                elif len(sample["matches"]) < self.least_matches:
                    tally.few_true += 1
                else:
                    tally.add(sample)
                    yield sample
            progress(done, len(chosen), f"{sequence.name}: image {done}")


def warped_pair(
    image: Image, extractor: Extractor, options: WarpOptions, generator: np.random.Generator
) -> Sample:
    """A pair of views of an image (H, W) or (H, W, 3), uint8, as shards hold it. Random, by `generator`."""
    import cv2

    image = _reduced(image, options.largest)
    height, width = image.shape[:2]
    shots = draw_shots(width, height, options.shots, generator)
    texel = 1.0 / width
    stored, posed, sights = [], [], []
    for shot in shots:
        H = shot.homography(texel, width, height)
        # What is not of the picture shows nothing, rather than a mirror image that would match itself.
        seen = cv2.warpPerspective(
            image, H, (width, height), flags=cv2.INTER_LINEAR, borderValue=_mean(image)
        )
        features = extractor.extract(change_light(np.asarray(seen, np.uint8), generator))
        features = features[_on_picture(H, features.keypoints, width, height)]
        depth = shot.depth(features.keypoints)
        rays = shot.camera.rays(features.keypoints)
        stored.append(
            StoredImage(
                features.keypoints, rank_scores(len(features)), encode(features.descriptors, options.storage),
                rays, shot.camera.matrix, (width, height),
            )
        )  # fmt: skip
        posed.append(PosedKeypoints(features.keypoints, depth, shot.camera.matrix, shot.camera_from_wall))
        sights.append(sight_from_depth(shot.camera, shot.camera_from_wall.inverse(), _depth_image(shot, H)))
    descriptors = decode(stored[0].descriptors), decode(stored[1].descriptors)
    truth = true_matches(posed[0], posed[1], descriptors, options.reprojection())
    second_from_first = shots[1].camera_from_wall @ shots[0].camera_from_wall.inverse()
    return matching_fields(stored[0], stored[1], truth, second_from_first, overlap(sights[0], sights[1]))


def _depth_image(shot: Shot, homography: Array) -> NDArray[np.float32]:
    """Depth (H, W) of the picture, 0 beside it."""
    y, x = np.mgrid[: shot.camera.height, : shot.camera.width]
    pixels = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
    inside = _on_picture(homography, pixels, shot.camera.width, shot.camera.height)
    depth = np.where(inside, shot.depth(pixels), 0.0)
    return depth.reshape(y.shape).astype(np.float32)


def _on_picture(
    homography: Array, pixels: NDArray[np.floating], width: int, height: int, margin: float = 4.0
) -> NDArray[np.bool_]:
    """Which pixels (N, 2) of a view are of the picture, and not at its rim, which is no feature of it."""
    there = np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1) @ np.linalg.inv(homography).T
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = there[:, 0] / there[:, 2], there[:, 1] / there[:, 2]
    inside = (x >= margin) & (y >= margin) & (x <= width - 1 - margin) & (y <= height - 1 - margin)
    return np.asarray(inside)


def _mean(image: Image) -> tuple[float, ...]:
    return tuple(float(v) for v in np.atleast_1d(image.mean(axis=(0, 1))))


def _reduced(image: Image, largest: int) -> Image:
    import cv2

    factor = largest / max(image.shape[:2])
    if factor >= 1:
        return image
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
