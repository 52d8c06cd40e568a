"""Prioritised replay in the loop: rounds of steps, each drawn from what the rounds before have shown.

Schaul, Quan, Antonoglou and Silver, "Prioritized Experience Replay", ICLR 2016. There every draw follows
the newest errors; here a round does, so that batches can be loaded ahead by any number of processes, and a
run that was stopped goes on with the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relpose_ros.errors import ConfigurationError
from relpose_training.data.prioritised_replay import (
    importance_weights,
    replay_probabilities,
    stratified_draw,
)
from relpose_training.data.stream import Dataset, Ticket
from relpose_training.engine.replay_config import ReplayOptions
from relpose_training.engine.rounds import Rounds

Array = NDArray[np.float64]
Fetch = Callable[[dict[str, Tensor]], dict[str, NDArray[Any]]]

WEIGHT = "weight"
"""Key of a batch: what the loss of each sample is multiplied by (B,), because it was drawn so often."""

ERRORS = "errors"
"""Key of what a module gives: how hard each sample was (B,), 0 or more."""

LEAST = 0.1
"""Added to every error, as a share of the mean one: nothing is so easy that it is never looked at again."""


class Replay(Rounds):
    """What one process knows of its own samples, and the batches that follow from it.

    A step has `accumulate` batches. `errors` (N,) are the latest known, NaN of samples that were never seen:
    these count as hard as the hardest.
    """

    def __init__(
        self,
        data: Dataset,
        options: ReplayOptions,
        batch_size: int,
        accumulate: int,
        seed: int,
        fetch: Fetch,
    ) -> None:
        self.options, self.batch_size, self.seed, self.fetch = options, batch_size, seed, fetch
        self.round_size = options.every * accumulate
        self.first = np.cumsum([0, *data.group_sizes()])
        self.share = share_of_kinds(data.kinds() if options.balance else None, int(self.first[-1]))
        self.errors: Array = np.full(self.first[-1], np.nan)
        self.next = 0
        self._set_round(-1, self.errors)
        self._pending: list[tuple[int, Tensor]] = []

    def begin(self, batch: int) -> range:
        """The batches of the round that `batch` is in, from this one on. A new round looks at the errors."""
        number = batch // self.round_size
        if number != self.round:
            self._absorb()
            self._set_round(number, self.errors)
        self.next = batch
        return range(batch, (number + 1) * self.round_size)

    def _set_round(self, number: int, errors: Array) -> None:
        options = self.options
        self.round, self._drawn_by = number, errors.copy()
        beta = options.beta + (1 - options.beta) * min(1, max(number, 0) * options.every / options.beta_steps)
        uneven = self.share * probabilities_of(errors, options)
        self.probabilities = uneven / uneven.sum()
        relative = self.probabilities / (self.share * len(errors))
        self._weights = importance_weights(relative, beta).astype(np.float32)

    def indices(self, batch: int) -> NDArray[np.int64]:
        """The samples (B,) of a batch of this round, as places in the dataset's groups end to end."""
        uniforms = np.random.default_rng([self.seed, batch, 4]).random(self.batch_size)
        return stratified_draw(self.probabilities, uniforms)

    def tickets(self, batch: int) -> list[Ticket]:
        """The same for the loading processes. No two are equal: a sample comes in another form each time."""
        found = self.indices(batch)
        groups = np.searchsorted(self.first, found, side="right") - 1
        places = zip(groups.tolist(), (found - self.first[groups]).tolist(), strict=True)
        return [Ticket(batch * self.batch_size + k, *place) for k, place in enumerate(places)]

    def extras(self, batch: int) -> dict[str, Tensor]:
        return {WEIGHT: torch.from_numpy(self.weights(batch))}

    def weights(self, batch: int) -> NDArray[np.float32]:
        """Importance weights (B,) of a batch's samples, 1 at most."""
        return np.asarray(self._weights[self.indices(batch)])

    def visited(self, errors: Tensor | None) -> None:
        """The errors (B,) of the next batch; fetched from the device when a round or a save wants them.

        Raises ConfigurationError if the module gives none.
        """
        if errors is None or errors.shape != (self.batch_size,):
            got = "nothing" if errors is None else f"{tuple(errors.shape)}"
            raise ConfigurationError(
                f"replay expects `{ERRORS}` ({self.batch_size},) of the module's forward, got {got}"
            )
        self._pending.append((self.next, errors.detach()))
        self.next += 1

    def _absorb(self) -> None:
        if not self._pending:
            return
        batches, errors = zip(*self._pending, strict=True)
        for batch, values in zip(batches, self.fetch({ERRORS: torch.stack(errors)})[ERRORS], strict=True):
            # A sample without labels has no error, and nothing to teach.
            self.errors[self.indices(batch)] = np.nan_to_num(np.abs(values), nan=0.0, posinf=0.0)
        self._pending.clear()

    def state_dict(self) -> dict[str, Any]:
        """For a saved state."""
        self._absorb()
        return {
            "round": self.round,
            "drawn_by": torch.from_numpy(self._drawn_by.copy()),
            ERRORS: torch.from_numpy(self.errors.copy()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """From a saved state."""
        self._set_round(int(state["round"]), state["drawn_by"].numpy())
        self.errors = state[ERRORS].numpy().copy()


def share_of_kinds(kinds: NDArray[np.int64] | None, samples: int) -> Array:
    """What share of all draws each sample (N,) has when none is hard: of its kind, all of which are alike."""
    if kinds is None:
        return np.full(samples, 1 / samples)
    _, which, counts = np.unique(kinds, return_inverse=True, return_counts=True)
    return np.asarray(1 / (len(counts) * counts[which]))


def probabilities_of(errors: Array, options: ReplayOptions) -> Array:
    """P (N,) of drawing each sample; those whose error is not known (NaN) are as likely as the hardest."""
    known = errors[~np.isnan(errors)]
    hardest = float(known.max(initial=0.0))
    floor = LEAST * float(known.mean()) if hardest > 0 else 1.0
    filled = np.where(np.isnan(errors), hardest, errors)
    return replay_probabilities(filled, options.alpha, floor, options.ranks and hardest > 0)


def weighted_mean(values: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean of the losses (B,) of a batch, each times its importance weight where there is replay."""
    return (values * batch[WEIGHT]).mean() if WEIGHT in batch else values.mean()
