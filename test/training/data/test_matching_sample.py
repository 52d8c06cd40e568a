"""Training samples: true pairs, honest negatives, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import DatasetError
from relpose_ros.geometry.rigid import Rigid
from relpose_training.data.matching_sample import (
    SampleOptions,
    choose_keypoints,
    draw_pairs,
    matching_sample,
)
from relpose_training.data.megadepth_dump import DumpedImage
from relpose_training.data.reprojection_matches import reprojection_matches

K = np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])
SECOND_FROM_FIRST = Rigid.from_rotation_vector([0.02, -0.1, 0.05], [0.7, 0.1, 0.2])


def image(points, camera_from_world, name):
    local = camera_from_world.apply(points)
    pixels = local @ K.T
    keypoints = (pixels[:, :2] / pixels[:, 2:]).astype(np.float32)
    count = np.arange(len(points), dtype=np.float32)
    descriptors = np.repeat(count[:, None], 4, axis=1)
    return DumpedImage(keypoints, local[:, 2], K, camera_from_world, name, count, descriptors, (640, 480))


@pytest.fixture(scope="module")
def dumped():
    """60 points in both images, 40 in each alone; in the first image every fourth depth is unknown."""
    generator = np.random.default_rng(3)
    points = generator.uniform([-2, -1.5, 3], [2, 1.5, 9], (140, 3))
    first = image(points[:100], Rigid.identity(), "a")
    second = image(np.concatenate([points[:60], points[100:]]), SECOND_FROM_FIRST, "b")
    matches = reprojection_matches(first, second).inliers
    first.depth[::4] = 0
    return first, second, matches


def sample(dumped, **options):
    first, second, matches = dumped
    defaults = {"keypoints": 80, "min_inliers": 30, "max_inliers": 40}
    return matching_sample(
        first, second, matches, SampleOptions(**{**defaults, **options}), np.random.RandomState(5)
    )


def test_pairs_are_true_and_everything_follows_the_same_order(dumped):
    _, _, matches = dumped
    made = sample(dumped)
    partner = dict(matches.tolist())
    rows, columns = np.nonzero(made.matching[:-1, :-1])
    ids0, ids1 = made.first.scores.astype(int), made.second.scores.astype(int)
    assert 30 <= len(rows) <= 40
    assert all(partner[a] == b for a, b in zip(ids0[rows], ids1[columns], strict=True))
    for ours, ids in ((made.first, ids0), (made.second, ids1)):
        assert len(set(ids.tolist())) == 80
        assert np.array_equal(ours.descriptors[:, 0], ids)
        assert np.abs(ours.rays * [500, 510] + [320, 240] - ours.keypoints).max() < 1e-4
        assert np.allclose(ours.normalised, (ours.keypoints - [320.5, 240.5]) / 448, atol=1e-6)


def test_true_pairs_satisfy_the_geometry(dumped):
    made = sample(dumped)
    rows, columns = np.nonzero(made.matching[:-1, :-1])
    one = np.ones((len(rows), 1))
    x0 = np.concatenate([made.first.keypoints[rows], one], axis=1)
    x1 = np.concatenate([made.second.keypoints[columns], one], axis=1)
    line = x0 @ made.fundamental.T
    distance = np.abs((x1 * line).sum(axis=1)) / np.linalg.norm(line[:, :2], axis=1)
    assert distance.max() < 5
    assert np.median(distance) < 1e-3
    assert np.allclose(made.second_from_first.matrix, SECOND_FROM_FIRST.matrix)


def test_only_certain_keypoints_are_negatives_and_by_compat_all(dumped):
    ours, published = sample(dumped), sample(dumped, compat=True)
    n = 80
    assert np.array_equal(ours.matching[:n, :n], published.matching[:n, :n])
    assert np.array_equal(published.matching.sum(axis=1)[:n], np.ones(n))
    assert np.array_equal(published.matching.sum(axis=0)[:n], np.ones(n))
    assert ours.matching[n, n] == published.matching[n, n] == 0
    unknown = ours.first.scores % 4 == 0
    free = ours.matching[:n, :n].sum(axis=1) == 0
    assert (unknown & free).any() and not ours.matching[:n, n][unknown].any()
    assert 0 < ours.matching[:n, n].sum() < published.matching[:n, n].sum()


def test_rays_by_compat_are_half_a_pixel_off(dumped):
    ours, published = sample(dumped), sample(dumped, compat=True)
    assert np.allclose((ours.first.rays - published.first.rays) * [500, 510], 0.5)
    assert np.allclose(published.second.matrix - ours.second.matrix, [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def test_a_seed_gives_the_same_sample_and_another_seed_another(dumped):
    first, second, matches = dumped
    made = [
        matching_sample(first, second, matches, SampleOptions(80), np.random.RandomState(s)).first.scores
        for s in (1, 1, 2)
    ]
    assert np.array_equal(made[0], made[1]) and not np.array_equal(made[0], made[2])


@pytest.mark.parametrize("random_inliers", [False, True])
def test_always_as_many_keypoints_as_asked_for(random_inliers):
    generator = np.random.default_rng(0)
    for _ in range(50):
        counts = tuple(generator.integers(20, 50, 2).tolist())
        true = int(generator.integers(0, min(counts) + 1))
        matches = np.stack([generator.permutation(n)[:true] for n in counts], axis=1)
        options = SampleOptions(20, random_inliers, 5, 15)
        choice = choose_keypoints(matches, counts, options, np.random.RandomState(0))
        assert len(set(choice.first.tolist())) == len(set(choice.second.tolist())) == 20
        pairs = set(map(tuple, matches.tolist()))
        assert all((choice.first[a], choice.second[b]) in pairs for a, b in choice.pairs)
        others = min(counts) - true
        upper = max(min(15, true), 20 - others) if random_inliers else 20
        assert len(choice.pairs) <= min(upper, true)


def test_too_few_keypoints_and_wrong_matches_are_said(dumped):
    with pytest.raises(DatasetError, match="needs as many"):
        sample(dumped, keypoints=101)
    first, second, matches = dumped
    with pytest.raises(DatasetError, match="not there"):
        matching_sample(first, second, matches + 90, SampleOptions(80), np.random.RandomState(0))


def test_an_epoch_takes_a_share_of_every_scene_once():
    counts = {"few": 3, "many": 100}
    drawn = draw_pairs(counts, np.random.RandomState(1), pairs_per_scene=40)
    assert len(drawn) == len(set(drawn)) == 43
    assert drawn == draw_pairs(counts, np.random.RandomState(1), pairs_per_scene=40)
    assert drawn != draw_pairs(counts, np.random.RandomState(2), pairs_per_scene=40)
    assert [scene for scene, _ in drawn] != sorted(scene for scene, _ in drawn)
    published = draw_pairs(counts, np.random.RandomState(1), pairs_per_scene=40, compat=True)
    assert len(published) == 43 and len(set(published)) < 43
