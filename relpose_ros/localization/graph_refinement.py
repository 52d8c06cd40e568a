"""What refined regressed poses are worth: how far right ones are off, and what wrong ones find by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from relpose_ros.features.base import Features
from relpose_ros.localization.calibration import ANOTHER_DRIVE, Calibration, Sample, fit_calibration
from relpose_ros.localization.circumstances import with_circumstances
from relpose_ros.localization.graph_agreement import GraphCalibration
from relpose_ros.localization.graph_road import GraphRoad, Regresses
from relpose_ros.localization.graph_trials import Trial, sample
from relpose_ros.localization.holdout import CHANCE_SUPPORT
from relpose_ros.localization.options import options_for
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.localization.structure import StructureLocalizer
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.leave_out import leave_out
from relpose_ros.progress import Progress, tracked
from relpose_ros.types import Hypothesis

_CHANCE_MARGIN = 1.5

_AWRY = ((0.3, 1.0), (0.4, 1.2))
"""How far a pose is led astray to see what it finds there: shares of the depth, radians of turn."""


def calibrate_refined(
    map_: Map,
    predictor: Regresses,
    asked: Sequence[Trial],
    features: Sequence[Features],
    known: GraphCalibration,
    progress: Progress,
) -> Calibration:
    """Fit to the trials' refined poses. `min_inliers`: what wrong ones reach, from a wrong part of the map or
    from a regressed pose that was moved away, and half as much on top."""
    options = options_for("default")
    samples: list[Sample] = []
    chance = [CHANCE_SUPPORT]
    for number, trial in enumerate(tracked(asked, progress, "calibrating relative poses")):
        held_out = sample(map_, trial, known)
        if held_out is None:
            continue
        part = leave_out(map_, np.setdiff1d(np.arange(len(map_)), trial.kept).tolist())
        road = GraphRoad(part, predictor, StructureLocalizer(part, options.structure), calibration=known)
        own = features[trial.index][: options.max_keypoints]
        query = Query.of(own, map_.cameras[trial.index])
        neighbours = _renumbered(trial, options.neighbours)
        for hypothesis in _tried(trial, held_out.hypothesis, number):
            found = road.refined(hypothesis, query, neighbours)
            if found is None:
                continue
            mine = Sample(with_circumstances(part, found, query.camera.focal), held_out.map_from_camera)
            samples += [mine] if trial.shown and hypothesis is held_out.hypothesis else []
            chance += [found.evidence.inliers] if mine.is_gross else []
    needed = int(np.ceil(_CHANCE_MARGIN * max(chance)))
    right = [s for s in samples if s.hypothesis.evidence.inliers >= needed and not s.is_gross]
    availability = len(right) / max(sum(t.shown for t in asked), 1)
    fitted = fit_calibration(right, widened=ANOTHER_DRIVE)
    return replace(fitted, min_inliers=needed, availability=availability)


def _tried(trial: Trial, regressed: Hypothesis, seed: int) -> list[Hypothesis]:
    """What is refined: the regressed pose, and where the map shows the place, one that was led astray."""
    return [regressed, _astray(regressed, seed)] if trial.shown else [regressed]


def _renumbered(trial: Trial, count: int) -> list[Neighbour]:
    """The first neighbours of a trial by their numbers in the part of the map that was kept."""
    number = {int(index): i for i, index in enumerate(trial.kept)}
    return [replace(n, index=number[n.index]) for n in trial.ranking[:count]]


def _astray(hypothesis: Hypothesis, seed: int) -> Hypothesis:
    """A regressed pose somewhere else, looking elsewhere."""
    generator = np.random.default_rng(seed)
    (near, far), (least, most) = _AWRY
    direction = generator.normal(size=3)
    move = generator.uniform(near, far) * hypothesis.evidence.depth * direction / np.linalg.norm(direction)
    pose = hypothesis.map_from_camera
    # About the image's vertical: a robot is turned, seldom tilted.
    turn = generator.choice([-1, 1]) * generator.uniform(least, most) * pose.rotation[:, 1]
    return replace(hypothesis, map_from_camera=pose.perturbed(np.concatenate([move, turn])))
