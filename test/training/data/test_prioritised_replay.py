"""Prioritised replay: hard samples come more often, and the weights take that back."""

from __future__ import annotations

import numpy as np
import pytest

from relpose_ros.errors import ConfigurationError
from relpose_training.data.prioritised_replay import (
    importance_weights,
    replay_probabilities,
    stratified_draw,
)

ERRORS = np.array([0.1, -5.0, 1.0, 0.0])


@pytest.mark.parametrize("rank_based", [False, True])
def test_larger_errors_are_more_probable(rank_based) -> None:
    chances = replay_probabilities(ERRORS, rank_based=rank_based)
    assert chances.sum() == pytest.approx(1) and np.argsort(-chances).tolist() == [1, 2, 0, 3]
    np.testing.assert_allclose(replay_probabilities(ERRORS, alpha=0.0, rank_based=rank_based), 0.25)


def test_full_weights_make_the_mean_unbiased() -> None:
    chances = replay_probabilities(ERRORS, floor=0.1)
    weights = importance_weights(chances, beta=1.0)
    value = np.array([3.0, -1, 4, 2])
    assert (chances * weights * value).sum() / (chances * weights).sum() == pytest.approx(value.mean())
    np.testing.assert_allclose(importance_weights(chances, 0.0), 1)


def test_stratified_draws_have_the_frequencies_of_the_probabilities() -> None:
    chances = replay_probabilities(ERRORS, floor=0.1)
    drawn = stratified_draw(chances, np.random.default_rng(0).random(10_000))
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 10_000, chances, atol=3e-4)
    assert stratified_draw(chances, np.array([1 - 1e-16]))[0] == 3


@pytest.mark.parametrize("bad", [[], [1.0, np.nan], [[1.0, 2.0]]])
def test_wrong_errors_are_refused(bad) -> None:
    with pytest.raises(ConfigurationError, match="finite errors"):
        replay_probabilities(bad)
