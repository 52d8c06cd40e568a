"""The arbiter: every rule alone, with the words it gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from relpose_ros.geometry.rigid import Rigid
from relpose_ros.localization.arbiter import Arbiter, ArbiterOptions
from relpose_ros.localization.calibration import Calibration
from relpose_ros.types import Evidence, Hypothesis, State

OPTIONS = ArbiterOptions(min_inliers=12)
CALIBRATION = Calibration(scale=1.0, min_inliers=12)
GOOD = Evidence(inliers=100, matches=150, spread=0.5, residual_px=0.5, references=5, depth=5.0)


def hypothesis(
    method: str = "structure", translation_sigma: float = 0.01, rotation_sigma: float = 0.002, **evidence: Any
) -> Hypothesis:
    covariance = np.diag([translation_sigma**2] * 3 + [rotation_sigma**2] * 3)
    pose = Rigid(np.eye(3), np.array([1.0, 2, 3]))
    return Hypothesis(pose, covariance, replace(GOOD, **evidence), method, ("a.jpg", "b.jpg"))


def decide(*hypotheses: Hypothesis, calibration: Calibration = CALIBRATION):
    return Arbiter(calibration, OPTIONS).decide(list(hypotheses), "nothing was found")


def test_a_good_pose_is_localized() -> None:
    answer = decide(hypothesis())
    assert answer.state is State.LOCALIZED and answer.reason == ""
    assert (answer.method, answer.inliers, answer.references) == ("structure", 100, ("a.jpg", "b.jpg"))
    np.testing.assert_array_equal(answer.map_from_camera.translation, [1, 2, 3])
    np.testing.assert_array_equal(answer.covariance, CALIBRATION.covariance(hypothesis()))


def test_no_hypothesis_gives_the_reason_of_the_caller() -> None:
    answer = decide()
    assert answer.state is State.UNLOCALIZED and answer.reason == "nothing was found"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"scale_known": False}, "only a direction from one reference (a.jpg)"),
        ({"inliers": 11}, "11 of 150 matches agree on a pose by structure; 12 are needed"),
        ({"spread": 0.05}, "the matches cover 5% of the image"),
        ({"rival_inliers": 51}, "ambiguous: 100 matches speak for one place and 51 for another"),
        ({"translation_sigma": 1.0}, "position known to 1 map units (1 sigma); the limit is 0.75"),
        ({"rotation_sigma": 0.3}, "orientation known to 17 deg (1 sigma); the limit is 8.6"),
        ({"translation_sigma": np.nan}, "the geometry does not determine the pose"),
        ({"rotation_sigma": np.inf}, "the geometry does not determine the pose"),
    ],
)
def test_each_objection_has_its_words_and_no_pose(bad: dict[str, Any], reason: str) -> None:
    answer = decide(hypothesis(**bad))
    assert answer.state is State.UNLOCALIZED and reason in answer.reason
    assert answer.map_from_camera is None and answer.covariance is None and answer.confidence == 0


@pytest.mark.parametrize(
    ("doubtful", "reason"),
    [
        ({"inliers": 15}, "only 15 matches agree"),
        ({"translation_sigma": 0.3}, "position known to 0.3 map units"),
        ({"rotation_sigma": 0.1}, "orientation known to 5.7 deg"),
    ],
)
def test_a_doubtful_pose_is_degraded_and_says_why(doubtful: dict[str, Any], reason: str) -> None:
    answer = decide(hypothesis(**doubtful))
    assert answer.state is State.DEGRADED and reason in answer.reason
    assert answer.map_from_camera is not None and np.isfinite(answer.covariance).all()


def test_the_map_may_ask_for_more_than_the_options() -> None:
    strict = replace(CALIBRATION, min_inliers=60)
    assert "60 are needed" in decide(hypothesis(inliers=59), calibration=strict).reason
    assert decide(hypothesis(inliers=60), calibration=strict).has_pose


def test_the_relative_road_needs_more() -> None:
    """An epipolar line is easier to meet by chance than a point."""
    assert "36 are needed" in decide(hypothesis("relative", inliers=35)).reason
    assert decide(hypothesis("relative", inliers=36)).has_pose


def test_support_is_compared_in_the_same_money() -> None:
    """100 on lines are worth less than 40 on points."""
    answer = decide(hypothesis("relative", inliers=100), hypothesis("structure", inliers=40))
    assert answer.method == "structure"
    answer = decide(hypothesis("relative", inliers=400), hypothesis("structure", inliers=40))
    assert answer.method == "relative"


def test_the_second_best_is_taken_when_the_best_does_not_stand() -> None:
    answer = decide(hypothesis(inliers=100, spread=0.01), hypothesis("relative", inliers=90))
    assert answer.method == "relative" and answer.has_pose


def test_the_best_ones_objection_is_the_reason() -> None:
    answer = decide(hypothesis("relative", inliers=20), hypothesis(inliers=100, spread=0.01))
    assert "cover 1%" in answer.reason


@pytest.mark.parametrize("inliers", [(40, 100), (14, 400)])
def test_landmarks_and_relative_poses_that_both_stand_up_must_agree(inliers: tuple[int, int]) -> None:
    by_landmarks, by_pairs = hypothesis(inliers=inliers[0]), hypothesis("relative", inliers=inliers[1])
    assert decide(by_landmarks, by_pairs).has_pose
    elsewhere = replace(by_pairs, map_from_camera=Rigid(np.eye(3), np.array([1.0, 2, 3.5])))
    answer = decide(by_landmarks, elsewhere)
    assert answer.state is State.UNLOCALIZED
    assert answer.reason.startswith("ambiguous: ") and "speak for places 0.5 map units" in answer.reason
    vague = hypothesis("relative", inliers=inliers[1], translation_sigma=0.2)
    vague = replace(vague, map_from_camera=elsewhere.map_from_camera)
    assert decide(by_landmarks, vague).has_pose, "half a unit is within four of its deviations"
    assert decide(by_landmarks, replace(elsewhere, evidence=replace(GOOD, inliers=35))).has_pose, "chance"


def test_confidence_is_low_where_support_is() -> None:
    values = [decide(hypothesis(inliers=n)).confidence for n in (12, 15, 20, 40, 100)]
    assert values == sorted(values) and values[0] == pytest.approx(0.5) and values[-1] > 0.99


def test_a_rival_lowers_the_confidence() -> None:
    values = [decide(hypothesis(rival_inliers=n)).confidence for n in (0, 20, 50)]
    assert values[0] > values[1] > values[2] > 0


def at(x: float, **evidence: Any) -> Hypothesis:
    """A hypothesis whose place looks like another."""
    guess = hypothesis(rival_place="c.jpg", rival_inliers=80, **evidence)
    return replace(guess, map_from_camera=Rigid(np.eye(3), np.array([x, 2, 3])))


def test_places_that_look_alike_are_named_and_none_is_published() -> None:
    answer = decide(at(1.0), at(5.0, inliers=50), at(5.01, inliers=40))
    assert answer.state is State.UNLOCALIZED
    assert answer.reason.startswith(
        "ambiguous: 100 matches speak for the place of a.jpg and 80 for that of c.jpg"
    )
    assert [a.map_from_camera.translation[0] for a in answer.alternatives] == [1.0, 5.0], "one of each place"
    assert [a.share for a in answer.alternatives] == pytest.approx([2 / 3, 1 / 3])


def test_one_place_alone_is_no_choice() -> None:
    assert decide(at(1.0), at(5.0, inliers=5)).alternatives == ()


def test_scene_coordinates_do_not_settle_what_landmarks_cannot() -> None:
    scene = hypothesis("scene_coordinates")
    assert decide(scene).state is State.LOCALIZED
    answer = decide(scene, at(1.0))
    assert answer.state is State.UNLOCALIZED
    assert answer.reason.startswith("ambiguous")
    assert decide(scene, at(1.0, inliers=3)).state is State.LOCALIZED, "too weak to mean anything"


# --- regression: heard last


def regressed(method: str = "regression", x: float = 1.0, **evidence: Any) -> Hypothesis:
    told = hypothesis(method, **{"inliers": 6, "matches": 7, "spread": 1.0, "depth": 3.0, **evidence})
    return replace(told, map_from_camera=Rigid(np.eye(3), np.array([x, 2, 3])))


def decide_with(*hypotheses: Hypothesis, share_right: float = 0.9):
    known = Calibration(scale=1.0, min_inliers=4, samples=40, share_right=share_right)
    refined = Calibration(scale=1.0, min_inliers=20, samples=40)
    arbiter = Arbiter(CALIBRATION, OPTIONS, {"regression": known, "regression_refined": refined})
    return arbiter.decide(list(hypotheses), "nothing was found")


@pytest.mark.parametrize("method", ["structure", "relative", "scene_coordinates", "regression_refined"])
def test_regression_overrules_nobody_who_stands_up(method: str) -> None:
    """However sure it is, and wherever it says that the camera is."""
    measured = hypothesis(method, inliers=60)
    sure = regressed(x=9.0, translation_sigma=1e-4, rotation_sigma=1e-4, inliers=7)
    for order in ((measured, sure), (sure, measured)):
        answer = decide_with(*order, share_right=1.0)
        assert answer.method == method and answer.map_from_camera is measured.map_from_camera


def test_refined_regression_overrules_no_match_but_casts_doubt() -> None:
    measured = hypothesis(inliers=40)
    there = regressed("regression_refined", x=9.0, inliers=400, matches=400)
    answer = decide_with(measured, there)
    assert (
        answer.method == "structure"
        and answer.state is State.DEGRADED
        and "regression_refined" in answer.reason
    )
    here = regressed("regression_refined", x=1.0, inliers=400, matches=400)
    assert decide_with(measured, here).state is State.LOCALIZED
    alone = decide_with(hypothesis(inliers=5), here)
    assert alone.method == "regression_refined" and alone.state is State.LOCALIZED


def test_regression_alone_is_degraded_unless_calibration_trusts_it() -> None:
    for share, state in ((1.0, State.LOCALIZED), (0.9, State.DEGRADED), (0.5, State.UNLOCALIZED)):
        assert decide_with(regressed(), share_right=share).state is state
    few = decide_with(regressed(inliers=4), share_right=1.0)
    assert few.state is State.DEGRADED and "regressed from 4 references" in few.reason
    assert decide_with(regressed(inliers=3)).reason == (
        "regressed poses from 3 of 7 references agree; 4 are needed"
    )
    assert decide_with(regressed(), share_right=0.9).confidence <= 0.9


def test_refined_needs_what_the_map_asks_of_matches() -> None:
    """Its own calibration asks for 20; the map knows that chance gives more."""
    own = {"regression_refined": Calibration(scale=1.0, min_inliers=20, samples=40)}
    arbiter = Arbiter(replace(CALIBRATION, min_inliers=60), OPTIONS, own)
    few, enough = (regressed("regression_refined", inliers=n, matches=100) for n in (59, 60))
    assert "60 are needed" in arbiter.decide([few], "").reason
    assert arbiter.decide([enough], "").has_pose
    own["regression_refined"] = replace(own["regression_refined"], min_inliers=80)
    assert "80 are needed" in arbiter.decide([enough], "").reason


def test_regression_does_not_decide_what_landmarks_cannot() -> None:
    torn = hypothesis(inliers=40, rival_inliers=35)
    twins = at(1.0, inliers=40)
    refined = regressed("regression_refined", inliers=400, matches=400)
    for doubtful in (torn, twins):
        for said in (regressed(), refined):
            answer = decide_with(doubtful, said, share_right=1.0)
            assert answer.state is State.UNLOCALIZED and "ambiguous" in answer.reason
    noise = hypothesis(inliers=6, rival_inliers=5)
    assert decide_with(noise, regressed()).method == "regression"


def test_the_reason_is_that_of_who_measured() -> None:
    answer = decide_with(hypothesis(inliers=8), regressed(inliers=2))
    assert "8 of 150 matches agree on a pose by structure" in answer.reason
