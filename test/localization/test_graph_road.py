"""The road of regression: what it says, when it is believed, and what it never does."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from noisy_regressor import NoisyRegressor, image_of, known_to  # type: ignore[import-not-found]

from relpose_ros.errors import CheckpointError, ConfigurationError, MapError
from relpose_ros.geometry.covariance import nees
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization import graph_calibration, graph_refinement, graph_road
from relpose_ros.localization.arbiter import REFINED, REGRESSION, Arbiter, ArbiterOptions
from relpose_ros.localization.calibration import ANOTHER_DRIVE, Calibration, fit_calibration
from relpose_ros.localization.circumstances import with_circumstances
from relpose_ros.localization.graph_agreement import GraphCalibration
from relpose_ros.localization.graph_calibration import calibrate_graph, edge_calibration
from relpose_ros.localization.graph_road import GraphRoad, GraphRoadOptions
from relpose_ros.localization.graph_trials import trials
from relpose_ros.localization.guided import guided_matches
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.options import LocalizerOptions, options_for
from relpose_ros.localization.query import Neighbour, Query
from relpose_ros.localization.structure import StructureLocalizer
from relpose_ros.maps.bundle import Map
from relpose_ros.types import Frame, Hypothesis, State

QUERIES = 24
HARD = LocalizerOptions(weak_below=10_000)
"""As if every frame were a hard one: all roads are taken."""


def query_pose(world: Any, k: int):
    angle = 0.26 * k + 0.1
    pose = world.pose(angle, 1.8 * np.sin(angle) + 0.2, 1.8 * np.cos(angle))
    return pose.perturbed([0, 0.1, 0, 0.03, 0.05, 0])


@pytest.fixture(scope="module")
def poses(hall: Map, point_world: Any):
    """Of the references, then of the queries: image number -> map_from_camera."""
    references = [hall.reference_poses[i] for i in range(len(hall))]
    return [*references, *(query_pose(point_world, k) for k in range(QUERIES))]


@pytest.fixture(scope="module")
def calibrated(hall: Map, poses) -> Map:
    regressor = NoisyRegressor(poses)
    features = [hall.reference_features(i) for i in range(len(hall))]
    return calibrate_graph(known_to(hall, regressor), regressor, features, 12)


def road_in(map_: Map, regressor: NoisyRegressor, **changes: Any) -> GraphRoad:
    return GraphRoad(map_, regressor, StructureLocalizer(map_), GraphRoadOptions(**changes))


def asked_about(map_: Map, world: Any, k: int, features: Any = None) -> tuple[Query, list[Neighbour]]:
    """Query k and the references nearest to it, best first."""
    pose = query_pose(world, k)
    distance, angle = pose.distance_to(map_.reference_poses)
    order = np.argsort(distance + angle)[:8]
    found = [Neighbour(int(i), map_.reference_names[i], 0.9, map_.reference_poses[int(i)]) for i in order]
    features = world.features(pose, seed=k) if features is None else features
    query = Query.of(features, world.camera)
    return replace(query, image=image_of(24 + k, world.camera)), found


def test_edges_become_a_pose_that_is_as_good_as_it_says(hall: Map, poses, point_world: Any) -> None:
    """Independent edges: the raw covariance is no smaller than the error, nor many times larger."""
    values, errors = [], []
    for seed in range(2):
        regressor = NoisyRegressor(poses, seed=seed)
        road = road_in(known_to(hall, regressor), regressor, refine=False)
        for k in range(QUERIES):
            query, neighbours = asked_about(hall, point_world, k)
            (found,) = road.hypotheses(query, neighbours)
            assert found.method == REGRESSION and found.evidence.matches == 6
            twist = found.map_from_camera.error_to(poses[24 + k])
            values.append(nees(twist, found.covariance))
            errors.append(np.linalg.norm(twist[:3]))
    assert np.median(errors) < 0.08
    assert 1 < np.mean(values) < 6.5


def test_the_pose_survives_edges_that_are_anywhere(hall: Map, poses, point_world: Any) -> None:
    regressor = NoisyRegressor(poses, wrong=0.25, seed=3)
    road = road_in(known_to(hall, regressor), regressor, refine=False)
    right = 0
    for k in range(QUERIES):
        query, neighbours = asked_about(hall, point_world, k)
        (found,) = road.hypotheses(query, neighbours)
        right += int(found.map_from_camera.distance_to(poses[24 + k])[0] < 0.3)
        assert found.evidence.inliers <= 6
    assert right >= QUERIES - 3


def test_references_are_asked_in_steps_best_first(hall: Map, poses) -> None:
    regressor = NoisyRegressor(poses)
    ranking = [Neighbour(i, f"r{i}", 1.0, hall.reference_poses[i]) for i in range(24)]
    road = road_in(known_to(hall, regressor), regressor, neighbours=4, period=3)
    assert [n.index for n in road.chosen(ranking)] == [0, 3, 6, 9]
    assert [n.index for n in road.chosen(ranking[:9])] == [0, 2, 4, 6], "shorter steps rather than fewer"
    assert [n.index for n in road.chosen(ranking[:2])] == [0, 1]
    assert road.ranked == 12


def test_refinement_finds_the_pose_by_landmarks(hall: Map, poses, point_world: Any, calibrated: Map) -> None:
    regressor = NoisyRegressor(poses)
    road = road_in(calibrated, regressor)
    for k in range(0, QUERIES, 4):
        query, neighbours = asked_about(hall, point_world, k)
        refined, regressed = road.hypotheses(query, neighbours)
        assert (refined.method, regressed.method) == (REFINED, REGRESSION)
        distance, angle = refined.map_from_camera.distance_to(poses[24 + k])
        assert distance < 0.05 and angle < 0.01 and refined.evidence.inliers > 60


def test_it_finds_landmarks_where_many_look_alike(poses, point_world: Any, calibrated: Map) -> None:
    """Thirteen landmarks for each descriptor: which one it is, only the regressed pose can say."""
    generator = np.random.default_rng(0)
    kinds = point_world.unit(generator.normal(size=(150, 64)))

    def alike(descriptors: Any) -> Any:
        return kinds[(descriptors @ kinds.T).argmax(axis=1)]

    known = replace(calibrated.landmarks, descriptors=alike(calibrated.landmarks.descriptors))
    road = road_in(replace(calibrated, landmarks=known), NoisyRegressor(poses))
    for k in range(0, QUERIES, 6):
        features = point_world.features(query_pose(point_world, k), seed=k)
        features = replace(features, descriptors=alike(features.descriptors))
        query, neighbours = asked_about(calibrated, point_world, k, features)
        refined = road.hypotheses(query, neighbours)[0]
        alone = road.structure.hypotheses(query, neighbours)
        assert max([h.evidence.inliers for h in alone], default=0) < 30
        assert refined.method == REFINED and refined.evidence.inliers > 100
        assert refined.map_from_camera.distance_to(poses[24 + k])[0] < 0.05


def test_a_wrong_regression_is_not_refined_into_a_wrong_pose(
    hall: Map, poses, point_world: Any, calibrated: Map
) -> None:
    """What landmarks say must lie where the regression may be, whether it says that surely or vaguely; what
    they say elsewhere is not its doing."""
    known = GraphCalibration.from_dict(calibrated.graph.calibration)
    vague = replace(known, regression=replace(known.regression, scale=200 * known.regression.scale))
    found = 0
    for calibration, sizes in ((known, (0.02, 0.05, 0.1, 1.0)), (vague, (0.2, 0.6, 1.0))):
        road = GraphRoad(
            calibrated, NoisyRegressor(poses), StructureLocalizer(calibrated), calibration=calibration
        )
        for k, size in itertools.product(range(0, QUERIES, 6), sizes):
            query, neighbours = asked_about(hall, point_world, k)
            away = moved_away(road.hypotheses(query, neighbours)[-1], poses[24 + k], size)
            refined = road.refined(away, query, neighbours)
            if refined is None:
                continue
            found += 1
            right = refined.map_from_camera.distance_to(poses[24 + k])[0] < 0.05
            assert right or refined.evidence.inliers < known.refined.min_inliers
            twist = away.map_from_camera.error_to(refined.map_from_camera)
            there = with_circumstances(calibrated, away, query.camera.focal)
            assert nees(twist, calibration.regression.covariance(there)) < 22.5
    assert found >= 6


def moved_away(regressed: Hypothesis, truth: Rigid, size: float) -> Hypothesis:
    """A regressed pose that is `size` times 1.1 m and half a radian off."""
    return replace(regressed, map_from_camera=truth.perturbed(size * np.array([0.8, 0, -0.8, 0, 0.5, 0])))


def test_it_looks_where_the_published_covariance_says(
    calibrated: Map, poses, point_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The covariance of search and gate is that of the answer, with all that calibration was fitted to."""
    used = []

    def guided(map_: Any, query: Any, neighbours: Any, pose: Any, covariance: Any, options: Any) -> Any:
        used.append(covariance)
        return guided_matches(map_, query, neighbours, pose, covariance, options)

    monkeypatch.setattr(graph_road, "guided_matches", guided)
    where = localizer(calibrated, NoisyRegressor(poses))
    query, neighbours = asked_about(calibrated, point_world, 3)
    told, _ = where.hypotheses(query, neighbours)
    (regressed,) = [h for h in told if h.method == REGRESSION]
    assert regressed.evidence.view_change > 0 and regressed.evidence.residual_angle > 0
    known = GraphCalibration.from_dict(calibrated.graph.calibration)
    (covariance,) = used
    np.testing.assert_allclose(covariance, known.regression.covariance(regressed), rtol=1e-12)


@pytest.mark.parametrize("lacking", ["all", "regression", "refined"])
def test_refined_is_not_heard_where_nobody_knows_what_it_is_worth(
    hall: Map, poses, point_world: Any, calibrated: Map, lacking: str
) -> None:
    known = GraphCalibration.from_dict(calibrated.graph.calibration)
    few = GraphCalibration()
    if lacking != "all":
        few = replace(known, **{lacking: replace(getattr(known, lacking), samples=9)})
    road = GraphRoad(calibrated, NoisyRegressor(poses), StructureLocalizer(calibrated), calibration=few)
    query, neighbours = asked_about(hall, point_world, 3)
    told = road.hypotheses(query, neighbours)
    assert [h.method for h in told] == [REFINED, REGRESSION]
    told = [with_circumstances(hall, h, query.camera.focal) for h in told]

    def decided(by_road: Any, hypotheses: Any) -> Any:
        return Arbiter(Calibration(), ArbiterOptions(), by_road).decide(hypotheses, "")

    assert "is not known" in decided(few.by_road, told[:1]).reason
    assert decided(few.by_road, told).method == (REGRESSION if lacking == "refined" else "")
    heard = replace(told[0], evidence=replace(told[0].evidence, objection=""))
    assert decided(known.by_road, [heard]).method == REFINED


def test_what_is_seen_elsewhere_is_not_found(
    poses, point_world: Any, other_point_world: Any, calibrated: Map
) -> None:
    """Features of another hall, and a network that insists: no support that would be published."""
    known = GraphCalibration.from_dict(calibrated.graph.calibration)
    road = road_in(calibrated, NoisyRegressor(poses))
    for k in range(0, QUERIES, 2):
        features = other_point_world.features(query_pose(point_world, k), seed=k)
        query, neighbours = asked_about(calibrated, point_world, k, features)
        refined = [h for h in road.hypotheses(query, neighbours) if h.method == REFINED]
        assert all(h.evidence.inliers < known.refined.min_inliers for h in refined)


# --- in the localizer


def localizer(map_: Map, regressor: NoisyRegressor, options: LocalizerOptions = HARD) -> Localizer:
    return Localizer(map_, options, regressor=regressor)


def answer(where: Localizer, world: Any, k: int, features: Any = None):
    features = world.features(query_pose(world, k), seed=k) if features is None else features
    return where.localize_features(features, world.camera, image=image_of(24 + k, world.camera))


def blind(world: Any, k: int):
    """Features that are nowhere in the map, spread over the image."""
    features = world.features(query_pose(world, k), seed=k)
    generator = np.random.default_rng(1000 + k)
    return replace(features, descriptors=world.unit(generator.normal(size=features.descriptors.shape)))


@pytest.fixture
def told_neighbours(monkeypatch: pytest.MonkeyPatch, calibrated: Map, point_world: Any):
    """Makes retrieval right whatever the features are: by pose, query by query."""

    def tell(where: Localizer, k: int) -> None:
        pose = query_pose(point_world, k)
        distance, angle = pose.distance_to(calibrated.reference_poses)
        order = np.argsort(distance + angle)

        def retrieve(descriptor: Any, count: int | None = None) -> list[Neighbour]:
            return [where.neighbour(calibrated.reference_names[i]) for i in order[: count or 8]]

        monkeypatch.setattr(where, "retrieve", retrieve)

    return tell


def test_easy_frames_do_not_ask_the_network(calibrated: Map, poses, point_world: Any) -> None:
    regressor = NoisyRegressor(poses)
    where = localizer(calibrated, regressor, options_for("default"))
    assert answer(where, point_world, 1).method == "structure" and regressor.asked == 0


def test_structure_is_never_overruled(calibrated: Map, poses, point_world: Any) -> None:
    """Not by a network that is sure of another place, nor by one that is right."""
    for shift in (0.0, 1.5):
        moved = [p.perturbed([shift, 0, 0, 0, 0, 0]) for p in poses]
        where = localizer(calibrated, NoisyRegressor(moved, sigma=(0.01, 0.005)))
        for k in range(0, QUERIES, 8):
            found = answer(where, point_world, k)
            assert found.method in ("structure", "relative") and found.has_pose
            assert found.map_from_camera.distance_to(poses[24 + k])[0] < 0.1


def trusted(map_: Map, share_right: float) -> Map:
    """As if held-out references had told that of regression."""
    assert map_.graph is not None
    known = GraphCalibration.from_dict(map_.graph.calibration)
    known = replace(known, regression=replace(known.regression, share_right=share_right))
    return replace(map_, graph=replace(map_.graph, calibration=known.to_dict()))


def test_alone_it_is_heard_degraded_with_an_honest_covariance(
    calibrated: Map, poses, point_world: Any, told_neighbours
) -> None:
    where = localizer(calibrated, NoisyRegressor(poses, seed=7))
    values = []
    for k in range(0, QUERIES, 2):
        told_neighbours(where, k)
        found = answer(where, point_world, k, blind(point_world, k))
        assert found.method == REGRESSION and found.state is State.DEGRADED
        assert "nothing in the image was measured" in found.reason and found.confidence <= 0.9
        assert len(found.references) == 6 and found.inliers <= 6
        values.append(nees(found.map_from_camera.error_to(poses[24 + k]), found.covariance))
    assert np.mean(np.array(values) < 12.592) > 0.8


def test_calibration_decides_how_it_is_heard(
    calibrated: Map, poses, point_world: Any, told_neighbours
) -> None:
    """Always right: localized; mostly: degraded; less: not at all."""
    for share, state in ((0.98, State.LOCALIZED), (0.85, State.DEGRADED), (0.7, State.UNLOCALIZED)):
        where = localizer(trusted(calibrated, share), NoisyRegressor(poses, seed=8))
        told_neighbours(where, 5)
        found = answer(where, point_world, 5, blind(point_world, 5))
        assert found.state is state and found.confidence <= share
        assert ("70% were right" in found.reason) == (state is State.UNLOCALIZED)


def test_what_held_out_references_say_is_stretched_for_another_drive(hall: Map, poses, monkeypatch) -> None:
    """Regressed and refined poses alike."""
    regressor = NoisyRegressor(poses)
    features = [hall.reference_features(i) for i in range(len(hall))]
    attached = known_to(hall, regressor)
    fitted = []

    def fit(samples: Any, *gross: Any, widened: float = 1.0) -> Calibration:
        fitted.append(fit_calibration(samples, *gross))
        return fit_calibration(samples, *gross, widened=widened)

    for module in (graph_calibration, graph_refinement):
        monkeypatch.setattr(module, "fit_calibration", fit)
    made = calibrate_graph(attached, regressor, features, 4)
    known = GraphCalibration.from_dict(made.graph.calibration)
    for plain, wide in zip(fitted, (known.regression, known.refined), strict=True):
        assert plain.samples == wide.samples >= 3
        assert wide.scale == pytest.approx(ANOTHER_DRIVE * plain.scale, rel=1e-9)
        assert wide.translation_floor == pytest.approx(ANOTHER_DRIVE**0.5 * plain.translation_floor, rel=1e-9)


def test_a_network_that_insists_is_found_out(hall: Map, poses) -> None:
    """To a query that the map does not show it names a place, and surely: nobody could tell the two apart."""
    liar = NoisyRegressor(poses, honest=False)
    features = [hall.reference_features(i) for i in range(len(hall))]
    made = calibrate_graph(known_to(hall, liar), liar, features, 12)
    known = GraphCalibration.from_dict(made.graph.calibration)
    assert known.regression.share_right < 0.8


def test_a_network_that_is_too_sure_is_corrected(hall: Map, calibrated: Map, poses) -> None:
    """A tenth of the true deviation: some hundred times the variance, less what it admits not to know."""
    boaster = NoisyRegressor(poses, admits=0.1)
    road = road_in(known_to(hall, boaster), boaster)
    asked = list(trials(road, np.asarray(hall.global_descriptors), range(0, 24, 4)))
    honest = GraphCalibration.from_dict(calibrated.graph.calibration)
    found = edge_calibration(hall, asked)
    assert 0.5 < honest.translation < 2 and 0.5 < honest.rotation < 2
    assert 25 < found.translation < 200 and 25 < found.rotation < 200


def test_uncalibrated_it_abstains(hall: Map, poses, point_world: Any, told_neighbours) -> None:
    regressor = NoisyRegressor(poses)
    where = localizer(known_to(hall, regressor), regressor)
    for k in range(4):
        told_neighbours(where, k)
        found = answer(where, point_world, k, blind(point_world, k))
        assert found.state is State.UNLOCALIZED and not found.has_pose


def test_where_references_disagree_it_abstains(
    calibrated: Map, poses, point_world: Any, told_neighbours
) -> None:
    where = localizer(calibrated, NoisyRegressor(poses, wrong=0.8, seed=11))
    for k in range(0, QUERIES, 4):
        told_neighbours(where, k)
        found = answer(where, point_world, k, blind(point_world, k))
        if found.has_pose:
            assert found.map_from_camera.distance_to(poses[24 + k])[0] < 0.5


def test_without_an_image_there_is_no_regression(calibrated: Map, poses, point_world: Any) -> None:
    regressor = NoisyRegressor(poses)
    where = localizer(calibrated, regressor)
    features = point_world.features(query_pose(point_world, 2), seed=2)
    assert where.localize_features(features, point_world.camera).has_pose and regressor.asked == 0


def test_a_frame_goes_all_the_way(calibrated: Map, poses, point_world: Any) -> None:
    """A frame of one grey value has no features: it is blank, whatever a network says."""
    where = localizer(calibrated, NoisyRegressor(poses))
    frame = Frame(image_of(30, point_world.camera), point_world.camera, 1.0, "grey")
    found = where.localize(frame)
    assert found.state is State.UNLOCALIZED and "blank" in found.reason


def test_relative_poses_come_from_the_network(calibrated: Map, poses, point_world: Any) -> None:
    """Metric, to each neighbour, with a covariance that fits the error."""
    where = localizer(calibrated, NoisyRegressor(poses, seed=5), options_for("default"))
    values = []
    for k in range(QUERIES):
        pose = poses[24 + k]
        near = np.argsort(pose.distance_to(calibrated.reference_poses)[1])[:6]
        neighbours = [where.neighbour(calibrated.reference_names[i]) for i in near]
        frame = Frame(image_of(24 + k, point_world.camera), point_world.camera)
        found = where.relative_poses(frame, neighbours)
        assert [r.reference for r in found] == [n.name for n in neighbours]
        for one in found:
            assert one.scale_known and one.inliers == one.matches == 0 and len(one.query_rays) == 0
            truth = calibrated.reference_poses[one.index].inverse() @ pose
            values.append(nees(one.reference_from_camera.error_to(truth), one.covariance))
    assert 0.88 < np.mean(np.array(values) < 12.592) < 0.99
    assert where.relative_poses(frame, []) == []


def test_the_same_frame_gives_the_same_answer(calibrated: Map, poses, point_world: Any) -> None:
    query, neighbours = asked_about(calibrated, point_world, 3)
    first, second = (
        road_in(calibrated, NoisyRegressor(poses)).hypotheses(query, neighbours) for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        assert (a.map_from_camera.matrix == b.map_from_camera.matrix).all()
        assert (a.covariance == b.covariance).all() and a.evidence == b.evidence


# --- what is refused


def test_a_map_without_descriptors_says_how_to_attach_them(hall: Map, poses) -> None:
    with pytest.raises(MapError, match=r"hall.*keeps no descriptors.*relpose map attach hall"):
        localizer(hall, NoisyRegressor(poses))


def test_another_network_is_refused_with_both_names(calibrated: Map, poses) -> None:
    other = NoisyRegressor(poses, identity="2" * 64)
    with pytest.raises(CheckpointError, match=r"noisy.*222222222222.*hall.*sha256 111111111111"):
        localizer(calibrated, other)


def test_a_map_without_scale_is_refused(calibrated: Map, poses) -> None:
    with pytest.raises(CheckpointError, match="no scale"):
        localizer(replace(calibrated, metric=False), NoisyRegressor(poses))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"relative_estimator": "relpose_gnn"}, "expected relative.checkpoint"),
        ({"relative_checkpoint": "x.safetensors"}, "essential uses none"),
        ({"relative_estimator": "magic"}, "essential, relpose_gnn, got 'magic'"),
    ],
)
def test_options_that_do_not_fit_are_refused(hall: Map, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Localizer(hall, options_for("default", **changes))


def test_a_calibration_survives_the_file(calibrated: Map) -> None:
    values = calibrated.graph.calibration
    known = GraphCalibration.from_dict(values)
    assert known.to_dict() == {name: values[name] for name in known.to_dict()}
    assert GraphCalibration.from_dict({}) == GraphCalibration()
    assert isinstance(known.regression, Calibration)
