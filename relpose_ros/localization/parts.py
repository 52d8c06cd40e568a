"""What a localizer's options name, opened: pruner, scene, and the network that regresses relative poses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

from relpose_ros.errors import ConfigurationError
from relpose_ros.features.pruning import Judge, Pruner, size_for
from relpose_ros.localization.graph_road import GraphRoad, Regresses, open_regressor
from relpose_ros.localization.options import Estimator, LocalizerOptions
from relpose_ros.localization.scene_evidence import check_fits
from relpose_ros.localization.scene_road import Predicts, SceneRoad, open_predictor
from relpose_ros.localization.structure import StructureLocalizer
from relpose_ros.maps.bundle import Map

ESTIMATORS = get_args(Estimator)


def pruners_for(options: LocalizerOptions, given: Judge | None = None) -> dict[str, Judge | None]:
    """For each road what judges its matches, if anything. Raises ConfigurationError for other roads."""
    roads = ("structure", "relative")
    unknown = set(options.pruned_roads) - set(roads)
    if unknown:
        raise ConfigurationError(
            f"pruned_roads: expected some of {', '.join(roads)}, got {', '.join(sorted(unknown))}"
        )
    if given is None and options.pruner is not None:
        size = size_for(options.max_keypoints)
        # One thread, as for BLAS: on a busy robot more of them wait for each other.
        given = Pruner(options.pruner, size, options.pruner_threshold, threads=1)
    return {road: given if road in options.pruned_roads else None for road in roads}


def scene_road_for(map_: Map, options: LocalizerOptions, given: Predicts | None = None) -> SceneRoad | None:
    """The road by scene coordinates, if any. Raises CheckpointError if it is not of the map's place."""
    if given is None and options.scene is None:
        return None
    predictor = given if given is not None else open_predictor(str(options.scene))
    name = str(map_.path or map_.name)
    check_fits(predictor.scene, predictor.path, map_.metric, map_.reference_poses, name)
    return SceneRoad(predictor, options.scene_road, options.seed)


def with_relative(options: LocalizerOptions, checkpoint: str | Path | None) -> LocalizerOptions:
    """With relative poses by the network of that checkpoint; None changes nothing."""
    if checkpoint is None:
        return options
    return replace(options, relative_estimator="relpose_gnn", relative_checkpoint=checkpoint)


def graph_road_for(
    map_: Map, options: LocalizerOptions, structure: StructureLocalizer, given: Regresses | None = None
) -> GraphRoad | None:
    """The road of regression by the `given` network, or by that which the options name, if any.

    Raises ConfigurationError for an unknown estimator, one without its checkpoint, or a checkpoint that
    nothing would use, and what `GraphRoad` raises.
    """
    estimator, checkpoint = options.relative_estimator, options.relative_checkpoint
    if estimator not in ESTIMATORS:
        raise ConfigurationError(
            f"relative.estimator: expected one of {', '.join(ESTIMATORS)}, got {estimator!r}"
        )
    if estimator == "essential" and checkpoint is not None:
        raise ConfigurationError(
            f"relative.checkpoint {checkpoint}: relative.estimator essential uses none; set it to relpose_gnn"
        )
    if given is None and estimator == "essential":
        return None
    if given is None and checkpoint is None:
        raise ConfigurationError(
            "relative.estimator relpose_gnn: expected relative.checkpoint, the file of its network, got "
            "none; `relpose train relpose_gnn` makes one"
        )
    predictor = given if given is not None else open_regressor(str(checkpoint))
    return GraphRoad(map_, predictor, structure, options.graph_road)
