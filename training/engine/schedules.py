"""The learning rate as a function of the step alone, so that a resumed run needs no history."""

from __future__ import annotations

import math

from relpose_training.engine.configuration import EngineConfig


def learning_rate(config: EngineConfig, step: int) -> float:
    """The rate of step `step` (the first is 0): a linear warm-up, then the schedule."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    return config.learning_rate * _share(config, step)


def _share(config: EngineConfig, step: int) -> float:
    if config.schedule == "step":
        return float(config.step_factor ** (step // config.step_size))
    done = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1 - done if config.schedule == "linear" else 1.0
