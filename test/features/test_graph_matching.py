"""The robot's matcher: batches, cutting, the dial of iterations, the early end, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from drawn_matchers import SIZE, drawn_checkpoint, invented  # type: ignore[import-not-found]

from relpose_ros.errors import CheckpointError, ConfigurationError
from relpose_ros.features.graph_matching import GraphMatcher, MatchedImage
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.geometry.robust import RansacOptions
from relpose_ros.geometry.two_view import robust_estimator


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], GraphMatcher]:
    """Matchers whose layers do something: a match depends on everything else in both images."""

    def make(name: str) -> GraphMatcher:
        path = tmp_path_factory.mktemp("drawn") / "net.safetensors"
        return GraphMatcher(drawn_checkpoint(path, name))

    return make


@pytest.mark.parametrize("name", ["imp.gm", "imp.dgnns", "imp.adagmn"])
def test_a_batch_says_what_one_by_one_says(drawn: Any, name: str):
    matcher = drawn(name)
    query = invented(300, 200, 1)
    references = [invented(n, 150, seed) for seed, n in ((2, 290), (3, 0), (4, 200), (5, 290))]
    together = matcher.match(query, references)
    for reference, found in zip(references, together, strict=True):
        (alone,) = matcher.match(query, [reference])
        np.testing.assert_array_equal(found.pairs, alone.pairs)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-4)
        assert (found.scores > matcher.threshold).all()
    assert [len(m.pairs) > 80 for m in together] == [True, False, True, True]


@pytest.mark.parametrize("name", ["imp.dgnns", "imp.adagmn"])
def test_it_is_the_network_of_the_checkpoint(drawn: Any, name: str):
    """The forward pass of the network, on keypoints and scores normalised here; EIMP where it drops none."""
    matcher = drawn(name)
    query, reference = invented(120, 90, 1), invented(100, 80, 2)
    (found,) = matcher.match(query, [reference])

    def tensors(image: MatchedImage) -> list[torch.Tensor]:
        centred = (image.keypoints - [160, 120]) / (0.7 * 320)
        rank = 1 - np.arange(len(centred)) / len(centred)
        return [torch.from_numpy(a.astype(np.float32))[None] for a in (centred, rank, image.descriptors)]

    (k0, s0, d0), (k1, s1, d1) = tensors(query), tensors(reference)
    with torch.inference_mode():
        partner, scores, _ = matcher.network(k0, k1, s0, s1, d0, d1)
    matched = np.flatnonzero(partner[0].numpy() >= 0)
    np.testing.assert_array_equal(found.pairs, np.stack([matched, partner[0].numpy()[matched]], axis=1))
    np.testing.assert_allclose(found.scores, scores[0].numpy()[matched], atol=1e-5)


def test_one_threads_limit_is_put_back(nearest_matcher: Path):
    before = torch.get_num_threads()
    GraphMatcher(nearest_matcher, threads=before + 1).match(invented(10, 5), [invented(12, 5)])
    assert torch.get_num_threads() == before and torch.is_grad_enabled()


def test_too_many_keypoints_are_cut_those_on_landmarks_last(nearest_matcher: Path):
    matcher = GraphMatcher(nearest_matcher, keypoints=60)
    query, plain = invented(100, 100, 1), invented(100, 100, 2)
    (found,) = matcher.match(query, [plain])
    assert found.pairs[:, 0].max() == 59 and found.pairs[:, 1].max() == 59
    np.testing.assert_array_equal(found.pairs[:, 0], found.pairs[:, 1])
    landmarks = np.arange(100) % 4 == 3
    preferring = MatchedImage(plain.keypoints, plain.descriptors, SIZE, landmarks)
    chosen = preferring.chosen(60)
    assert landmarks[chosen].sum() == 25 and (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen[~landmarks[chosen]], np.flatnonzero(~landmarks)[:35])
    np.testing.assert_allclose(preferring.scored(chosen).scores, 1 - chosen / 100, rtol=1e-6)
    (found,) = matcher.match(query, [preferring])
    np.testing.assert_array_equal(found.pairs[:, 0], found.pairs[:, 1])
    assert set(found.pairs[:, 1]) == set(chosen) & set(range(60))


@pytest.mark.parametrize(("asked", "done"), [(1, 1), (4, 4), (None, 6), (99, 6)])
def test_iterations_are_a_dial(nearest_matcher: Path, monkeypatch: pytest.MonkeyPatch, asked: Any, done: int):
    matcher = GraphMatcher(nearest_matcher, iterations=asked)
    steps = []
    real = matcher.network.step
    monkeypatch.setattr(matcher.network, "step", lambda state: (steps.append(state), real(state))[1])
    (found,) = matcher.match(invented(80, 60, 1), [invented(80, 60, 2)])
    assert len(steps) == done == matcher.iterations
    np.testing.assert_array_equal(found.pairs, np.repeat(np.arange(60)[:, None], 2, axis=1))
    posed = matcher.match_until_posed(invented(80, 60, 1), invented(80, 60, 2), lambda *_: None)
    assert posed.iterations == done and posed.matches == len(posed.pairs) == 60


def test_eimp_takes_keypoints_out(make_matcher: Any, monkeypatch: pytest.MonkeyPatch):
    path = make_matcher(n_min_tokens=30)
    matcher = GraphMatcher(path)
    seen: list[int] = []
    real = matcher.network.step
    monkeypatch.setattr(matcher.network, "step", lambda s: (seen.append(s.descriptors0.shape[2]), real(s))[1])
    (found,) = matcher.match(invented(300, 60, 1), [invented(280, 60, 2)])
    assert seen[:4] == [300] * 4 and seen[4] < 290
    np.testing.assert_array_equal(found.pairs, np.repeat(np.arange(60)[:, None], 2, axis=1))


def test_it_ends_when_the_pose_stands_still(make_matcher: Any, point_world: Any):
    matcher = GraphMatcher(make_matcher("imp.dgnns", iterations=12))
    pose, camera = point_world.pose(0.0, 0.0, 2.0), point_world.camera
    moved = Rigid.from_rotation_vector([0, 0.1, 0], [0.6, 0.0, 0.2])
    sides = [point_world.features(p, seed=i) for i, p in enumerate((pose, pose @ moved))]
    first, second = (MatchedImage(f.keypoints, f.descriptors, SIZE) for f in sides)
    estimate = robust_estimator(camera, camera, RansacOptions(1.5, 50, 1000, 0))
    found = matcher.match_until_posed(first, second, estimate)
    assert found.iterations == 6, "poses are tried after 4 and 6"
    assert 60 < len(found.pairs) <= found.matches
    unlike = MatchedImage(first.keypoints[::-1].copy(), invented(len(first.keypoints)).descriptors, SIZE)
    lost = matcher.match_until_posed(first, unlike, estimate)
    assert lost.iterations == 12 and len(lost.pairs) < 5


def test_what_is_no_matcher_is_refused(foreign_checkpoint: Path, nearest_matcher: Path, tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"imp\.dgnns.*one_to_one\.eot_21"):
        GraphMatcher(foreign_checkpoint)
    with pytest.raises(CheckpointError, match="found no file"):
        GraphMatcher(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match=r"sift with 128 numbers.*imp\.adagmn for 64"):
        GraphMatcher(nearest_matcher).check_fits("sift", 128)
    GraphMatcher(nearest_matcher).check_fits("sift", 64)
    for wrong in ({"iterations": 0}, {"threshold": 1.5}, {"keypoints": 0}):
        with pytest.raises(ConfigurationError, match="a matcher takes"):
            GraphMatcher(nearest_matcher, **wrong)
