"""Tracks: never two keypoints of one reference, whatever the matches say."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from relpose_ros.maps.tracks import PairMatches, build_tracks


def matches_of(seed: int, references: int, keypoints: int, share_wrong: float) -> list[PairMatches]:
    """Keypoint k of every reference is the same thing; some matches are wrong and look worse."""
    generator = np.random.default_rng(seed)
    found = []
    for i in range(references):
        for j in range(i + 1, references):
            chosen = np.flatnonzero(generator.random(keypoints) < 0.7)
            pairs = np.stack([chosen, chosen], axis=1)
            wrong = generator.random(len(chosen)) < share_wrong
            pairs[wrong, 1] = generator.integers(0, keypoints, wrong.sum())
            found.append(PairMatches(i, j, pairs, generator.random(len(chosen)) + wrong))
    return found


def partition(tracks: list[np.ndarray]) -> set[frozenset[tuple[int, int]]]:
    groups: dict[int, set[tuple[int, int]]] = {}
    for reference, track in enumerate(tracks):
        for keypoint, number in enumerate(track.tolist()):
            if number >= 0:
                groups.setdefault(number, set()).add((reference, keypoint))
    return {frozenset(g) for g in groups.values()}


@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(1, 30), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_track_has_at_most_one_keypoint_of_a_reference(
    seed: int, references: int, keypoints: int, share_wrong: float
) -> None:
    tracks = build_tracks(matches_of(seed, references, keypoints, share_wrong), [keypoints] * references)
    for track in tracks:
        numbers = track[track >= 0]
        assert len(numbers) == len(np.unique(numbers))
    sizes = np.bincount(np.concatenate(tracks)[np.concatenate(tracks) >= 0])
    assert (sizes >= 2).all(), "numbers without gaps, and no track of one"


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_consistent_matches_give_the_same_tracks_in_any_order(seed: int) -> None:
    matches = matches_of(seed, 6, 20, 0.0)
    order = np.random.default_rng(seed).permutation(len(matches))
    shuffled = []
    for m in (matches[i] for i in order):
        inside = np.random.default_rng(seed + 1).permutation(len(m.pairs))
        shuffled.append(PairMatches(m.first, m.second, m.pairs[inside], m.distances[inside]))
    first, second = (partition(build_tracks(m, [20] * 6)) for m in (matches, shuffled))
    assert first == second


def test_consistent_matches_give_the_true_things() -> None:
    tracks = build_tracks(matches_of(0, 8, 50, 0.0), [50] * 8)
    groups = partition(tracks)
    assert all(len({k for _, k in g}) == 1 for g in groups)
    assert len(groups) == 50


def test_the_better_match_wins_where_two_contradict() -> None:
    """Keypoint 0 of reference 0 matches 0 and 1 of reference 1; only one may stay."""
    pairs, distances = np.array([[0, 1], [0, 0]]), np.array([0.5, 0.2])
    tracks = build_tracks([PairMatches(0, 1, pairs, distances)], [1, 2])
    assert partition(tracks) == {frozenset({(0, 0), (1, 0)})}


def test_a_wrong_match_does_not_weld_two_things_together() -> None:
    """Two clean tracks over three references, and a bad match between them."""
    good = [PairMatches(i, j, np.array([[0, 0], [1, 1]]), np.zeros(2)) for i, j in ((0, 1), (1, 2))]
    bad = PairMatches(0, 2, np.array([[0, 1]]), np.array([1.0]))
    assert len(partition(build_tracks([bad, *good], [2, 2, 2]))) == 2


def test_nothing_matched() -> None:
    tracks = build_tracks([], [3, 0, 2])
    assert [t.tolist() for t in tracks] == [[-1] * 3, [], [-1] * 2]
    assert [t.tolist() for t in build_tracks([], [0, 0])] == [[], []]
