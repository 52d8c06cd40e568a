"""What a scene's network is off by, learned from posed images that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relpose_ros.checkpoints.scene import CoordinateMap, SceneInfo
from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import CheckpointError, DatasetError
from relpose_ros.localization.calibration import CHI2_6_QUANTILES, Calibration, Sample, fit_calibration
from relpose_ros.localization.options import LocalizerOptions
from relpose_ros.localization.scene_road import Predicts, SceneRoad
from relpose_ros.progress import Progress, silent, tracked
from relpose_ros.types import Hypothesis

CHANCE_PATCHES = 10
"""Support that a wrong pose gets by chance at least, in patches of cells; a scene may raise it."""

MIN_SAMPLES = 10
"""With fewer images than this there is nothing to fit."""

_CHANCE_MARGIN = 1.5
_BLOCK = 8
"""Cells: blocks of this size are shuffled, so that a map of another place keeps its smoothness."""


@dataclass(frozen=True)
class SceneCalibration:
    """`calibration` and what it was fitted to: images `tried`, those with a pose by enough cells (`usable`)
    and those of them that were `wrong`; `chance`: the largest support of a wrong pose that was provoked;
    `coverage_before`: share of the usable ones inside the 95 % region by the calibration that was there (the
    prior if none), `coverage_after`: by one fitted to the other half of them."""

    calibration: Calibration
    tried: int
    usable: int
    wrong: int
    chance: int
    coverage_before: float
    coverage_after: float


def calibrate_scene(
    predictor: Predicts,
    images: Sequence[PosedImage],
    outside: Sequence[PosedImage] = (),
    options: LocalizerOptions | None = None,
    progress: Progress = silent,
) -> SceneCalibration:
    """Localize posed `images` that the network was not trained on, and fit a calibration to the errors.

    `outside`: images of other places; any support there is chance, as is that of maps whose blocks are
    shuffled. Raises DatasetError where fewer than `MIN_SAMPLES` images give a pose.
    """
    options = options or LocalizerOptions()
    road = SceneRoad(predictor, options.scene_road, options.seed)
    samples: list[Sample] = []
    chance = [CHANCE_PATCHES]
    for image in tracked(images, progress, "calibrating"):
        if image.map_from_camera is None:
            continue
        cells = predictor.predict(image.load(), image.camera)
        found = road.hypotheses_of(cells, image.camera)
        samples += [Sample(h, image.map_from_camera) for h in found if _would_stand(h, options)]
        chance += _support(road.hypotheses_of(shuffled(cells, len(chance)), image.camera), options)
    for image in tracked(outside, progress, "other places"):
        chance += _support(road.hypotheses(image.frame()), options)
    needed = int(np.ceil(_CHANCE_MARGIN * max(chance)))
    usable = [s for s in samples if s.hypothesis.evidence.inliers >= needed]
    right = [s for s in usable if not s.is_gross]
    if len(right) < MIN_SAMPLES:
        raise DatasetError(
            f"expected at least {MIN_SAMPLES} images that {predictor.path} localizes, got {len(right)} of "
            f"{len(images)} ({len(usable) - len(right)} poses are wrong; {needed} patches of cells are "
            "needed to rule out chance): give more images, or train longer"
        )
    before = Calibration.from_dict(predictor.scene.calibration)
    fitted = fit_calibration(right)
    fitted = replace(fitted, min_inliers=needed, availability=len(usable) / max(len(images), 1))
    return SceneCalibration(
        calibration=fitted,
        tried=len(images),
        usable=len(usable),
        wrong=len(usable) - len(right),
        chance=max(chance),
        coverage_before=coverage(before, right),
        coverage_after=_coverage_of_halves(right),
    )


def coverage(calibration: Calibration, samples: Sequence[Sample]) -> float:
    """Share of samples whose error lies inside the calibrated 95 % region."""
    return float(np.mean([calibration.nees(s) < CHI2_6_QUANTILES[0.95] for s in samples]))


def shuffled(cells: CoordinateMap, seed: int) -> CoordinateMap:
    """The map with its blocks of cells in another order: coordinates that fit together nowhere."""
    height, width = cells.shape
    rows, columns = height // _BLOCK, width // _BLOCK
    index = np.arange(height * width).reshape(height, width)
    tiles = index[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    flat = tiles.reshape(-1, _BLOCK, _BLOCK)
    flat = flat[np.random.default_rng(seed).permutation(len(flat))]
    index = index.copy()
    index[: rows * _BLOCK, : columns * _BLOCK] = (
        flat.reshape(rows, columns, _BLOCK, _BLOCK).swapaxes(1, 2).reshape(rows * _BLOCK, columns * _BLOCK)
    )
    order: NDArray[np.int64] = index.ravel()
    covariances = None if cells.covariances is None else cells.covariances[order]
    return replace(cells, points=cells.points[order], covariances=covariances)


def write_calibration(checkpoint: Path, out: Path, calibration: Calibration) -> None:
    """The checkpoint with this calibration in its header, at `out`, which may be the same file.

    Raises CheckpointError as `read_info` does.
    """
    from relpose_ros.checkpoints.containers import read_container
    from relpose_ros.checkpoints.format import read_info, write_checkpoint

    info = read_info(checkpoint)
    scene = replace(SceneInfo.of(info, checkpoint), calibration=calibration.to_dict())
    write_checkpoint(out, read_container(checkpoint), replace(info, scene=scene.to_dict()))


def check_units(scene: SceneInfo, path: Path, metric: bool, source: Path) -> None:
    """Raises CheckpointError where only one of a scene and a source of images is in metres."""
    if scene.metric != metric:
        units = {True: "in metres", False: "without scale"}
        raise CheckpointError(
            f"{path}: its scene is {units[scene.metric]}, {source} {units[metric]}; give images posed as "
            "those that it was trained on"
        )


def _would_stand(hypothesis: Hypothesis, options: LocalizerOptions) -> bool:
    """Whether nothing but chance could be held against it: what is never published is not counted."""
    evidence = hypothesis.evidence
    return not evidence.objection and (
        evidence.rival_inliers <= options.arbiter.max_ambiguity * evidence.inliers
    )


def _support(found: list[Hypothesis], options: LocalizerOptions) -> list[int]:
    return [h.evidence.inliers for h in found if _would_stand(h, options)]


def _coverage_of_halves(samples: Sequence[Sample]) -> float:
    """Coverage of each half by the calibration of the other: neighbouring frames stay together."""
    half = len(samples) // 2
    parts = (samples[:half], samples[half:])
    inside = [coverage(fit_calibration(a), b) * len(b) for a, b in (parts, parts[::-1])]
    return sum(inside) / len(samples)
