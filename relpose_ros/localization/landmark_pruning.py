"""2D-3D matches judged as what they are between images: matches to references that see the landmark."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from relpose_ros.features.matching import NearestNeighbours
from relpose_ros.features.pruning import MIN_MATCHES, Judge
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.maps.bundle import Map


def credible(
    map_: Map,
    query: Query,
    references: Sequence[Neighbour],
    landmarks: NDArray[np.integer],
    nearest: NearestNeighbours,
    pruner: Judge,
) -> NDArray[np.bool_]:
    """Which query features (N,) may have their nearest landmark, by the pruner.

    `landmarks` (N,): the landmark nearest to each feature in descriptor. A feature is matched to where each
    of the `references` sees that landmark. It is credible if one of these matches is kept, or if none of
    the references sees the landmark: then nobody has judged it.
    """
    kept = np.zeros(len(landmarks), np.bool_)
    judged = np.zeros(len(landmarks), np.bool_)
    for reference in references:
        stored, camera = map_.features[reference.index], map_.cameras[reference.index]
        keypoint_of = np.full(len(map_.landmarks), -1, np.intp)
        seen = np.flatnonzero(stored.landmarks >= 0)
        keypoint_of[stored.landmarks[seen]] = seen
        chosen = np.flatnonzero(keypoint_of[landmarks] >= 0)
        if len(chosen) < MIN_MATCHES:
            continue
        theirs = camera.rays(stored.keypoints[keypoint_of[landmarks[chosen]]])
        points = np.hstack([query.rays[chosen], theirs])
        judgement = pruner.judge(points, nearest.ratio[chosen], nearest.mutual[chosen])
        kept[chosen] |= judgement.keep
        judged[chosen] = True
    return kept | ~judged
