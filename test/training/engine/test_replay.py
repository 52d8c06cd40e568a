"""Prioritised replay in the loop: what it draws, and that a run with it keeps the engine's promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relpose_ros.errors import ConfigurationError
from relpose_training.data.stream import Dataset
from relpose_training.engine.device import Place, TorchDevice
from relpose_training.engine.loop import train
from relpose_training.engine.replay import ERRORS, Replay, probabilities_of, weighted_mean
from relpose_training.engine.replay_config import ReplayOptions
from relpose_training.engine.states import load_state, save_state

OPTIONS = ReplayOptions(every=5, alpha=0.7, beta_steps=20)
BATCH = 4


def device():
    return TorchDevice("cpu", Place())


class Numbers(Dataset):
    """Samples whose kind is 1 if their place is in `rare`."""

    def __init__(self, sizes, rare=()):
        self.sizes, self.rare = list(sizes), rare

    def group_sizes(self):
        return self.sizes

    def sample(self, group, item, generator):
        return {}

    def kinds(self):
        return np.isin(np.arange(sum(self.sizes)), self.rare).astype(int)


def make_replay(sizes=(7, 5), options=OPTIONS, accumulate=1, rare=()):
    return Replay(
        Numbers(sizes, rare), options, BATCH, accumulate, 3, lambda v: {k: x.numpy() for k, x in v.items()}
    )


def play(replay, start, stop, error):
    """Go through batches `start` to `stop` as the loop does; returns the drawn samples."""
    drawn = []
    batch = start
    while batch < stop:
        for number in replay.begin(batch):
            if number >= stop:
                break
            drawn.append(replay.indices(number))
            replay.visited(torch.from_numpy(error[drawn[-1]]))
        batch = replay.next
    return np.array(drawn)


def test_a_hard_sample_comes_more_often_and_weighs_less():
    replay = make_replay()
    error = np.ones(12)
    error[9] = 30.0
    drawn = np.bincount(play(replay, 0, 200, error)[40:].ravel(), minlength=12)
    assert drawn[9] > 4 * np.delete(drawn, 9).max()
    assert np.delete(drawn, 9).min() > 0, "an easy one is never forgotten"
    weights = {
        i: w for b in range(195, 200) for i, w in zip(replay.indices(b), replay.weights(b), strict=True)
    }
    assert weights[9] < 0.5 * max(weights.values())


def test_what_was_never_seen_is_as_likely_as_the_hardest():
    p = probabilities_of(np.array([np.nan, 5.0, 0.1]), OPTIONS)
    assert p[0] == p[1] > 3 * p[2]
    assert np.allclose(probabilities_of(np.full(4, np.nan), OPTIONS), 0.25)
    assert np.allclose(probabilities_of(np.zeros(4), OPTIONS), 0.25)


def test_with_full_correction_the_weighted_mean_is_that_of_even_drawing():
    options = ReplayOptions(every=5, beta=1.0)
    replay = make_replay(options=options)
    error = np.linspace(0.1, 4, 12)
    play(replay, 0, 400, error)
    assert np.allclose(replay.probabilities @ replay._weights, 1 / np.mean(1 / replay._weights), rtol=1e-5)
    value = np.random.default_rng(0).normal(size=12)
    weighted = (replay.probabilities * replay._weights * value).sum() / (
        replay.probabilities * replay._weights
    ).sum()
    assert weighted == pytest.approx(value.mean())


def test_a_rare_kind_is_drawn_as_often_as_the_other_and_weighs_the_same():
    replay = make_replay(options=ReplayOptions(every=5, alpha=0.0, balance=True), rare=(2, 9))
    drawn = np.bincount(play(replay, 0, 300, np.ones(12)).ravel(), minlength=12)
    rare = drawn[[2, 9]].sum() / drawn.sum()
    assert 0.47 < rare < 0.53
    assert np.allclose(replay._weights, 1), "it is what is wanted, not a bias"
    hard = make_replay(options=ReplayOptions(every=5, alpha=1.0, beta=1.0, balance=True), rare=(2, 9))
    error = np.ones(12)
    error[0] = 10
    play(hard, 0, 200, error)
    mass = hard.probabilities * hard._weights
    assert mass[[2, 9]].sum() / mass.sum() == pytest.approx(0.5, abs=1e-5)
    assert hard.probabilities[0] > 4 * hard.probabilities[1]
    assert not np.allclose(make_replay(rare=(2,)).probabilities[2], 0.5), "only where it is asked for"


def test_priorities_change_at_the_ends_of_rounds_alone():
    replay = make_replay(accumulate=2)
    error = np.arange(12.0)
    replay.begin(0)
    before = replay.probabilities
    play(replay, 0, 10, error)
    assert replay.probabilities is before
    replay.begin(10)
    assert replay.probabilities is not before


@pytest.mark.parametrize("cut", [3, 5, 10, 13])
def test_a_saved_replay_draws_the_same(cut):
    error = np.random.default_rng(1).uniform(size=12)
    whole = play(make_replay(), 0, 30, error)
    first = make_replay()
    begun = play(first, 0, cut, error)
    second = make_replay()
    second.load_state_dict(first.state_dict())
    assert np.array_equal(np.concatenate([begun, play(second, cut, 30, error)]), whole)


def test_tickets_name_the_drawn_samples_and_none_comes_twice():
    replay = make_replay()
    tickets = [t for b in replay.begin(0) for t in replay.tickets(b)]
    first = np.array([0, 7])
    assert [first[t.group] + t.item for t in tickets] == [i for b in range(5) for i in replay.indices(b)]
    assert len(set(tickets)) == len(tickets)


def test_a_sample_without_an_error_is_taken_for_easy():
    replay = make_replay()
    replay.begin(0)
    replay.visited(torch.tensor([np.nan, np.inf, 1.0, 2.0]))
    replay.state_dict()
    assert np.isfinite(replay.errors[replay.indices(0)]).all()


def test_the_mean_without_replay_is_plain():
    values = torch.tensor([1.0, 3.0])
    assert weighted_mean(values, {}) == 2
    assert weighted_mean(values, {"weight": torch.tensor([1.0, 0.0])}) == 0.5


@pytest.fixture
def replayed(toy, line):
    """The recipe of the line, with replay: `replayed(out, steps=30)`."""

    class Module(toy.LineModule):  # type: ignore[misc, name-defined]
        def forward(self, batch, step):
            found = self.network(self.dropout(batch["x"]))[0]
            losses = (found - batch["y"]).square().mean(1)
            return {"loss": weighted_mean(losses, batch), "errors": losses}

    def make(out, **values):
        recipe = line(out, **values)
        recipe.module = lambda: Module(recipe.config)
        recipe.replay = lambda: ReplayOptions(every=4, beta_steps=20)
        return recipe

    return make


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("options", [{}, {"accumulate": 2, "ema": 0.9}])
def test_an_interrupted_run_equals_a_whole_one(replayed, tmp_path, options, interrupt_at, weights):
    train(replayed(tmp_path / "whole", **options), device())
    recipe = replayed(tmp_path / "parts", **options)
    interrupt_at(8, 19, 27)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            train(recipe, device())
    assert train(recipe, device()) == 0
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def make_older(folder, change=lambda replay: replay):
    """The state as it was written when rounds were of replay alone."""
    state = load_state(folder)
    state["replay"] = [change(found) for found in state.pop("rounds")]
    save_state(folder, state)


@pytest.fixture
def stopped(replayed, tmp_path, interrupt_at):
    """A run that was stopped inside a round; the recipe that goes on with it."""
    recipe = replayed(tmp_path / "parts")
    interrupt_at(19)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, device())
    return recipe


def test_a_state_of_an_older_version_goes_on(stopped, replayed, tmp_path, weights):
    make_older(tmp_path / "parts")
    assert train(stopped, device()) == 0
    train(replayed(tmp_path / "whole"), device())
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda replay: {k: v for k, v in replay.items() if k != "drawn_by"}, "drawn_by.*older version"),
        (lambda replay: {**replay, "errors": replay["errors"][1:]}, "drawn_by.*older version"),
        (lambda replay: None, "with none of the rounds"),
    ],
)
def test_a_state_of_which_nothing_can_be_made_is_not_dropped(stopped, tmp_path, change, said):
    make_older(tmp_path / "parts", change)
    with pytest.raises(ConfigurationError, match=said):
        train(stopped, device())


def test_a_replayed_run_does_not_go_on_evenly(stopped, tmp_path):
    stopped.replay = lambda: None
    with pytest.raises(ConfigurationError, match="the recipe has none"):
        train(stopped, device())


def test_any_number_of_loading_processes_gives_the_same_run(replayed, tmp_path, weights):
    train(replayed(tmp_path / "none", steps=10), device())
    train(replayed(tmp_path / "two", steps=10, workers=2), device())
    assert same(weights(tmp_path / "none"), weights(tmp_path / "two"))


def test_it_is_another_run_than_an_even_one(replayed, line, tmp_path, weights):
    train(replayed(tmp_path / "replay"), device())
    train(line(tmp_path / "even"), device())
    assert not same(weights(tmp_path / "replay"), weights(tmp_path / "even"))


def test_a_module_without_errors_is_refused(line, tmp_path):
    recipe = line(tmp_path)
    recipe.replay = lambda: ReplayOptions(every=4)
    with pytest.raises(ConfigurationError, match=ERRORS):
        train(recipe, device())
