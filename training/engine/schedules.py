"""The learning rate as a function of the step alone, so that a resumed run needs no history."""

from __future__ import annotations

import math

from relpose_training.engine.configuration import EngineConfig


def learning_rate(config: EngineConfig, step: int, steps: int | None = None) -> float:
    """The rate of step `step` (the first is 0) of `steps` (default: config.steps): a linear warm-up, then the
    schedule. A recipe in stages counts both from the start of a stage.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    return config.learning_rate * _share(config, step, config.steps if steps is None else steps)


def _share(config: EngineConfig, step: int, steps: int) -> float:
    if config.schedule in ("step", "exponential"):
        falls = max(step - config.step_start, 0) / config.step_size
        return float(config.step_factor ** (int(falls) if config.schedule == "step" else falls))
    done = (step - config.warmup_steps) / max(steps - config.warmup_steps, 1)
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1 - done if config.schedule == "linear" else 1.0
