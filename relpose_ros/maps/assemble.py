"""Features of posed references -> a map in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relpose_ros.errors import MapError
from relpose_ros.features.base import Features
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.maps.aliases import places_apart, sort_out
from relpose_ros.maps.bundle import Map, ReferenceFeatures
from relpose_ros.maps.describe import learned_rows, vlad_rows
from relpose_ros.maps.landmarks import Reference, tentative_matches, triangulate_landmarks
from relpose_ros.maps.pairs import look_alikes, nearest_pairs, select_pairs
from relpose_ros.maps.tracks import PairMatches
from relpose_ros.progress import Progress, silent
from relpose_ros.retrieval.describer import DescriberIdentity
from relpose_ros.retrieval.vlad import Vlad


@dataclass(frozen=True)
class BuildOptions:
    """How a map is made.

    `max_keypoints`: features looked for in each reference; `max_loose`: of those that see no
    landmark, how many are kept (they serve the `relative` road); `pair_neighbours`: how many
    references each one is matched with; `vlad_clusters`, `global_dimension`: retrieval;
    `calibration_samples`: references held out to calibrate, at most; `seed`. `retrieval`: file of a
    learned descriptor (`open_describer`) in place of VLAD; `retrain_vlad`: whether added references
    make a new VLAD. `relpose_gnn`: checkpoint of a network that regresses relative poses, for which each
    reference is described.
    """

    feature: str = "rootsift64"
    max_keypoints: int = 1500
    max_loose: int = 250
    pair_neighbours: int = 20
    vlad_clusters: int = 32
    global_dimension: int = 256
    calibration_samples: int = 60
    retrieval: str | Path | None = None
    retrain_vlad: bool = False
    relpose_gnn: str | Path | None = None
    condition: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Known:
    """What is already known when references are added: matches, how many are not new, look-alikes, VLAD."""

    matches: tuple[PairMatches, ...] = ()
    references: int = 0
    twins: tuple[tuple[int, int], ...] = ()
    vlad: Vlad | None = None


def assemble(
    references: Sequence[Reference],
    name: str,
    metric: bool,
    options: BuildOptions,
    provenance: dict[str, Any],
    known: Known | None = None,
    progress: Progress = silent,
    describer: DescriberIdentity | None = None,
) -> Map:
    """Match, triangulate and describe `references`; the first `known.references` only with new ones.

    `describer`: who made the descriptors that the references bring along; None: VLAD makes them.

    Raises MapError when there is nothing to make a map of.
    """
    known = known or Known()
    if not any(len(r.features) for r in references):
        raise MapError(
            f"{name}: no features in any of {len(references)} reference images; "
            "are they blank, or much too small?"
        )
    vlad, encoded = _described(references, options, known, describer)
    poses = Rigid.stack([r.map_from_camera for r in references])
    pairs = select_pairs(poses, encoded, options.pair_neighbours)
    fresh = [p for p in pairs if p[1] >= known.references]
    alike = [p for p in look_alikes(encoded, pairs) if p[1] >= known.references]
    tentative = tentative_matches(references, [*fresh, *alike], progress)
    found = sort_out(references, tentative, nearest_pairs(poses), known.matches)
    wanted = set(fresh)
    right = [m for m in found.matches if (m.first, m.second) in wanted]
    landmarks, seen = triangulate_landmarks(references, [*known.matches, *right])
    fresh_twins = places_apart(found.twins, [s[s >= 0] for s in seen])
    twins = np.array(sorted({*known.twins, *map(tuple, fresh_twins.tolist())}), np.int32).reshape(-1, 2)
    return Map(
        name=name,
        metric=metric,
        feature=options.feature,
        reference_names=tuple(r.name for r in references),
        conditions=tuple(r.condition for r in references),
        cameras=tuple(r.camera for r in references),
        reference_poses=poses,
        features=tuple(
            _keep(r.features, s, landmarks.descriptors, options.max_loose)
            for r, s in zip(references, seen, strict=True)
        ),
        landmarks=landmarks,
        vlad=vlad,
        global_descriptors=encoded,
        provenance=provenance,
        twins=twins,
        describer=describer,
    )


def _described(
    references: Sequence[Reference],
    options: BuildOptions,
    known: Known,
    describer: DescriberIdentity | None,
) -> tuple[Vlad | None, NDArray[np.float32]]:
    if describer is not None:
        return None, learned_rows(references, describer)
    return vlad_rows(references, known.vlad, options.vlad_clusters, options.global_dimension, options.seed)


def _keep(
    features: Features,
    seen: NDArray[np.int32],
    landmark_descriptors: NDArray[np.float32],
    max_loose: int,
) -> ReferenceFeatures:
    """All keypoints that see a landmark, and the strongest of the others."""
    loose = np.flatnonzero(seen < 0)[:max_loose]
    kept = np.sort(np.concatenate([np.flatnonzero(seen >= 0), loose]))
    descriptors = features.descriptors[kept].copy()
    on_landmark = seen[kept] >= 0
    descriptors[on_landmark] = landmark_descriptors[seen[kept][on_landmark]]
    return ReferenceFeatures(features.keypoints[kept], seen[kept], descriptors)
