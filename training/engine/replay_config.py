"""What can be set about prioritised replay; a recipe's configuration derives from this to offer it."""

from __future__ import annotations

from dataclasses import dataclass as plain_dataclass

from pydantic.dataclasses import dataclass

from relpose_training.engine.configuration import STRICT, Count, EngineConfig, Positive, Share


@plain_dataclass(frozen=True)
class ReplayOptions:
    """How much more often hard samples are drawn.

    `every` steps the priorities are computed anew; `alpha` 0 draws all alike, 1 in proportion to the
    error; the importance weights' `beta` rises to 1 in `beta_steps`; `ranks`: by 1 / rank of the error.
    `balance`: all kinds of samples count alike, however many there are of each.
    """

    every: int
    alpha: float = 0.6
    beta: float = 0.4
    beta_steps: int = 10000
    ranks: bool = False
    balance: bool = False


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ReplayConfig(EngineConfig):
    """Settings of a recipe whose modules give `errors` and heed `weight`."""

    replay_every: Count = 0
    """Steps between two looks at which samples are hard; these are then drawn more often. 0: never."""
    replay_alpha: Share = 0.6
    """0 draws all samples alike, 1 in proportion to their errors."""
    replay_beta: Share = 0.4
    """How far the loss makes up for uneven drawing at the start; rises to 1, which is wholly."""
    replay_beta_steps: Positive = 10000
    """Steps until it does so wholly."""
    replay_ranks: bool = False
    """Draw by the rank of the error, not by its size: does not follow outliers."""
    replay_balance: bool = False
    """Draw as if there were as many real images as simulated ones, however many there are."""

    @property
    def replay_options(self) -> ReplayOptions | None:
        """None: no replay."""
        if not self.replay_every:
            return None
        return ReplayOptions(
            self.replay_every,
            self.replay_alpha,
            self.replay_beta,
            self.replay_beta_steps,
            self.replay_ranks,
            self.replay_balance,
        )
