"""The loop of matching and pose: when it stops, what it returns, and what EIMP drops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_ros.features.iterative_matching import (
    IterativeOptions,
    ScoredKeypoints,
    match_iteratively,
)
from relpose_ros.geometry.cameras import Camera
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RobustPose
from relpose_ros.geometry.two_view import robust_estimator
from relpose_ros.networks.imp.adagmn import AdaGMN
from relpose_ros.networks.imp.dgnns import DGNNS

CAMERA = Camera("pinhole", 500.0, 500.0, 320.0, 240.0, 640, 480)
POSE = Rigid.from_rotation_vector([0.02, -0.1, 0.05], np.array([0.8, -0.2, 0.1]) / np.sqrt(0.69))
SHARED = 60


def matcher(kind=DGNNS, **parameters):
    """A network that matches equal descriptors: its layers change them a little, the projection scales."""
    torch.manual_seed(0)
    network = kind(iterations=7, descriptor_size=32, **parameters)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("mlp.3.weight") or name == "kenc.encoder.12.weight":
                value.mul_(0.05)
            if name.startswith("final_proj"):
                value.copy_(30 * torch.eye(32)[..., None] if value.ndim == 3 else torch.zeros(32))
        network.bin_score.fill_(8.0)
    return network.eval()


def images(seed=0, own=(30, 20)):
    """60 points that both images see (in another order in the second), and some that only one has."""
    generator = np.random.default_rng(seed)
    local = generator.uniform([-1.5, -1.2, 3], [1.5, 1.2, 8], (SHARED, 3))
    pixels = CAMERA.project(local), CAMERA.project(POSE.apply(local))
    common = generator.normal(size=(SHARED, 32))
    order = generator.permutation(SHARED + own[1])
    made = []
    for side in (0, 1):
        extra = generator.uniform([0, 0], [639, 479], (own[side], 2))
        keypoints = np.concatenate([pixels[side], extra])
        descriptors = np.concatenate([common, generator.normal(size=(own[side], 32))])
        descriptors /= np.linalg.norm(descriptors, axis=1, keepdims=True)
        scores = generator.uniform(0.1, 1, len(keypoints))
        columns = [np.asarray(a, np.float32) for a in (keypoints, scores, descriptors)]
        if side:
            columns = [a[order] for a in columns]
        made.append(ScoredKeypoints(columns[0], columns[1], columns[2], (640, 480)))
    return made[0], made[1], np.argsort(order)[:SHARED]


class Poses:
    """An estimator that answers from a list of turns in degrees (the last for ever); None: no pose."""

    def __init__(self, *turns, inlier_share=1.0):
        self.turns, self.share, self.calls = list(turns), inlier_share, 0

    def __call__(self, first, second):
        assert len(first) == len(second)
        turn = self.turns[min(self.calls, len(self.turns) - 1)]
        self.calls += 1
        if turn is None:
            return None
        pose = Rigid.from_rotation_vector([0, 0, np.radians(turn)], [1, 0, 0])
        return RobustPose(pose, np.arange(len(first)) < self.share * len(first))


@pytest.mark.parametrize("kind", [DGNNS, AdaGMN])
def test_true_matches_and_pose_with_the_robots_estimator(kind):
    first, second, partner = images()
    network = matcher(kind, **({"n_min_tokens": 16} if kind is AdaGMN else {}))
    found = match_iteratively(network, first, second, robust_estimator(CAMERA, CAMERA))
    assert found.converged and found.iterations == 6
    assert np.degrees(found.pose.distance_to(POSE)[1]) < 0.1
    assert len(found.pairs) > 50 and len(found.scores) == len(found.pairs)
    assert (partner[found.pairs[:, 0]] == found.pairs[:, 1]).all()
    assert (found.scores > 0.1).all()


@pytest.mark.parametrize(
    ("turns", "iterations", "converged"),
    [
        ((5,), 6, True),  # tried after 4 and 6: equal
        ((5, 6.4), 6, True),
        ((5, 7, 8), 7, True),
        ((5, 7, 9), 7, False),
        ((5, None, 5), 7, False),  # the last pose is forgotten
        ((None,), 7, False),
    ],
)
def test_stops_when_two_poses_in_a_row_agree(turns, iterations, converged):
    first, second, _ = images()
    found = match_iteratively(matcher(), first, second, Poses(*turns))
    assert (found.iterations, found.converged) == (iterations, converged)
    assert [a.iterations for a in found.attempts] == [4, 6, 7][: len(found.attempts)]


def test_never_stops_if_told_so():
    first, second, _ = images()
    found = match_iteratively(matcher(), first, second, Poses(5), IterativeOptions(stop_angle_deg=None))
    assert found.iterations == 7 and not found.converged
    assert found.pose is not None and found.pose.angle == pytest.approx(np.radians(5))


def test_a_translation_that_turns_is_no_agreement():
    first, second, _ = images()
    answers = iter([[1, 0, 0], [-1, 0, 0], [1, 0, 0], [1, 0, 0]])

    def estimate(a, _):
        return RobustPose(Rigid(np.eye(3), np.array(next(answers), float)), np.ones(len(a), bool))

    assert not match_iteratively(matcher(), first, second, estimate).converged


def test_when_it_stops_only_inliers_are_matches():
    first, second, _ = images()
    found = match_iteratively(matcher(), first, second, Poses(5, inlier_share=0.5))
    assert found.converged and len(found.pairs) == pytest.approx(found.attempts[-1].matches / 2, abs=1)


def test_with_few_matches_no_pose_is_tried():
    first, second, _ = images()
    estimate = Poses(5)
    found = match_iteratively(matcher(), first, second, estimate, IterativeOptions(min_matches=200))
    assert [a.result for a in found.attempts] == [None] * 3
    assert estimate.calls == 1  # of the final matches
    assert not found.converged


def test_the_thresholds_are_used():
    first, second, _ = images()
    loose = match_iteratively(matcher(), first, second, Poses(5, 50, 100))
    options = IterativeOptions(match_threshold=0.99, final_threshold=0.999, min_matches=1)
    strict = match_iteratively(matcher(), first, second, Poses(5, 50, 100), options)
    assert strict.attempts[0].matches < loose.attempts[0].matches
    assert len(strict.pairs) < len(loose.pairs) and (strict.scores > 0.999).all()
    assert (loose.scores > 0.2).all()


def test_eimp_drops_keypoints_and_still_names_the_original_ones():
    first, second, partner = images()
    network = matcher(AdaGMN, n_min_tokens=16)
    found = match_iteratively(network, first, second, Poses(5, 50, 100))
    for kept, image in zip(found.kept, (first, second), strict=True):
        assert 0 < len(kept) < len(image.keypoints)
        assert len(set(kept.tolist())) == len(kept)
    assert set(found.pairs[:, 0]) <= set(found.kept[0]) and set(found.pairs[:, 1]) <= set(found.kept[1])
    shared = found.pairs[found.pairs[:, 0] < SHARED]
    assert len(shared) > 40 and len(shared) > 0.9 * len(found.pairs)
    assert (partner[shared[:, 0]] == shared[:, 1]).all()


def test_a_pose_with_few_inliers_drops_fewer_keypoints(monkeypatch):
    first, second, _ = images()
    network = matcher(AdaGMN, n_min_tokens=16)
    thresholds = []
    pool = AdaGMN.pool

    def recorded(self, state, assignment, threshold=None):
        thresholds.append(threshold)
        return pool(self, state, assignment, threshold)

    monkeypatch.setattr(AdaGMN, "pool", recorded)
    for share in (1.0, 0.5):
        match_iteratively(network, first, second, Poses(5, 50, 100, inlier_share=share))
    assert thresholds == pytest.approx([0.2, 0.2, 0.1, 0.1], abs=0.004)
    thresholds.clear()
    match_iteratively(network, first, second, Poses(None))
    assert not thresholds  # without a pose nothing is dropped


def test_the_published_layout_changes_what_the_network_sees():
    first, second, _ = images()
    ours, published = (
        match_iteratively(
            matcher(), first, second, Poses(5, 50, 100), IterativeOptions(layout_bug_compat=compat)
        )
        for compat in (False, True)
    )
    assert not np.array_equal(ours.scores, published.scores)


def test_images_without_keypoints_have_no_matches():
    first, second, _ = images()
    empty = ScoredKeypoints(
        np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros((0, 32), np.float32), (640, 480)
    )
    for a, b in ((first, empty), (empty, second), (empty, empty)):
        found = match_iteratively(matcher(), a, b, Poses(5))
        assert found.pairs.shape == (0, 2) and found.pose is None and not found.converged


def test_a_network_in_train_mode_is_refused():
    first, second, _ = images()
    with pytest.raises(ConfigurationError, match=r"network\.eval"):
        match_iteratively(matcher().train(), first, second, Poses(5))
