"""Strided neighbours: the published selection, exact. Pose diversity: what it skips and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relpose_ros.errors import ConfigurationError
from relpose_ros.geometry.rigid import Rigid
from relpose_ros.retrieval.diversity import diverse_poses, strided_neighbours


@pytest.mark.parametrize("period", [3, 5])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_matches_the_published_selection(goldens: Path, period: int, exclude_self: bool) -> None:
    with np.load(goldens / "relpose_gnn" / "strided_subsampling.npz") as data:
        similarity = data["sim"]
        expected = data[f"sp{period}{'_exclude_self' if exclude_self else ''}"]
    state = np.random.RandomState(7)
    got = [
        strided_neighbours(row, 7, period, exclude=query if exclude_self else None, halving=state)
        for query, row in enumerate(similarity)
    ]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("split", ["test", "train"])
def test_matches_the_published_graphs(goldens: Path, split: str) -> None:
    folder = goldens / "relpose_gnn"
    expected = json.loads((folder / "e2e_graphs.json").read_text())["graphs"][f"{split}_sp2"]["neighbours"]
    with np.load(folder / f"e2e_retrieval_{split}.npz") as data:
        similarity = data["sim"]
    state = np.random.RandomState(7)
    got = [
        strided_neighbours(row, 7, 2, exclude=query if split == "train" else None, halving=state)
        for query, row in enumerate(similarity)
    ]
    np.testing.assert_array_equal(got, expected)


def test_without_halving_the_best_is_kept_and_nothing_is_random() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.8, 0.7, 0.6])
    assert strided_neighbours(scores, 3, 2).tolist() == [1, 4, 2]
    assert strided_neighbours(scores, 3, 2, exclude=1).tolist() == [3, 5, 0]


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(0, 2**31),
)
def test_selection_is_a_ranked_subset(scores: list[float], count: int, period: int, seed: int) -> None:
    values = np.array(scores)
    for halving in (None, np.random.RandomState(seed)):
        chosen = strided_neighbours(values, count, period, exclude=0, halving=halving)
        assert len(chosen) <= count and len(set(chosen.tolist())) == len(chosen)
        assert 0 not in chosen
        assert np.all(np.diff(values[chosen]) <= 0)


@pytest.mark.parametrize("scores", [np.ones((2, 2)), np.array([0.1, np.nan]), np.array([np.inf])])
def test_bad_scores_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ConfigurationError, match="finite scores"):
        strided_neighbours(scores, 3, 2)


@pytest.mark.parametrize(("count", "period"), [(0, 2), (3, 0)])
def test_bad_strides_are_refused(count: int, period: int) -> None:
    with pytest.raises(ConfigurationError, match="period >= 1"):
        strided_neighbours(np.ones(4), count, period)


def along_a_line(positions: list[float], turns: list[float] | None = None) -> Rigid:
    vectors = [[0, turn, 0] for turn in turns or [0.0] * len(positions)]
    return Rigid.from_rotation_vector(vectors, [[x, 0, 0] for x in positions])


def test_skips_what_stands_in_the_same_place() -> None:
    poses = along_a_line([0.0, 0.05, 0.5, 0.55, 1.0])
    assert diverse_poses([1, 0, 2, 3, 4], poses, 3, distance=0.2, angle=0.1).tolist() == [1, 2, 4]


def test_the_same_place_looking_elsewhere_is_kept() -> None:
    poses = along_a_line([0.0, 0.0, 0.0], [0.0, 0.05, 1.0])
    assert diverse_poses([0, 1, 2], poses, 2, distance=0.2, angle=0.1).tolist() == [0, 2]


def test_fills_up_with_the_best_skipped() -> None:
    poses = along_a_line([0.0, 0.01, 0.02, 5.0])
    assert diverse_poses([2, 1, 0, 3], poses, 3, distance=0.2, angle=0.1).tolist() == [2, 3, 1]
    assert diverse_poses([2, 1, 0, 3], poses, 3, distance=0.2, angle=0.1, fill=False).tolist() == [2, 3]


def test_zero_thresholds_only_skip_exact_copies() -> None:
    poses = along_a_line([0.0, 0.0, 1e-3])
    assert diverse_poses([0, 1, 2], poses, 3, distance=0.0, angle=0.0, fill=False).tolist() == [0, 2]


def test_an_empty_ranking_chooses_nothing() -> None:
    assert diverse_poses([], along_a_line([0.0]), 3, 0.1, 0.1).tolist() == []


@given(st.lists(st.floats(0, 3), min_size=1, max_size=25), st.integers(1, 10), st.floats(0.01, 1))
def test_chosen_are_apart_and_the_best_is_among_them(xs: list[float], count: int, distance: float) -> None:
    chosen = diverse_poses(range(len(xs)), along_a_line(xs), count, distance, 0.1, fill=False)
    gaps = np.diff(np.sort(np.array(xs)[chosen]))
    assert chosen[0] == 0 and len(chosen) <= count
    assert np.all(gaps > distance)


@pytest.mark.parametrize(
    ("ranking", "count", "distance", "angle", "message"),
    [
        ([0], 0, 0.1, 0.1, "count >= 1"),
        ([0], 1, -0.1, 0.1, "distance >= 0"),
        ([0], 1, 0.1, float("nan"), "angle >= 0"),
        ([2], 1, 0.1, 0.1, r"indices in \[0, 2\)"),
        ([-1], 1, 0.1, 0.1, r"indices in \[0, 2\)"),
    ],
)
def test_bad_requests_are_refused(
    ranking: list[int], count: int, distance: float, angle: float, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        diverse_poses(ranking, along_a_line([0.0, 1.0]), count, distance, angle)
