"""Posed images that a map was not built from, localized in it: what a calibration is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import CameraError, DatasetError, ImageError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.arbiter import Arbiter
from relpose_ros.localization.calibration import Sample
from relpose_ros.localization.circumstances import view_change
from relpose_ros.localization.confidence import Trial
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.query import MIN_FEATURES, Query
from relpose_ros.maps.bundle import Map
from relpose_ros.progress import Progress, silent, tracked
from relpose_ros.types import Hypothesis

SAME_VIEW = 1e-5
"""An image whose view differs less from a reference's (parallax and turn, radians) is that reference."""

CALIBRATED = ("structure", "relative")
"""The roads that a map's calibration speaks of; others have their own."""


@dataclass(frozen=True)
class Found:
    """An image's strongest pose that nothing but too little support speaks against, and its support.

    `sample` is None for an image of another place, where any pose is wrong.
    """

    hypothesis: Hypothesis
    support: float
    sample: Sample | None

    @property
    def right(self) -> bool:
        """Whether the pose is one of the place, however exact."""
        return self.sample is not None and not self.sample.is_gross

    @property
    def trial(self) -> Trial:
        """What the confidence is fitted to."""
        return Trial(self.support, self.hypothesis.evidence.rival_inliers, self.right)


def apart_from(map_: Map, images: Sequence[PosedImage]) -> list[PosedImage]:
    """Those of the images that the map was not built from, by their poses."""
    return [i for i in images if i.map_from_camera is None or not _is_reference(map_, i.map_from_camera)]


def _is_reference(map_: Map, pose: Rigid) -> bool:
    parallax, turn = view_change(map_, pose.translation, pose.rotation[:, 2], map_.depth)
    return bool((np.hypot(parallax, turn) < SAME_VIEW).any())


def localize_held_out(
    localizer: Localizer,
    images: Sequence[PosedImage],
    progress: Progress = silent,
    stage: str = "localizing",
    outside: bool = False,
) -> list[Found]:
    """What was found in the images, in order; `outside`: they show other places than the map.

    Images that cannot be read, and those in which nothing was found, are not in it.
    """
    lenient = _lenient(localizer)
    worth = {"relative": 1 / localizer.options.arbiter.relative_factor}
    found: list[Found] = []
    for image in tracked(images, progress, stage):
        try:
            hypothesis = _strongest(localizer, image, lenient)
        except (ImageError, CameraError, DatasetError):
            hypothesis = None  # counts as not localized, as it does in an evaluation
        if hypothesis is None or (image.map_from_camera is None and not outside):
            continue
        truth = None if outside else image.map_from_camera
        sample = Sample(hypothesis, truth) if truth is not None else None
        support = worth.get(hypothesis.method, 1.0) * hypothesis.evidence.inliers
        found.append(Found(hypothesis, support, sample))
    return found


def _lenient(localizer: Localizer) -> Arbiter:
    """Asks neither for support nor for exactness: both are what is to be calibrated."""
    calibration = replace(localizer.calibration, min_inliers=1)
    options = replace(
        localizer.options.arbiter, min_inliers=1, max_rotation_sigma=np.inf, max_translation_sigma=np.inf
    )
    return Arbiter(calibration, options)


def _strongest(localizer: Localizer, image: PosedImage, arbiter: Arbiter) -> Hypothesis | None:
    frame = image.frame()
    features = localizer.extract(frame)
    if len(features) < MIN_FEATURES:
        return None
    neighbours = localizer.retrieve(localizer.describe(features, frame.image))
    query = Query.of(features, frame.camera, localizer.options.seed)
    hypotheses, _ = localizer.hypotheses(query, neighbours)
    hypotheses = [h for h in hypotheses if h.method in CALIBRATED]
    answer = arbiter.decide(hypotheses, "")
    return next((h for h in hypotheses if h.map_from_camera is answer.map_from_camera), None)
