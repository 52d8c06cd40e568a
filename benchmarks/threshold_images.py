"""Single images for `benchmarks thresholds`: queries, the same in bad light, strangers; asked and scored."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import number, percent
from benchmarks.strangers import RecordingLocalizer
from relpose_ros.datasets.base import PosedImage
from relpose_ros.evaluation.false_poses import GrossLimits, gross_limits, scene_extent
from relpose_ros.features.base import Features
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.arbiter import Arbiter
from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.options import LocalizerOptions
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Frame, Hypothesis, Localization

Pixels = NDArray[np.uint8]

DIM, BLUR_SHARE, NOISE = 0.35, 0.0025, 3.0
"""Of a picture in bad light: factor on the grey levels, blur as a share of its width, noise (grey levels)."""

HEADER = ["queries found", "in bad light", "median error", "false: of queries", "of strangers", "time"]


@dataclass(frozen=True)
class Asked:
    """An image of a `group` put to a map. `truth`: None for a stranger; `strained`: shown in bad light."""

    group: str
    image: PosedImage
    map: str
    truth: Rigid | None
    strained: bool = False

    @property
    def key(self) -> tuple[str, str, bool]:
        """What its features are remembered by."""
        return self.group, self.image.name, self.strained


@dataclass(frozen=True)
class Told:
    """The answer, the hypotheses behind it, and milliseconds of processor time, extraction included."""

    asked: Asked
    answer: Localization
    hypotheses: tuple[Hypothesis, ...]
    milliseconds: float


def in_bad_light(image: Pixels, name: str) -> Pixels:
    """Darker, blurred and noisy; always the same for the same name."""
    import cv2

    random = np.random.default_rng(zlib.crc32(name.encode()))
    soft = cv2.GaussianBlur(image, (0, 0), BLUR_SHARE * image.shape[1]).astype(np.float32)
    return np.asarray(np.clip(DIM * soft + random.normal(0, NOISE, image.shape), 0, 255), np.uint8)


@dataclass
class Gallery:
    """The maps and what they are asked; features are extracted once for each way to extract."""

    maps: dict[str, Map]
    asked: list[Asked]
    limits: dict[str, GrossLimits] = field(default_factory=dict)
    _features: dict[tuple[object, ...], tuple[Features, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, opened in self.maps.items():
            self.limits[name] = gross_limits(opened.metric, scene_extent([], opened.reference_poses))

    def ask(self, options: LocalizerOptions) -> list[Told]:
        """Every image, with these options."""
        localizers = {name: RecordingLocalizer(opened, options) for name, opened in self.maps.items()}
        return [self._told(localizers[asked.map], asked) for asked in self.asked]

    def judge_again(self, told: Iterable[Told], options: LocalizerOptions) -> list[Told]:
        """The same hypotheses before an arbiter with these options."""
        arbiters = {
            name: Arbiter(Calibration.from_dict(opened.calibration), options.arbiter)
            for name, opened in self.maps.items()
        }
        return [
            replace(t, answer=arbiters[t.asked.map].decide(list(t.hypotheses), t.answer.reason)) for t in told
        ]

    def _told(self, localizer: RecordingLocalizer, asked: Asked) -> Told:
        features, spent = self._extracted(localizer, asked)
        start = time.process_time()
        answer = localizer.localize_features(features, asked.image.camera)
        return Told(asked, answer, localizer.last, spent + 1e3 * (time.process_time() - start))

    def _extracted(self, localizer: RecordingLocalizer, asked: Asked) -> tuple[Features, float]:
        """Features and the milliseconds that they took."""
        options = localizer.options
        key = (options.max_keypoints, options.image_scale, *asked.key)
        if key not in self._features:
            image = asked.image.load()
            if asked.strained:
                image = in_bad_light(image, asked.image.name)
            frame = Frame(image, asked.image.camera)
            start = time.process_time()
            features = localizer.extract(frame)
            self._features[key] = features, 1e3 * (time.process_time() - start)
        return self._features[key]


@dataclass(frozen=True)
class Score:
    """One value of one threshold. `errors`: of the queries found, in map units by query."""

    found: tuple[int, int]
    strained: tuple[int, int]
    errors: dict[Any, float]
    false: tuple[int, int]
    strangers: tuple[int, int]
    milliseconds: float

    def cells(self, base: Score) -> list[str]:
        """As in HEADER: error and time as multiples of those of `base`."""
        both = [e / base.errors[k] for k, e in self.errors.items() if base.errors.get(k, 0.0) > 0]
        error = number(float(np.median(both)), 2) if both else "-"
        return [
            _share(self.found), _share(self.strained), f"x {error}", _count(self.false),
            _count(self.strangers), f"x {number(self.milliseconds / base.milliseconds, 2)}",
        ]  # fmt: skip


def scored(
    told: Iterable[Told],
    limits: dict[str, GrossLimits],
    published: Callable[[Localization], bool] = lambda answer: answer.has_pose,
) -> Score:
    """Count what is `published`. A pose is false beyond the map's limits, and for a stranger always."""
    told = list(told)
    queries = [t for t in told if t.asked.truth is not None]
    strangers = [t for t in told if t.asked.truth is None]
    plain, strained = ([t for t in queries if t.asked.strained is s] for s in (False, True))
    shown = [t for t in queries if published(t.answer)]
    return Score(
        (sum(published(t.answer) for t in plain), len(plain)),
        (sum(published(t.answer) for t in strained), len(strained)),
        {t.asked.key: _error(t)[0] for t in shown},
        (sum(_is_false(t, limits[t.asked.map]) for t in shown), len(shown)),
        (sum(published(t.answer) for t in strangers), len(strangers)),
        float(np.median([t.milliseconds for t in queries])),
    )


def _error(told: Told) -> tuple[float, float]:
    """Map units and degrees."""
    assert told.asked.truth is not None and told.answer.map_from_camera is not None
    distance, angle = told.answer.map_from_camera.distance_to(told.asked.truth)
    return float(distance), float(np.degrees(angle))


def _is_false(told: Told, limits: GrossLimits) -> bool:
    distance, degrees = _error(told)
    return not (distance <= limits.translation and degrees <= limits.rotation_deg)


def _share(counted: tuple[int, int]) -> str:
    return f"{percent(counted[0] / counted[1])} %" if counted[1] else "-"


def _count(counted: tuple[int, int]) -> str:
    return f"{counted[0]} of {counted[1]}"
