"""The road of scene coordinates, alone and beside the others."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from analytic_room import CAMERA, HALF, RoomPredictor, viewpoint  # type: ignore[import-not-found]

from relpose_ros.checkpoints.scene import SceneInfo
from relpose_ros.datasets.base import PosedImage
from relpose_ros.errors import CheckpointError, DatasetError
from relpose_ros.localization.arbiter import Arbiter, ArbiterOptions
from relpose_ros.localization.calibration import Calibration, Sample
from relpose_ros.localization.localizer import Localizer
from relpose_ros.localization.options import options_for
from relpose_ros.localization.scene_calibration import calibrate_scene, check_units, coverage, shuffled
from relpose_ros.localization.scene_coordinates import SceneLocalizer
from relpose_ros.localization.scene_road import SceneOptions, SceneRoad
from relpose_ros.types import Frame, State

BLANK = Frame(np.zeros((240, 320), np.uint8), CAMERA, 12.5, "blank")


def localize(**room):
    predictor = RoomPredictor(viewpoint(1), seed=1, **room)
    return SceneLocalizer(predictor).localize(BLANK), predictor


@pytest.mark.parametrize("room", [{}, {"correlation": 2.0}, {"admits": None}, {"outliers": 0.6}])
def test_a_frame_is_localized_without_a_map(room) -> None:
    answer, predictor = localize(**room)
    assert answer.state is State.LOCALIZED and answer.method == "scene_coordinates"
    distance, angle = answer.map_from_camera.distance_to(predictor.pose)
    assert distance < 0.05 and angle < 0.02
    assert answer.references == () and (answer.source, answer.stamp) == ("blank", 12.5)
    assert {"coordinates", "scene", "total"} <= answer.latency_ms.keys()
    matches = answer.matches
    assert 0 < len(matches.pixels) == len(matches.points) == len(matches.inlier) <= 500
    assert matches.inlier.mean() == pytest.approx(1 - room.get("outliers", 0), abs=0.1)


def test_evidence_is_in_the_query_and_speaks_of_the_training_cameras() -> None:
    predictor = RoomPredictor(viewpoint(1), seed=1)
    (found,) = SceneRoad(predictor).hypotheses(BLANK)
    evidence = found.evidence
    assert evidence.matches == 75 and evidence.inliers >= 74 and evidence.spread == 1
    assert evidence.view_change < 0.02 and 1 < evidence.depth < 6 and not evidence.objection
    assert evidence.residual_angle * CAMERA.focal == pytest.approx(evidence.residual_px)
    away = replace(predictor, scene=replace(predictor.scene, views=((9.0, 9.0, 9.0, 0.0, 0.0, 1.0),)))
    (far,) = SceneRoad(away).hypotheses(BLANK)
    assert far.evidence.view_change > 2


@pytest.mark.parametrize(
    ("room", "says"),
    [
        ({"shift": (1.0, 0.0, 0.0), "shifted": 0.5}, "ambiguous"),
        ({"shift": (30.0, 0.0, 0.0), "shifted": 1.0}, "outside the scene"),
        ({"outliers": 1.0}, "it shows something else"),
        ({"outliers": 0.93}, "needed"),
    ],
)
def test_abstentions_have_their_reason(room, says) -> None:
    answer, _ = localize(**room)
    assert answer.state is State.UNLOCALIZED and says in answer.reason and not answer.has_pose


def test_sampling_alone_ends_in_abstention() -> None:
    """Where nothing is looked for in what is left over, samples still find the second place."""
    refused = 0
    for seed in range(4):
        room = RoomPredictor(viewpoint(seed), seed=seed, shift=(1.0, 0.0, 0.0), shifted=0.5)
        (found,) = SceneRoad(room).hypotheses(BLANK)
        refused += found.evidence.rival_inliers > 0.5 * found.evidence.inliers
    assert refused == 4


def test_a_portrait_and_a_distorted_camera() -> None:
    from relpose_ros.geometry.cameras import Camera

    camera = Camera("plumb_bob", 255.0, 262.0, 121.0, 158.0, 240, 320, (-0.15, 0.04, 1e-3, 0.0))
    predictor = RoomPredictor(viewpoint(2), seed=2)
    answer = SceneLocalizer(predictor).localize(Frame(np.zeros((320, 240), np.uint8), camera))
    assert answer.has_pose and answer.map_from_camera.distance_to(predictor.pose)[0] < 0.03


def test_large_coordinates() -> None:
    origin = (500_000.0, 4_000_000.0, 200.0)
    room = RoomPredictor(viewpoint(1), seed=1)
    far = replace(room, scene=replace(room.scene, origin=origin))
    here, there = (SceneLocalizer(p).localize(BLANK) for p in (room, far))
    assert np.allclose(
        there.map_from_camera.translation - origin, here.map_from_camera.translation, atol=1e-6
    )


def test_the_same_frame_gives_the_same_answer() -> None:
    first, second = (localize(outliers=0.5)[0] for _ in range(2))
    assert (first.map_from_camera.matrix == second.map_from_camera.matrix).all()
    assert (first.covariance == second.covariance).all()


# --- beside the other roads


@pytest.fixture(scope="module")
def drive(point_world):
    """A pose in the hall of points and its features."""
    pose = point_world.pose(0.3, 0.5, 0.2)
    return pose, point_world.features(pose, seed=7)


def hall_scene(pose, **room) -> RoomPredictor:
    """A scene network in the frame of the hall: coordinates seen from `pose`, in the middle of the hall."""
    predictor = RoomPredictor(pose, seed=1, **room)
    return replace(predictor, scene=replace(predictor.scene, views=()))


def both(hall, drive, predictor):
    localizer = Localizer(hall, scene=predictor)
    _, features = drive
    return localizer.localize_features(features, CAMERA_OF_HALL, localizer._by_scene(FRAME_OF_HALL))


CAMERA_OF_HALL = CAMERA
FRAME_OF_HALL = BLANK


@pytest.fixture(autouse=True)
def _camera_of_the_hall(point_world, monkeypatch):
    monkeypatch.setitem(globals(), "CAMERA_OF_HALL", point_world.camera)
    frame = Frame(np.zeros((240, 320), np.uint8), point_world.camera)
    monkeypatch.setitem(globals(), "FRAME_OF_HALL", frame)


def test_agreement_gives_the_smaller_covariance(hall, drive) -> None:
    pose, features = drive
    alone = Localizer(hall).localize_features(features, CAMERA_OF_HALL)
    assert alone.method == "structure"
    sharp = both(hall, drive, hall_scene(pose, sigma=0.001))
    vague = both(hall, drive, hall_scene(pose, sigma=0.15, correlation=2.0, admits=0.15))
    assert sharp.method == "scene_coordinates" and vague.method == "structure"
    assert np.linalg.slogdet(sharp.covariance)[1] < np.linalg.slogdet(alone.covariance)[1]
    assert (vague.covariance == alone.covariance).all()


def test_contradiction_ends_in_abstention(hall, drive) -> None:
    pose, _ = drive
    elsewhere = replace(pose, translation=pose.translation + np.array([1.5, 0.0, 0.0]))
    answer = both(hall, drive, hall_scene(elsewhere))
    assert answer.state is State.UNLOCALIZED
    assert "ambiguous: structure and scene_coordinates speak for places 1.5" in answer.reason


def test_a_road_that_does_not_stand_up_has_no_say(hall, drive) -> None:
    pose, _ = drive
    answer = both(hall, drive, hall_scene(pose, outliers=1.0))
    assert answer.method == "structure"
    ambiguous = both(hall, drive, hall_scene(pose, shift=(1.0, 0.0, 0.0), shifted=0.5))
    assert ambiguous.method == "structure"


def test_where_there_are_no_features_the_scene_answers(hall, drive) -> None:
    pose, _ = drive
    localizer = Localizer(hall, scene=hall_scene(pose))
    answer = localizer.localize(FRAME_OF_HALL)
    assert answer.method == "scene_coordinates" and {"extract", "coordinates"} <= answer.latency_ms.keys()
    assert Localizer(hall).localize(FRAME_OF_HALL).state is State.UNLOCALIZED


def test_each_road_has_its_own_calibration(hall, drive) -> None:
    pose, _ = drive
    scene = hall_scene(pose, sigma=0.001)
    wide = replace(scene, scene=replace(scene.scene, calibration=Calibration(scale=1e6).to_dict()))
    assert both(hall, drive, wide).method == "structure"
    strict = replace(scene, scene=replace(scene.scene, calibration=Calibration(min_inliers=76).to_dict()))
    localizer = Localizer(hall, scene=strict)
    answer = localizer.localize(FRAME_OF_HALL)
    assert answer.state is State.UNLOCALIZED and "76 are needed" in answer.reason


def test_support_is_compared_as_a_multiple_of_what_is_needed(hall, drive) -> None:
    """A reason is that of the road which came nearer to being believed."""
    pose, _ = drive
    (found,) = SceneRoad(hall_scene(pose)).hypotheses(FRAME_OF_HALL)
    few = replace(found, evidence=replace(found.evidence, inliers=4))
    other = replace(found, method="structure", evidence=replace(found.evidence, inliers=6))
    arbiter = Arbiter(Calibration(min_inliers=30), ArbiterOptions(), {few.method: Calibration(min_inliers=5)})
    assert "by scene_coordinates; 15 are needed" in arbiter.decide([other, few], "").reason


# --- what does not fit is refused


def test_another_unit_is_refused_with_both_names(hall, drive) -> None:
    scene = hall_scene(drive[0])
    with pytest.raises(CheckpointError, match=r"room\.safetensors.*without scale.*hall.*in metres"):
        Localizer(hall, scene=replace(scene, scene=replace(scene.scene, metric=False)))


def test_another_frame_is_refused_with_both_names(hall, drive) -> None:
    scene = hall_scene(drive[0])
    with pytest.raises(CheckpointError, match=r"room\.safetensors.*hall.*frames differ"):
        Localizer(hall, scene=replace(scene, scene=replace(scene.scene, origin=(500.0, 0.0, 0.0))))


def test_a_checkpoint_of_no_scene_is_refused(hall, foreign_checkpoint) -> None:
    with pytest.raises(CheckpointError, match="knows a scene"):
        Localizer(hall, options_for("default", scene=foreign_checkpoint))
    with pytest.raises(CheckpointError, match="knows a scene"):
        SceneLocalizer(foreign_checkpoint)


# --- calibration


class Wandering(RoomPredictor):  # type: ignore[misc]
    """A room in which every image has its own pose: number n is seen from `viewpoint(n)`."""

    def predict(self, image, camera):
        return (
            replace(self, pose=viewpoint(int(image[0, 0])), seed=int(image[0, 0]))
            .room()
            .predict(image, camera)
        )

    def room(self):
        return RoomPredictor(**{name: getattr(self, name) for name in self.__dataclass_fields__})


def images(numbers) -> list[PosedImage]:
    return [
        PosedImage(f"{n}", CAMERA, viewpoint(n), "query", partial(np.full, (240, 320), n, np.uint8), float(n))
        for n in numbers
    ]


def samples(predictor, numbers) -> list[Sample]:
    options = SceneOptions(sampling=replace(SceneOptions().sampling, count=0))
    road = SceneRoad(predictor, options)
    found = [(road.hypotheses(i.frame()), i.map_from_camera) for i in images(numbers)]
    return [Sample(h, truth) for hypotheses, truth in found for h in hypotheses]


QUICK = options_for("fast")


@pytest.mark.parametrize("noise", [{"correlation": 0.0}, {"correlation": 2.0, "admits": None}])
def test_after_calibration_fresh_frames_are_covered(noise) -> None:
    predictor = Wandering(viewpoint(0), **{"sigma": 0.02, **noise})
    found = calibrate_scene(predictor, images(range(30)), options=QUICK)
    fresh = samples(predictor, range(100, 130))
    assert found.usable == found.tried == 30 and found.wrong == 0
    assert coverage(found.calibration, fresh) >= 0.86
    assert 0.8 <= found.coverage_after <= 1
    # Covered, and not by being vague: the prior's floor is several centimetres here.
    sigma = [np.sqrt(np.diag(found.calibration.covariance(s.hypothesis))[:3].max()) for s in fresh]
    errors = [np.linalg.norm(s.error[:3]) for s in fresh]
    assert np.median(sigma) < 3 * np.median(errors)


def test_chance_sets_what_is_needed() -> None:
    predictor = Wandering(viewpoint(0))
    found = calibrate_scene(predictor, images(range(12)), options=QUICK)
    assert 8 <= found.calibration.min_inliers < 40
    # A network that is as sure of another place as of its own is of no use.
    with pytest.raises(DatasetError, match="113 patches of cells are needed"):
        calibrate_scene(predictor, images(range(12)), outside=images([3]), options=QUICK)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DatasetError, match="at least 10"):
        calibrate_scene(Wandering(viewpoint(0)), images(range(5)), options=QUICK)


def test_units_must_be_those_of_the_scene(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="without scale"):
        check_units(SceneInfo(), tmp_path / "a.safetensors", False, tmp_path)
    check_units(SceneInfo(), tmp_path / "a.safetensors", True, tmp_path)


def test_shuffled_maps_keep_their_cells_and_lose_their_place() -> None:
    cells = RoomPredictor(viewpoint(0)).predict(None, CAMERA)
    mixed = shuffled(cells, 0)
    assert sorted(mixed.points[:, 0]) == sorted(cells.points[:, 0])
    assert (mixed.points != cells.points).any(axis=1).mean() > 0.5
    assert np.abs(cells.points).max() < HALF.max() + 1
