"""A pruner on both roads: what it may change, and what it must not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.features.base import Features
from relpose_ros.features.matching import nearest_neighbours
from relpose_ros.features.pruning import Judgement
from relpose_ros.geometry.epipolar import essential_matrix, sampson_residual
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.landmark_pruning import credible
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.options import options_for
from relpose_ros.localization.pairwise import RelativeOptions
from relpose_ros.localization.query import Query
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Localization, State

HARD = replace(options_for("default"), weak_below=10_000)
"""As if every frame were a hard one: all roads are taken, and the structure road with the pruner too."""


@dataclass
class Chance:
    """Keeps each match with probability `share`, and remembers what it was given."""

    share: float
    seen: list[np.ndarray] = field(default_factory=list)

    def judge(self, points: np.ndarray, ratio: np.ndarray, mutual: np.ndarray) -> Judgement:
        assert points.shape == (len(ratio), 4) and ratio.shape == mutual.shape
        self.seen.append(points)
        weights = np.random.default_rng(len(points)).uniform(0, 1, len(points)).astype(np.float32)
        return Judgement(weights, weights < self.share)


@dataclass
class OneCamera:
    """Keeps matches whose query ray is on one side of the image: left (-1) or right (+1)."""

    side: int

    def judge(self, points: np.ndarray, ratio: np.ndarray, mutual: np.ndarray) -> Judgement:
        keep = self.side * points[:, 0] > 0
        return Judgement(keep.astype(np.float32), keep)


def query_pose(world: Any, k: int) -> Rigid:
    angle = 1.03 * k + 0.1
    return world.pose(angle, 1.7 * np.sin(angle) + 0.2, 1.7 * np.cos(angle)).perturbed(
        [0, 0.1, 0, 0.03, 0.05, 0]
    )


def answers(localizer: Localizer, world: Any, count: int = 4) -> list[Localization]:
    """To what cameras in `world` see."""
    features = [world.features(query_pose(world, k), seed=k) for k in range(count)]
    return [localizer.localize_features(f, world.camera) for f in features]


def said(answer: Localization) -> dict[str, Any]:
    """All of an answer but the times."""
    return {**answer.to_json(), "latency_ms": None}


@pytest.mark.parametrize("landmarks", [True, False])
def test_a_pruner_that_keeps_all_changes_nothing(
    hall: Map, bare_hall: Map, point_world: Any, ratio_pruner: Path, onnx_cache: Path, landmarks: bool
):
    """To the last bit, on either road, with a real network whose threshold lets everything through."""
    map_, plain = bare_hall, HARD
    if landmarks:  # by the structure road alone
        map_, plain = hall, replace(HARD, first_keypoints=150, relative=RelativeOptions(neighbours=0))
    options = replace(plain, pruner=ratio_pruner, pruner_threshold=0.0)
    without = answers(Localizer(map_, plain), point_world)
    with_it = answers(Localizer(map_, options), point_world)
    assert [said(a) for a in with_it] == [said(a) for a in without]
    assert {a.method for a in with_it} == {"structure" if landmarks else "relative"}
    if landmarks:
        assert all(a.latency_ms["prune"] > 0 for a in with_it)


@pytest.mark.parametrize("landmarks", [True, False])
def test_what_is_judged_are_rays_of_the_query_and_of_the_reference(
    hall: Map, bare_hall: Map, point_world: Any, landmarks: bool
):
    """The true pose between them explains many of the matches; with the columns swapped it does not."""
    judge = Chance(1.0)
    localizer = Localizer(hall if landmarks else bare_hall, HARD, judge)
    pose = query_pose(point_world, 1)
    features = point_world.features(pose, seed=1)
    neighbours = localizer.retrieve(localizer.describe(features))
    localizer.hypotheses(Query.of(features, point_world.camera), neighbours)
    through = [*(neighbours[:3] if landmarks else []), *neighbours[:5]]
    for neighbour, points in zip(through, judge.seen, strict=True):
        essential = essential_matrix(neighbour.map_from_camera.inverse() @ pose)
        rays = points[:, :2], points[:, 2:]
        right = [np.abs(sampson_residual(essential, *r)) < 2 / 240 for r in (rays, rays[::-1])]
        assert right[0].mean() > max(0.3, 3 * right[1].mean())


def test_easy_frames_are_not_judged(hall: Map, point_world: Any):
    judge = Chance(0.0)
    for answer in answers(Localizer(hall, pruner=judge), point_world):
        assert answer.state is State.LOCALIZED and "prune" not in answer.latency_ms
    assert not judge.seen


def test_the_relative_road_shows_all_nearest_neighbours(bare_hall: Map, point_world: Any):
    """As in training: those that fail the ratio test are context."""
    judge = Chance(1.0)
    features = point_world.features(query_pose(point_world, 0))
    Localizer(bare_hall, pruner=judge).localize_features(features, point_world.camera)
    assert {len(points) for points in judge.seen} == {len(features)}


def test_support_of_the_structure_road_means_the_same(hall: Map, point_world: Any):
    """Inliers are counted over all features: calibration and thresholds stay what they were."""
    localizer = Localizer(hall)
    for k in range(4):
        features = point_world.features(query_pose(point_world, k), seed=k)
        query, neighbours = (
            Query.of(features, point_world.camera),
            localizer.retrieve(localizer.describe(features)),
        )
        (one,), (other,) = (
            localizer._structure.hypotheses(query, neighbours, judge) for judge in (None, Chance(0.4))
        )
        assert other.evidence.inliers == pytest.approx(one.evidence.inliers, rel=0.03)
        assert other.evidence.matches == one.evidence.matches
        assert other.map_from_camera.distance_to(one.map_from_camera)[0] < 0.01


def test_support_of_the_relative_road_falls_and_never_rises(bare_hall: Map, point_world: Any):
    pose = query_pose(point_world, 2)
    features = point_world.features(pose, seed=2)
    query = Query.of(features, point_world.camera)
    plain, pruned = Localizer(bare_hall), Localizer(bare_hall, pruner=Chance(0.6))
    neighbours = plain.retrieve(plain.describe(features))
    before, after = (
        {p.reference: p for p in x._relative.relative_poses(query, neighbours)} for x in (plain, pruned)
    )
    assert after
    for name, pose_after in after.items():
        assert 0.4 < pose_after.inliers / before[name].inliers < 0.8
        assert pose_after.matches == before[name].matches, "the share of inliers is of what was matched"
    assert pruned.localize_with(features, point_world.camera, neighbours).has_pose


def test_what_keeps_nothing_closes_the_relative_road(bare_hall: Map, point_world: Any):
    for answer in answers(Localizer(bare_hall, pruner=Chance(0.0)), point_world):
        assert answer.state is State.UNLOCALIZED and answer.reason


def test_what_keeps_nothing_takes_no_pose_from_the_structure_road(hall: Map, point_world: Any):
    """The try with the pruner comes after those without it, and the best supported one counts."""
    for answer in answers(Localizer(hall, HARD, Chance(0.0)), point_world):
        assert answer.state is State.LOCALIZED and answer.method == "structure"


@pytest.mark.parametrize(("roads", "calls"), [(("structure",), 3), (("relative",), 5), ((), 0)])
def test_one_road_alone_can_be_pruned(hall: Map, point_world: Any, roads: tuple[str, ...], calls: int):
    judge = Chance(1.0)
    answers(Localizer(hall, replace(HARD, pruned_roads=roads), judge), point_world, 1)
    assert len(judge.seen) == calls


def two_places(world: Any, other: Any) -> tuple[Map, Features, Rigid]:
    """A map of two halls 60 m apart, and an image with one of them on its left, the other on its right."""
    from relpose_ros.maps.assemble import BuildOptions, assemble

    away = Rigid.from_rotation_vector([0, 0, 0], [60, 0, 0])
    here = world.references(8, turns=0.3)
    there = [
        replace(r, name=f"far_{r.name}", map_from_camera=away @ r.map_from_camera)
        for r in other.references(8, turns=0.3)
    ]
    pose = world.pose(0.2, 0.4, 1.9)
    parts = [world.features(pose, seed=1), other.features(pose, seed=2)]
    left = parts[0].keypoints[:, 0] < world.camera.cx
    right = parts[1].keypoints[:, 0] > world.camera.cx
    halves = (parts[0][left], parts[1][right])
    both = Features(
        *(
            np.concatenate([getattr(h, name) for h in halves])
            for name in ("keypoints", "scales", "descriptors")
        )
    )
    return assemble([*here, *there], "two", True, BuildOptions(), {}), both, pose


@pytest.mark.parametrize("side", [-1, 1])
def test_a_pruner_hides_no_rival(point_world: Any, other_point_world: Any, side: int):
    """Half the image shows another place; dropping that half does not make the pose less doubtful."""
    map_, features, _ = two_places(point_world, other_point_world)
    options = options_for("default", neighbours=16)
    localizer = Localizer(map_, options)
    query, neighbours = (
        Query.of(features, point_world.camera),
        localizer.retrieve(localizer.describe(features)),
    )
    for pruner in (None, OneCamera(side)):
        (found,) = localizer._structure.hypotheses(query, neighbours, pruner)
        assert found.evidence.rival_inliers > 0.5 * found.evidence.inliers
        assert "ambiguous" in localizer._arbiter.decide([found], "").reason


def test_another_world_is_not_localized(hall: Map, bare_hall: Map, other_point_world: Any):
    for map_ in (hall, bare_hall):
        for answer in answers(Localizer(map_, pruner=Chance(0.5)), other_point_world, 15):
            assert answer.state is State.UNLOCALIZED


def test_wrong_options_are_refused_at_start(hall: Map, foreign_checkpoint: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"one_to_one\.ltfgc.*one_to_one\.eot_21"):
        Localizer(hall, options_for("default", pruner=foreign_checkpoint))
    with pytest.raises(CheckpointError, match="found no file"):
        Localizer(hall, options_for("default", pruner=tmp_path / "none.safetensors"))
    with pytest.raises(ConfigurationError, match="expected some of structure, relative, got dense"):
        Localizer(hall, options_for("default", pruned_roads=("dense",)))


def test_what_no_judge_sees_is_kept(hall: Map, point_world: Any):
    """One reference judges: only landmarks that it sees can be dropped, and all of them are."""
    features = point_world.features(query_pose(point_world, 1), seed=1)
    query = Query.of(features, point_world.camera)
    neighbours = Localizer(hall).retrieve(Localizer(hall).describe(features))
    landmarks = np.unique(np.concatenate([hall.visible[n.index] for n in neighbours]))
    nearest = nearest_neighbours(features.descriptors, hall.landmarks.descriptors[landmarks])
    mine = landmarks[nearest.index]
    kept = credible(hall, query, neighbours[:1], mine, nearest, Chance(0.0))
    np.testing.assert_array_equal(kept, ~np.isin(mine, hall.visible[neighbours[0].index]))
    assert 0 < kept.sum() < len(kept)
    assert credible(hall, query, [], mine, nearest, Chance(0.0)).all()
