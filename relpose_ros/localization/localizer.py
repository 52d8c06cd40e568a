"""The localizer: a frame in, one trusted pose or an honest abstention out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from relpose_ros.features.base import Features
from relpose_ros.features.graph_matching import PairMatcher
from relpose_ros.features.pruning import Judge
from relpose_ros.features.registry import make_extractor
from relpose_ros.geometry.cameras import Camera
from relpose_ros.localization.arbiter import SCENE, Arbiter
from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.describing import describer_for
from relpose_ros.localization.graph_road import Regresses
from relpose_ros.localization.hint import Hint, settled
from relpose_ros.localization.options import LocalizerOptions, matcher_for, options_for
from relpose_ros.localization.pairwise import RelativePose
from relpose_ros.localization.parts import graph_road_for, pruners_for, scene_road_for
from relpose_ros.localization.query import (
    Look,
    Neighbour,
    Query,
    Retrieved,
    nothing_found,
    too_few_features,
)
from relpose_ros.localization.relative import RelativeLocalizer
from relpose_ros.localization.rig import RigLocalizer, in_units_of, of_one
from relpose_ros.localization.rig_roads import RigRoads
from relpose_ros.localization.rig_structure import RigStructure
from relpose_ros.localization.roads import Roads, total
from relpose_ros.localization.scene_road import Predicts
from relpose_ros.localization.structure import StructureLocalizer
from relpose_ros.localization.surroundings import Surroundings
from relpose_ros.maps.bundle import Map
from relpose_ros.retrieval.describer import Describer, DescriberIdentity, Floats
from relpose_ros.types import Frame, Hypothesis, Localization, RigFrame


class Localizer:
    """Localizes frames in a map. One call at a time; make one per thread.

    `options` is a profile's name or LocalizerOptions; `pruner`, `scene`, `describer`, `matcher` and
    `regressor` take the places of those whose files they name. Raises ConfigurationError when this software
    lacks the map's feature type, CheckpointError when such a checkpoint is none of a pruner, or none of a
    matcher for the map's features, or of no scene, or of another one than the map's, or not the describer
    that the map was made with, or not the network that its references were described for; MapError when the
    map needs one that is not given, or lacks what a given one needs.
    """

    def __init__(
        self,
        map_: Map,
        options: LocalizerOptions | str = "default",
        pruner: Judge | None = None,
        scene: Predicts | None = None,
        describer: Describer | None = None,
        matcher: PairMatcher | None = None,
        regressor: Regresses | None = None,
    ) -> None:
        self.map = map_
        self.options = options_for(options) if isinstance(options, str) else options
        self._describer = describer_for(map_, self.options.retrieval, describer)
        prune = pruners_for(self.options, pruner)
        self.calibration = Calibration.from_dict(map_.calibration)
        self._extractor = make_extractor(map_.feature, self.options.max_keypoints, self.options.image_scale)
        self._index = map_.retrieval_index
        self._surroundings = Surroundings(map_, self._index)
        self._structure = StructureLocalizer(map_, self.options.structure)
        self._structure_pruner = prune["structure"]
        self._matcher = matcher if matcher is not None else matcher_for(self._extractor, self.options)
        self._relative = RelativeLocalizer(map_, self.options.relative, prune["relative"], self._matcher)
        self._scene = scene_road_for(map_, self.options, scene)
        self._graph = graph_road_for(map_, self.options, self._structure, regressor)
        known = self._graph.known.by_road if self._graph is not None else {}
        if self._scene is not None:
            known = {**known, SCENE: Calibration.from_dict(self._scene.predictor.scene.calibration)}
        self._arbiter = Arbiter(self.calibration, self.options.arbiter, known)
        self._roads = Roads(
            map_,
            self.options,
            self._structure,
            self._relative,
            self._graph,
            self._structure_pruner,
            self._matcher,
        )
        common = RigStructure(self._structure, self.calibration, self.options.rig)
        self._rig = RigLocalizer(RigRoads(self._roads, common), self._arbiter)
        self._threads = ThreadpoolController()
        # Derived once, here: the first frame of a robot must not wait for it.
        _ = map_.visible, map_.seen_from, map_.depth, map_.twins_of

    def localize(self, frame: Frame, hint: Hint | None = None) -> Localization:
        """The camera's pose in the map, or UNLOCALIZED with a reason. Same input, same answer.

        With a `hint` of it, references round there are asked where those most alike in all of the map give no
        pose, and places that look alike are told apart by it. What stands by the hint alone is DEGRADED.
        """
        start = time.perf_counter()
        features = self.extract(frame)
        extracted = time.perf_counter()
        beside = self._by_scene(frame)
        answer = self.localize_features(features, frame.camera, beside, frame.image, hint)
        timings = {
            "extract": 1e3 * (extracted - start),
            **(self._scene.timings if self._scene is not None else {}),
            **answer.latency_ms,
            "total": 1e3 * (time.perf_counter() - start),
        }
        return replace(answer, latency_ms=timings, source=frame.source, stamp=frame.stamp)

    def localize_rig(self, rig: RigFrame, hint: Hint | None = None) -> Localization:
        """Like `localize`, for cameras that are fixed to one base, whose pose is the answer and the hint's.

        Each camera retrieves and is matched for itself; one pose is found over the landmarks that all of
        them see. A camera that sees nothing, or contradicts the others, is left out, and
        `Localization.cameras` says so. A rig of one is `localize`, moved to the base. In a map without scale
        the positions of mounts are taken as exact.

        Raises MapError where mounts that are away from the base meet a map without scale.
        """
        rig = in_units_of(self.map, rig)
        if len(rig.frames) == 1:
            alone = None if hint is None else hint.seen_from(rig.base_from_camera[0])
            return of_one(self.localize(rig.frames[0], alone), rig)
        with self._threads.limit(limits=1, user_api="blas"):
            return self._rig.localize(rig, self._look, hint)

    def _look(self, frame: Frame, hint: Hint | None = None) -> Look:
        """All that one camera of a rig has before there is a pose."""
        start = time.perf_counter()
        features = self.extract(frame)
        timings = {"extract": 1e3 * (time.perf_counter() - start)}
        beside = self._by_scene(frame)
        timings |= self._scene.timings if self._scene is not None else {}
        if reason := too_few_features(features):
            query = self._query(features, frame.camera, frame.image)
            return Look(query, [], beside, timings, reason)
        found = self._retrieved(features, frame.image, frame.camera, hint)
        query = self._query(features, frame.camera, frame.image, found.ranking, hint)
        reason = nothing_found(query, found.neighbours) if not found.neighbours else ""
        return Look(query, found.neighbours, beside, timings | found.timings, reason, found.near)

    def _query(
        self,
        features: Features,
        camera: Camera,
        image: NDArray[np.uint8] | None = None,
        ranking: Sequence[Neighbour] = (),
        hint: Hint | None = None,
    ) -> Query:
        found = Query.of(features, camera, self.options.seed)
        return replace(found, image=image, ranking=tuple(ranking), hint=hint)

    def extract(self, frame: Frame) -> Features:
        """Local features of a frame, as the map's feature type has them; none where its mask ignores them."""
        features = self._extractor.extract(frame.image)
        return features if frame.mask is None else features[frame.shows(features.keypoints)]

    @property
    def described_by(self) -> DescriberIdentity:
        """What describes frames and the map's references as a whole."""
        return self._describer.identity

    def describe(self, features: Features | None, image: NDArray[np.uint8] | None = None) -> Floats:
        """Global descriptor (G,) of an image: by its features (VLAD), or by its pixels where that is learned.

        Raises ImageError or ConfigurationError where what is needed is missing.
        """
        return self._describer.describe(image, features)

    def retrieve_frame(self, frame: Frame) -> tuple[list[Neighbour], dict[str, float]]:
        """The references that look most like a frame, best first, and milliseconds by stage."""
        start = time.perf_counter()
        features = None if self._describer.needs_image else self.extract(frame)
        extracted = time.perf_counter()
        with self._threads.limit(limits=1, user_api="blas"):
            descriptor = self.describe(features, frame.image)
            described = time.perf_counter()
            found = self.retrieve(descriptor)
        ended = time.perf_counter()
        stages = {"extract": extracted - start, "describe": described - extracted}
        stages |= {"retrieve": ended - described, "total": ended - start}
        return found, {stage: 1e3 * seconds for stage, seconds in stages.items()}

    def retrieve(self, descriptor: Floats, count: int | None = None) -> list[Neighbour]:
        """The references whose global descriptors (G,) are most alike, best first; none to one of zeros.

        `count` of them; None: as many as the options say.
        """
        if not descriptor.any():
            return []
        count = min(count or self.options.neighbours, len(self.map))
        shortlist = min(4 * count, len(self.map)) if self.options.rerank else count
        index, score = (a[0] for a in self._index.search(descriptor[None], shortlist))
        if self.options.rerank:
            from relpose_ros.retrieval.rerank import rerank

            order, _ = rerank(descriptor, self.map.global_descriptors[index])
            index, score = index[order[:count]], score[order[:count]]
        return [self._roads.neighbour(int(i), float(s)) for i, s in zip(index, score, strict=True)]

    def localize_features(
        self,
        features: Features,
        camera: Camera,
        beside: Sequence[Hypothesis] = (),
        image: NDArray[np.uint8] | None = None,
        hint: Hint | None = None,
    ) -> Localization:
        """Like `localize`, from features that were extracted elsewhere.

        `beside`: hypotheses of roads that ask the image itself; `image`: needed where the map's global
        descriptors are learned.
        """
        if reason := too_few_features(features):
            return self._arbiter.decide(list(beside), reason)
        found = self._retrieved(features, image, camera, hint)
        rest = (beside, image, found.ranking, hint)
        answer = self.localize_with(features, camera, found.neighbours, *rest)
        timings = total(found.timings, answer.latency_ms)
        if hint is not None and found.near and not answer.has_pose:
            near = self.localize_with(features, camera, found.near, *rest)
            timings = total(timings, near.latency_ms)
            answer = settled(answer, near, hint, self.options.arbiter.hint_trust)
        return replace(answer, latency_ms=timings)

    def _retrieved(
        self, features: Features, image: NDArray[np.uint8] | None, camera: Camera, hint: Hint | None
    ) -> Retrieved:
        start = time.perf_counter()
        # The matrices of one frame are small: BLAS threads gain little on an idle machine, and
        # on a busy robot they wait for each other ten times longer than the product takes.
        with self._threads.limit(limits=1, user_api="blas"):
            descriptor = self.describe(features, image)
            described = time.perf_counter()
            neighbours = self.retrieve(descriptor)
            ranking = self.retrieve(descriptor, self._graph.ranked) if self._graph is not None else []
            near = self._surroundings.most_alike(descriptor, camera, hint, self.options.neighbours)
        stages = {"describe": described - start, "retrieve": time.perf_counter() - described}
        return Retrieved(neighbours, ranking, {s: 1e3 * seconds for s, seconds in stages.items()}, near)

    def localize_with(
        self,
        features: Features,
        camera: Camera,
        neighbours: list[Neighbour],
        beside: Sequence[Hypothesis] = (),
        image: NDArray[np.uint8] | None = None,
        ranking: Sequence[Neighbour] = (),
        hint: Hint | None = None,
    ) -> Localization:
        """Like `localize_features`, against references that were retrieved elsewhere.

        `ranking`: more of them, for the road of regression, which asks some that differ.
        """
        query = self._query(features, camera, image, ranking, hint)
        with self._threads.limit(limits=1, user_api="blas"):
            hypotheses, timings = self.hypotheses(query, neighbours)
        answer = self._arbiter.decide([*hypotheses, *beside], nothing_found(query, neighbours))
        return replace(answer, latency_ms=timings)

    def hypotheses(
        self, query: Query, neighbours: list[Neighbour]
    ) -> tuple[list[Hypothesis], dict[str, float]]:
        """Guesses of all roads taken, with raw covariances, and milliseconds by stage."""
        return self._roads.hypotheses(query, neighbours)

    def relative_poses(self, frame: Frame, neighbours: list[Neighbour]) -> list[RelativePose]:
        """Relative poses of a frame's camera to the given references, those that could be found.

        By the network over graphs where that is the estimator: then nothing is extracted or matched.
        """
        if self._graph is not None:
            return self._graph.relative_poses(frame.image, frame.camera, neighbours)
        query = Query.of(self.extract(frame), frame.camera, self.options.seed)
        return self._relative.relative_poses(query, neighbours)

    def neighbour(self, name: str, score: float = 0.0) -> Neighbour:
        """The reference of that name as a neighbour. Raises MapError if the map lacks it."""
        return self._roads.neighbour(self.map.index_of([name])[0], score)

    def _by_scene(self, frame: Frame) -> list[Hypothesis]:
        if self._scene is None:
            return []
        with self._threads.limit(limits=1, user_api="blas"):
            return self._scene.hypotheses(frame)
