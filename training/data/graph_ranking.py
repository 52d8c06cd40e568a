"""Which references are similar to a query: by a VLAD of the scene's own features, or a learned descriptor."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relpose_ros.errors import DatasetError
from relpose_ros.features.base import Extractor
from relpose_ros.retrieval.describer import Describer, open_describer
from relpose_ros.retrieval.netvlad_input import netvlad_input
from relpose_training.data.correspondences import evenly
from relpose_training.data.graph_scenes import MOST_RANKED, Indices, Ranking
from relpose_training.data.graphs import GraphOptions, neighbour_table

FEATURE = "rootsift64"
CLUSTERS, DIMENSION = 32, 256
"""Of the VLAD, as maps have it."""
MOST_LEARNT = 500
"""References that it is learned from, at most."""

Floats = NDArray[np.float32]


class PublishedNetVlad:
    """The checkpoint that RelPose-GNN's authors ranked by, fed as they fed it: zoomed and 256x192."""

    network = "retrieval.netvlad_vgg16_relu"

    def __init__(self, checkpoint: str) -> None:
        from relpose_ros.checkpoints.predictor import Predictor

        self._predictor = Predictor(checkpoint, threads=1)

    def describe(self, image: NDArray[np.uint8], features: None = None) -> Floats:
        """Global descriptor (32768,) of norm 1."""
        return np.asarray(self._predictor(netvlad_input(image)[None])[0][0], np.float32)


@dataclass
class Descriptions:
    """Takes in images one after the other; then says how similar they are.

    `retrieval`: file of a learned descriptor (`open_describer`), or "" for a VLAD, which needs no weights and
    is learned from the scene's own references, as a map's is. `published`: the NetVLAD of RelPose-GNN's
    authors sees images of 7-Scenes as they fed it (`netvlad_input`).
    """

    retrieval: str = ""
    keypoints: int = 1000
    published: bool = False
    _rows: list[NDArray[np.floating]] = field(default_factory=list)
    _describer: Describer | PublishedNetVlad | None = None
    _extractor: Extractor | None = None

    @property
    def name(self) -> str:
        """Of what ranks, for people."""
        return Path(self.retrieval).name if self.retrieval else f"VLAD of the scene's own {FEATURE}"

    def add(self, image: NDArray[np.uint8]) -> None:
        """Describe one image, grey or BGR. Raises ImageError, CheckpointError."""
        from relpose_ros.features.registry import make_extractor

        if self.retrieval:
            self._describer = self._describer or self._open()
            self._rows.append(self._describer.describe(image, None))
        else:
            self._extractor = self._extractor or make_extractor(FEATURE, self.keypoints)
            # Half as large: thousands of images wait here until the VLAD is known.
            self._rows.append(self._extractor.extract(image).descriptors.astype(np.float16))

    def _open(self) -> Describer | PublishedNetVlad:
        if self.published and Path(self.retrieval).suffix == ".safetensors":
            from relpose_ros.checkpoints.format import read_info

            if read_info(self.retrieval).network == PublishedNetVlad.network:
                return PublishedNetVlad(self.retrieval)
        return open_describer(self.retrieval, threads=1)

    def vectors(self, references: NDArray[np.integer]) -> Floats:
        """Global descriptors (N, G) of all images, of norm 1 or 0; `references` are what a VLAD learns from.

        Raises DatasetError if nothing can be told apart.
        """
        if self.retrieval:
            return np.stack(self._rows).astype(np.float32)
        from relpose_ros.retrieval.vlad import Vlad

        learnt = references[evenly(len(references), MOST_LEARNT)]
        known = [self._rows[k].astype(np.float32) for k in learnt.tolist()]
        if sum(map(len, known)) < CLUSTERS:
            raise DatasetError(
                f"its references have {sum(map(len, known))} features together: nothing to rank them by; "
                "give images with more detail, or a learned descriptor with --retrieval"
            )
        vlad = Vlad.train(known, CLUSTERS, DIMENSION)
        return np.stack([vlad.encode(row.astype(np.float32)) for row in self._rows])


def ranking_of(
    similarity: ArrayLike,
    query: NDArray[np.integer],
    references: NDArray[np.integer],
    most: int = MOST_RANKED,
    drawn: GraphOptions | None = None,
) -> Ranking:
    """The `most` references of each query, best first, given similarities (Q, R).

    `query` (Q,) and `references` (R,) are numbers of images. `drawn`: also choose neighbours once, out of the
    complete rankings, as published graphs have them. Raises DatasetError where a query has no reference.
    """
    scores = np.array(similarity, np.float32)
    own = query[:, None] == references
    scores[own] = -np.inf
    kept = min(most, len(references) - int(own.any(axis=1).any())) if len(query) else 0
    if len(query) and kept < 1:
        raise DatasetError(f"{len(references)} references: a query has none but itself; give more images")
    order = np.argsort(-scores, axis=1, kind="stable")[:, :kept]
    return Ranking(
        query.astype(np.int32),
        references[order].astype(np.int32).reshape(len(query), kept),
        np.take_along_axis(scores, order, axis=1),
        None if drawn is None else _drawn(scores, own, references, drawn),
    )


def _drawn(
    scores: Floats, own: NDArray[np.bool_], references: NDArray[np.integer], options: GraphOptions
) -> Indices:
    same = len(own) == len(references) and bool(np.diag(own).all())
    if own.any() and not same:
        raise DatasetError("neighbours as published: expected queries apart from references, or all the same")
    return references[neighbour_table(np.where(own, 0.0, scores), options, same)].astype(np.int32)
