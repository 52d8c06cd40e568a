"""A map's references as a network over graphs sees them, described once and kept in the map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import CheckpointError, MapError
from relpose_ros.features.base import Features
from relpose_ros.localization.evenly import evenly
from relpose_ros.localization.graph_calibration import calibrate_graph
from relpose_ros.localization.graph_road import Regresses, check_fits
from relpose_ros.maps.bundle import Map
from relpose_ros.maps.graph_rows import GraphFeatures
from relpose_ros.maps.notes import LOST_NETWORK, NETWORK, with_notes
from relpose_ros.progress import Progress, silent, tracked
from relpose_ros.retrieval.graph_images import GraphInput, colour_statistics, graph_image, graph_pixels

_COLOURED = 100
"""Images, evenly spread, whose colours stand for those of a scene."""

_LARGEST = float(np.finfo(np.float16).max)


def attached(
    map_: Map,
    images: Sequence[PosedImage],
    features: Sequence[Features],
    predictor: Regresses,
    samples: int,
    progress: Progress = silent,
) -> Map:
    """The map with descriptors of its references, and calibrated. `images`, `features`: theirs, in order."""
    described = describe_references(images, predictor, progress)
    return calibrate_graph(replace(map_, graph=described), predictor, features, samples, progress)


def extended(
    olds: Sequence[Map],
    map_: Map,
    fresh: Sequence[PosedImage],
    features: Sequence[Features],
    predictor: Regresses,
    samples: int,
    progress: Progress = silent,
) -> Map:
    """A map whose references are those of `olds`, then those of `fresh` images, described and calibrated.

    What the old maps keep is used. Raises MapError or CheckpointError where one keeps nothing for this
    network.
    """
    first, *others = [check_fits(old, predictor) for old in olds]
    for other in others:
        first = _joined(first, other)
    if fresh:
        first = _joined(first, describe_references(fresh, predictor, progress, like=first))
    return calibrate_graph(replace(map_, graph=first), predictor, features, samples, progress)


def dropped(olds: Sequence[Map], map_: Map) -> Map:
    """A map that is made of others without what they keep for a network, with a note of it if any does."""
    kept = next((old.graph for old in olds if old.graph is not None), None)
    if kept is None:
        return map_
    note = (
        f"{LOST_NETWORK} {kept} are not in this map; attach them with `relpose map attach MAP SOURCE...` and "
        "all sources that it was made of"
    )
    return replace(map_, provenance=with_notes(map_.provenance, {NETWORK: note}))


def _joined(first: GraphFeatures, second: GraphFeatures) -> GraphFeatures:
    try:
        return first.joined(second)
    except ValueError as error:
        raise MapError(f"descriptors for relative poses cannot be put together: {error}") from None


def describe_references(
    images: Sequence[PosedImage],
    predictor: Regresses,
    progress: Progress = silent,
    like: GraphFeatures | None = None,
) -> GraphFeatures:
    """What a map keeps of these images for a network. `like`: of earlier references, whose colours hold.

    Raises ConfigurationError where the checkpoint's header says no usable input, CheckpointError where its
    descriptors cannot be stored.
    """
    given = GraphInput.from_dict(predictor.graph.input if like is None else like.input)
    if like is None:
        given = _in_colours_of(images, given)
    rows = [
        predictor.features(graph_image(i.load(), i.camera, given)[None])[0]
        for i in tracked(images, progress, "descriptors for relative poses")
    ]
    descriptors = np.stack(rows)
    if np.abs(descriptors).max(initial=0.0) > _LARGEST:
        raise CheckpointError(
            f"{predictor.path}: expected descriptors that can be stored (up to {_LARGEST:g}), got larger ones"
        )
    # As they will be read from the file: what is calibrated is what will be used.
    stored = descriptors.astype(np.float16).astype(np.float32)
    return GraphFeatures(stored, predictor.path.name, predictor.identity, predictor.name, given.to_dict())


def _in_colours_of(images: Sequence[PosedImage], given: GraphInput) -> GraphInput:
    """With the colours of these images where the network goes by the scene's."""
    if not given.per_scene:
        return given
    chosen = evenly(len(images), _COLOURED)
    pixels = [
        graph_pixels(images[i].load(), images[i].camera, given).reshape(1, -1, 1, 3) for i in chosen.tolist()
    ]
    return given.in_scene(colour_statistics(np.concatenate(pixels, axis=1)))
