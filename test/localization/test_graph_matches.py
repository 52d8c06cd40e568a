"""A matcher on both roads: poses, support, rivals, abstention, and what is refused at start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relpose_ros.errors import CheckpointError
from relpose_ros.features.base import Features
from relpose_ros.features.graph_matching import GraphMatches, MatchedImage, PosedMatches
from relpose_ros.features.matching import nearest_neighbours
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.graph_matches import to_landmarks
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.options import LocalizerOptions, options_for
from relpose_ros.localization.pairwise import RelativeOptions
from relpose_ros.localization.query import Query
from relpose_ros.maps.assemble import BuildOptions, assemble
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Localization, State

HARD = LocalizerOptions(weak_below=10_000, matcher_keypoints=400)
"""As if every frame were a hard one: all roads are taken, and all tries."""


@dataclass
class Told:
    """Says what `pairs_of` (a function of both images) says, with its scores; remembers what it was given."""

    pairs_of: Any
    seen: list[MatchedImage] = field(default_factory=list)

    def match(self, query: MatchedImage, references: Sequence[MatchedImage]) -> list[GraphMatches]:
        self.seen += references
        return [GraphMatches(*self.pairs_of(query, r)) for r in references]

    def match_until_posed(self, query: MatchedImage, reference: MatchedImage, estimate: Any) -> PosedMatches:
        pairs, scores = self.pairs_of(query, reference)
        return PosedMatches(pairs, scores, len(pairs) + 7, 1)


def mutual(query: MatchedImage, reference: MatchedImage) -> tuple[np.ndarray, np.ndarray]:
    """Mutual nearest neighbours."""
    found = nearest_neighbours(query.descriptors, reference.descriptors)
    kept = found.passing(0.9)
    return np.stack([kept, found.index[kept]], axis=1), 1 - found.distance[kept]


def nothing(query: MatchedImage, reference: MatchedImage) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((0, 2), np.intp), np.zeros(0, np.float32)


def query_pose(world: Any, k: int) -> Rigid:
    angle = 1.03 * k + 0.1
    return world.pose(angle, 1.7 * np.sin(angle) + 0.2, 1.7 * np.cos(angle)).perturbed(
        [0, 0.1, 0, 0.03, 0.05, 0]
    )


def answers(localizer: Localizer, world: Any, count: int = 3) -> list[Localization]:
    features = [world.features(query_pose(world, k), seed=k) for k in range(count)]
    return [localizer.localize_features(f, world.camera) for f in features]


@pytest.mark.parametrize("landmarks", [True, False])
def test_a_network_that_finds_nearest_neighbours_gives_their_poses(
    hall: Map, bare_hall: Map, point_world: Any, nearest_matcher: Path, landmarks: bool
):
    map_, hard = bare_hall, HARD
    if landmarks:  # by the structure road alone
        map_, hard = hall, replace(HARD, relative=RelativeOptions(neighbours=0))
    plain = answers(Localizer(map_, hard), point_world, 2)
    learned = answers(Localizer(map_, replace(hard, matcher=nearest_matcher)), point_world, 2)
    for k, (one, other) in enumerate(zip(plain, learned, strict=True)):
        assert one.method == other.method == ("structure" if landmarks else "relative")
        distance, angle = other.map_from_camera.distance_to(one.map_from_camera)
        assert distance < 0.08 and angle < 0.01
        assert other.map_from_camera.distance_to(query_pose(point_world, k))[0] < 0.08
        assert 0.5 * one.inliers < other.inliers < 1.05 * one.inliers, "some are cut: 400 of an image"
        assert ("graph" in other.latency_ms) == landmarks and "graph" not in one.latency_ms


def test_easy_frames_are_not_matched(hall: Map, point_world: Any):
    told = Told(mutual)
    for answer in answers(Localizer(hall, matcher=told), point_world):
        assert answer.state is State.LOCALIZED and "graph" not in answer.latency_ms
    assert not told.seen


def test_what_finds_nothing_takes_no_pose_from_the_structure_road(
    hall: Map, bare_hall: Map, point_world: Any
):
    """Its try is the last, and the best supported one counts; on the relative road it is alone."""
    for answer in answers(Localizer(hall, HARD, matcher=Told(nothing)), point_world):
        assert answer.state is State.LOCALIZED and answer.method == "structure"
    for answer in answers(Localizer(bare_hall, matcher=Told(nothing)), point_world):
        assert answer.state is State.UNLOCALIZED and answer.reason


def found_by_structure(map_: Map, features: Features, world: Any, matcher: Any) -> list[Any]:
    localizer = Localizer(map_, options_for("default", neighbours=16))
    query = Query.of(features, world.camera)
    neighbours = localizer.retrieve(localizer.describe(features))
    return localizer._structure.hypotheses(query, neighbours, None, matcher)


def test_support_of_the_structure_road_means_the_same(hall: Map, point_world: Any):
    """Few right matches are enough: inliers are counted over all features."""

    def few(query: MatchedImage, reference: MatchedImage) -> tuple[np.ndarray, np.ndarray]:
        pairs, scores = mutual(query, reference)
        return pairs[:12], scores[:12]

    for k in range(3):
        features = point_world.features(query_pose(point_world, k), seed=k)
        (one,) = found_by_structure(hall, features, point_world, None)
        for told in (mutual, few):
            (other,) = found_by_structure(hall, features, point_world, Told(told))
            assert other.evidence.inliers == pytest.approx(one.evidence.inliers, rel=0.05)
            assert other.map_from_camera.distance_to(one.map_from_camera)[0] < 0.01
            assert other.evidence.rival_inliers == one.evidence.rival_inliers == 0


def test_it_finds_what_descriptors_do_not(hall: Map, point_world: Any):
    """Where half of the features look like something else, a matcher that knows better gets more support."""
    pose = query_pose(point_world, 1)
    features = point_world.features(pose, seed=1)
    rng = np.random.default_rng(0)
    misled = rng.uniform(size=len(features)) < 0.9
    wrong = features.descriptors.copy()
    wrong[misled] = point_world.unit(rng.normal(size=(int(misled.sum()), 64)))
    true = {tuple(k): d for k, d in zip(features.keypoints.tolist(), features.descriptors, strict=True)}

    def knowing(query: MatchedImage, reference: MatchedImage) -> tuple[np.ndarray, np.ndarray]:
        own = np.stack([true[tuple(k)] for k in query.keypoints.tolist()])
        return mutual(replace(query, descriptors=own), reference)

    seen = replace(features, descriptors=wrong)
    neighbours = Localizer(hall).retrieve(Localizer(hall).describe(features))
    road = Localizer(hall)._structure
    query = Query.of(seen, point_world.camera)
    plain = road.hypotheses(query, neighbours)
    (told,) = road.hypotheses(query, neighbours, None, Told(knowing))
    assert told.evidence.inliers > 1.5 * max((h.evidence.inliers for h in plain), default=0)
    assert told.map_from_camera.distance_to(pose)[0] < 0.05


def test_one_landmark_per_feature_by_score(hall: Map, point_world: Any):
    features = point_world.features(query_pose(point_world, 1), seed=1)
    query = Query.of(features, point_world.camera)
    neighbours = Localizer(hall).retrieve(Localizer(hall).describe(features))[:3]
    first, second = (np.flatnonzero(hall.features[n.index].landmarks >= 0)[:2] for n in neighbours[:2])
    said = iter([(first, 0.5, 0.9), (second, 0.7, 0.8)])

    def disagreeing(query: MatchedImage, reference: MatchedImage) -> tuple[np.ndarray, np.ndarray]:
        theirs, *scores = next(said)
        return np.stack([[4, 9], theirs], axis=1), np.array(scores, np.float32)

    told = Told(disagreeing)
    found = to_landmarks(hall, query, neighbours, told, 2)
    landmarks = [hall.features[n.index].landmarks for n in neighbours]
    assert found.features.tolist() == [4, 9]
    assert found.landmarks.tolist() == [landmarks[1][second[0]], landmarks[0][first[1]]]
    for image, landmark in zip(told.seen, landmarks, strict=False):
        np.testing.assert_array_equal(image.preferred, landmark >= 0)
        assert image.size == (320, 240)


def test_references_without_landmarks_are_not_asked(bare_hall: Map, point_world: Any):
    features = point_world.features(query_pose(point_world, 1), seed=1)
    told = Told(mutual)
    assert found_by_structure(bare_hall, features, point_world, told) == [] and not told.seen


def test_the_relative_road_counts_what_was_matched(bare_hall: Map, point_world: Any):
    features = point_world.features(query_pose(point_world, 2), seed=2)
    query = Query.of(features, point_world.camera)
    localizer = Localizer(bare_hall, matcher=Told(mutual))
    neighbours = localizer.retrieve(localizer.describe(features))
    measured = localizer._relative.relative_poses(query, neighbours)
    assert measured and all(18 <= pose.inliers <= pose.matches - 7 for pose in measured)


def test_another_world_is_not_localized(
    hall: Map, bare_hall: Map, other_point_world: Any, nearest_matcher: Path
):
    for map_ in (hall, bare_hall):
        options = replace(HARD, matcher=nearest_matcher, matcher_iterations=4)
        for answer in answers(Localizer(map_, options), other_point_world, 2):
            assert answer.state is State.UNLOCALIZED


def test_matches_at_random_are_not_believed(hall: Map, bare_hall: Map, other_point_world: Any):
    """As many as there can be, one each, of an image that shows another place."""

    def random(query: MatchedImage, reference: MatchedImage) -> tuple[np.ndarray, np.ndarray]:
        rng, count = np.random.default_rng(len(query.keypoints)), len(query.keypoints)
        theirs = rng.permutation(max(count, len(reference.keypoints)))[:count]
        kept = np.flatnonzero(theirs < len(reference.keypoints))
        return np.stack([kept, theirs[kept]], axis=1), rng.uniform(0.2, 1, len(kept)).astype(np.float32)

    for map_ in (hall, bare_hall):
        for answer in answers(Localizer(map_, HARD, matcher=Told(random)), other_point_world, 6):
            assert answer.state is State.UNLOCALIZED


@pytest.mark.parametrize("side", [-1, 1])
def test_a_matcher_hides_no_rival(point_world: Any, other_point_world: Any, side: int):
    """Half the image shows another place; matching one half alone makes no pose less doubtful."""
    away = Rigid.from_rotation_vector([0, 0, 0], [60, 0, 0])
    there = [
        replace(r, name=f"far_{r.name}", map_from_camera=away @ r.map_from_camera)
        for r in other_point_world.references(8, turns=0.3)
    ]
    map_ = assemble([*point_world.references(8, turns=0.3), *there], "two", True, BuildOptions(), {})
    pose = point_world.pose(0.2, 0.4, 1.9)
    parts = [point_world.features(pose, seed=1), other_point_world.features(pose, seed=2)]
    middle = point_world.camera.cx
    halves = (parts[0][parts[0].keypoints[:, 0] < middle], parts[1][parts[1].keypoints[:, 0] > middle])
    names = ("keypoints", "scales", "descriptors")
    features = Features(*(np.concatenate([getattr(h, name) for h in halves]) for name in names))

    def one_half(query: MatchedImage, reference: MatchedImage) -> tuple[np.ndarray, np.ndarray]:
        pairs, scores = mutual(query, reference)
        kept = side * (query.keypoints[pairs[:, 0], 0] - middle) > 0
        return pairs[kept], scores[kept]

    localizer = Localizer(map_, options_for("default", neighbours=16))
    query = Query.of(features, point_world.camera)
    neighbours = localizer.retrieve(localizer.describe(features))
    # Through references of that place: the best of all may be of the other.
    wanted = [n for n in neighbours if n.name.startswith("far_") == (side > 0)]
    ordered = [*wanted, *(n for n in neighbours if n not in wanted)]
    (found,) = localizer._structure.hypotheses(query, ordered, None, Told(one_half))
    assert found.evidence.rival_inliers > 0.5 * found.evidence.inliers
    assert "ambiguous" in localizer._arbiter.decide([found], "").reason


def test_wrong_options_are_refused_at_start(
    hall: Map, make_matcher: Any, nearest_matcher: Path, foreign_checkpoint: Path
):
    with pytest.raises(CheckpointError, match=r"imp\.gm.*one_to_one\.eot_21"):
        Localizer(hall, options_for("default", matcher=foreign_checkpoint))
    other = make_matcher("imp.gm", descriptor_size=32, iterations=1)
    with pytest.raises(CheckpointError, match=rf"{hall.feature} with 64 numbers each, got imp\.gm for 32"):
        Localizer(hall, options_for("default", matcher=other))
    assert Localizer(hall, options_for("fast", matcher=nearest_matcher))._matcher.iterations == 4
    assert Localizer(hall, options_for("default", matcher=nearest_matcher))._matcher.iterations == 6
