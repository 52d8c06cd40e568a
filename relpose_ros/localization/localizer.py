"""The localizer: a frame in, one trusted pose or an honest abstention out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from relpose_ros.errors import ConfigurationError
from relpose_ros.features.base import Features
from relpose_ros.features.graph_matching import PairMatcher
from relpose_ros.features.pruning import Judge, Pruner, size_for
from relpose_ros.features.registry import make_extractor
from relpose_ros.geometry.cameras import Camera
from relpose_ros.localization.arbiter import SCENE, Arbiter
from relpose_ros.localization.calibration import Calibration
from relpose_ros.localization.circumstances import with_circumstances
from relpose_ros.localization.describing import describer_for
from relpose_ros.localization.options import LocalizerOptions, matcher_for, options_for
from relpose_ros.localization.pairwise import RelativePose
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.localization.relative import RelativeLocalizer
from relpose_ros.localization.rivals import (
    Candidate,
    doubted,
    filled,
    judged,
    rivals_of,
    separate_places,
    twin_places,
)
from relpose_ros.localization.scene_evidence import check_fits
from relpose_ros.localization.scene_road import Predicts, SceneRoad, open_predictor
from relpose_ros.localization.structure import StructureLocalizer
from relpose_ros.maps.bundle import Map
from relpose_ros.retrieval.describer import Describer, DescriberIdentity, Floats
from relpose_ros.types import Frame, Hypothesis, Localization

MIN_FEATURES = 20
"""Fewer keypoints than this is a blank, dark or blown-out image."""


class Localizer:
    """Localizes frames in a map. One call at a time; make one per thread.

    `options` is a profile's name or LocalizerOptions; `pruner`, `scene`, `describer` and `matcher` take the
    places of those whose files they name. Raises ConfigurationError when this software lacks the map's
    feature type, CheckpointError when such a checkpoint is none of a pruner, or none of a matcher for the
    map's features, or of no scene, or of another one than the map's, or not the describer that the map was
    made with, MapError when that is not given.
    """

    def __init__(
        self,
        map_: Map,
        options: LocalizerOptions | str = "default",
        pruner: Judge | None = None,
        scene: Predicts | None = None,
        describer: Describer | None = None,
        matcher: PairMatcher | None = None,
    ) -> None:
        self.map = map_
        self.options = options_for(options) if isinstance(options, str) else options
        self._describer = describer_for(map_, self.options.retrieval, describer)
        prune = self._pruners(pruner)
        self.calibration = Calibration.from_dict(map_.calibration)
        self._extractor = make_extractor(map_.feature, self.options.max_keypoints, self.options.image_scale)
        self._index = map_.retrieval_index
        self._structure = StructureLocalizer(map_, self.options.structure)
        self._structure_pruner = prune["structure"]
        self._matcher = matcher if matcher is not None else matcher_for(self._extractor, self.options)
        self._relative = RelativeLocalizer(map_, self.options.relative, prune["relative"], self._matcher)
        self._scene = self._scene_road(scene)
        known = (
            {SCENE: Calibration.from_dict(self._scene.predictor.scene.calibration)}
            if self._scene is not None
            else {}
        )
        self._arbiter = Arbiter(self.calibration, self.options.arbiter, known)
        self._threads = ThreadpoolController()
        # Derived once, here: the first frame of a robot must not wait for it.
        _ = map_.visible, map_.seen_from, map_.depth, map_.twins_of

    def localize(self, frame: Frame) -> Localization:
        """The camera's pose in the map, or UNLOCALIZED with a reason. Same input, same answer."""
        start = time.perf_counter()
        features = self.extract(frame)
        extracted = time.perf_counter()
        beside = self._by_scene(frame)
        answer = self.localize_features(features, frame.camera, beside, frame.image)
        timings = {
            "extract": 1e3 * (extracted - start),
            **(self._scene.timings if self._scene is not None else {}),
            **answer.latency_ms,
            "total": 1e3 * (time.perf_counter() - start),
        }
        return replace(answer, latency_ms=timings, source=frame.source, stamp=frame.stamp)

    def extract(self, frame: Frame) -> Features:
        """Local features of a frame, as the map's feature type has them."""
        return self._extractor.extract(frame.image)

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

    def retrieve(self, descriptor: Floats) -> list[Neighbour]:
        """The references whose global descriptors (G,) are most alike, best first; none to one of zeros."""
        if not descriptor.any():
            return []
        count = min(self.options.neighbours, len(self.map))
        shortlist = min(4 * count, len(self.map)) if self.options.rerank else count
        index, score = (a[0] for a in self._index.search(descriptor[None], shortlist))
        if self.options.rerank:
            from relpose_ros.retrieval.rerank import rerank

            order, _ = rerank(descriptor, self.map.global_descriptors[index])
            index, score = index[order[:count]], score[order[:count]]
        return [self._neighbour(int(i), float(s)) for i, s in zip(index, score, strict=True)]

    def localize_features(
        self,
        features: Features,
        camera: Camera,
        beside: Sequence[Hypothesis] = (),
        image: NDArray[np.uint8] | None = None,
    ) -> Localization:
        """Like `localize`, from features that were extracted elsewhere.

        `beside`: hypotheses of roads that ask the image itself; `image`: needed where the map's global
        descriptors are learned.
        """
        if len(features) < MIN_FEATURES:
            reason = (
                f"only {len(features)} features in the image ({MIN_FEATURES} are needed): "
                "it is blank, dark, blown out or blurred"
            )
            return self._arbiter.decide(list(beside), reason)
        start = time.perf_counter()
        # The matrices of one frame are small: BLAS threads gain little on an idle machine, and
        # on a busy robot they wait for each other ten times longer than the product takes.
        with self._threads.limit(limits=1, user_api="blas"):
            descriptor = self.describe(features, image)
            described = time.perf_counter()
            neighbours = self.retrieve(descriptor)
        stages = {"describe": described - start, "retrieve": time.perf_counter() - described}
        answer = self.localize_with(features, camera, neighbours, beside)
        timings = {stage: 1e3 * seconds for stage, seconds in stages.items()}
        return replace(answer, latency_ms={**timings, **answer.latency_ms})

    def localize_with(
        self,
        features: Features,
        camera: Camera,
        neighbours: list[Neighbour],
        beside: Sequence[Hypothesis] = (),
    ) -> Localization:
        """Like `localize_features`, against references that were retrieved elsewhere."""
        query = Query.of(features, camera, self.options.seed)
        with self._threads.limit(limits=1, user_api="blas"):
            hypotheses, timings = self.hypotheses(query, neighbours)
        answer = self._arbiter.decide([*hypotheses, *beside], _nothing_found(query, neighbours))
        return replace(answer, latency_ms=timings)

    def hypotheses(
        self, query: Query, neighbours: list[Neighbour]
    ) -> tuple[list[Hypothesis], dict[str, float]]:
        """Guesses of all roads taken, with raw covariances, and milliseconds by stage."""
        places = separate_places(self.map, neighbours)
        found, timings = self._by_structure(query, places[0])
        if any(n.index in self.map.twins_of for n in neighbours):
            start = time.perf_counter()
            found = self._among_twins(query, places, found)
            timings["twins"] = 1e3 * (time.perf_counter() - start)
        if _support(found) < self.options.weak_below:
            start = time.perf_counter()
            relative = self._relative.hypotheses(query, places[0])
            found += [doubted(self.map, h, found) for h in relative]
            timings["relative"] = 1e3 * (time.perf_counter() - start)
        return [with_circumstances(self.map, h, query.camera.focal) for h in found], timings

    def _among_twins(
        self, query: Query, places: list[list[Neighbour]], found: list[Hypothesis]
    ) -> list[Hypothesis]:
        """What was found at the first of `places`, and at others that look like it; all judged."""
        first, options = query.strongest(self.options.first_keypoints), self.options.rivals
        retrieved = rivals_of(self.map, places)
        known = [n for place in (places[0], *retrieved) for n in place]
        others = twin_places(self.map, known, lambda i: self._neighbour(i, 0.0))
        candidates = [Candidate(h, places[0]) for h in found]
        for place in [*retrieved, *others][: options.places]:
            whole = filled(self.map, place, options.references, lambda i: self._neighbour(i, 0.0))
            candidates += [Candidate(h, whole) for h in self._structure.hypotheses(first, whole)]
        return judged(self.map, first, candidates, options)

    def _by_structure(
        self, query: Query, neighbours: list[Neighbour]
    ) -> tuple[list[Hypothesis], dict[str, float]]:
        """With the strongest features; where they find too little, with all, the pruner, the matcher."""
        first = query.strongest(self.options.first_keypoints)
        tries: list[tuple[Query, Judge | None, PairMatcher | None]] = [(first, None, None)]
        tries += [(query, None, None)] if len(first.features) < len(query.features) else []
        tries += [(query, self._structure_pruner, None)] if self._structure_pruner is not None else []
        tries += [(query, None, self._matcher)] if self._matcher is not None else []
        found: list[Hypothesis] = []
        timings: dict[str, float] = {}
        for tried, pruner, matcher in tries:
            found = max(found, self._structure.hypotheses(tried, neighbours, pruner, matcher), key=_support)
            for stage, milliseconds in self._structure.timings.items():
                timings[stage] = timings.get(stage, 0.0) + milliseconds
            if _support(found) >= self.options.weak_below:
                break
        return found, timings

    def relative_poses(self, frame: Frame, neighbours: list[Neighbour]) -> list[RelativePose]:
        """Relative poses of a frame's camera to the given references, those that could be found."""
        query = Query.of(self.extract(frame), frame.camera, self.options.seed)
        return self._relative.relative_poses(query, neighbours)

    def neighbour(self, name: str, score: float = 0.0) -> Neighbour:
        """The reference of that name as a neighbour. Raises MapError if the map lacks it."""
        return self._neighbour(self.map.index_of([name])[0], score)

    def _pruners(self, given: Judge | None) -> dict[str, Judge | None]:
        """For each road what judges its matches, if anything. Raises ConfigurationError for other roads."""
        options, roads = self.options, ("structure", "relative")
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

    def _scene_road(self, given: Predicts | None) -> SceneRoad | None:
        """The road by scene coordinates, if any. Raises CheckpointError if it is not of the map's place."""
        if given is None and self.options.scene is None:
            return None
        predictor = given if given is not None else open_predictor(str(self.options.scene))
        name = str(self.map.path or self.map.name)
        check_fits(predictor.scene, predictor.path, self.map.metric, self.map.reference_poses, name)
        return SceneRoad(predictor, self.options.scene_road, self.options.seed)

    def _by_scene(self, frame: Frame) -> list[Hypothesis]:
        if self._scene is None:
            return []
        with self._threads.limit(limits=1, user_api="blas"):
            return self._scene.hypotheses(frame)

    def _neighbour(self, index: int, score: float) -> Neighbour:
        pose = self.map.reference_poses[index]
        return Neighbour(index, self.map.reference_names[index], score, pose)


def _support(hypotheses: list[Hypothesis]) -> int:
    return max((h.evidence.inliers for h in hypotheses), default=0)


def _nothing_found(query: Query, neighbours: list[Neighbour]) -> str:
    if not neighbours:
        return "no reference was retrieved"
    return (
        f"none of the {len(neighbours)} most similar references shares a consistent geometry with "
        f"the {len(query.features)} features of this image: it shows something the map does not"
    )
