"""How many steps fit into a given time: measured on this machine, chosen once, kept when the run goes on."""

from __future__ import annotations

import math
import tempfile
import time
from bisect import bisect_right
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from relpose_ros.errors import ConfigurationError
from relpose_training.engine.backup import CONFIG, Backup
from relpose_training.engine.configuration import EngineConfig
from relpose_training.engine.device import Batch, Device
from relpose_training.engine.loop import Meter, Trainer
from relpose_training.engine.recipe import Recipe
from relpose_training.engine.states import save_state

USED = 0.92
"""Share of what is left that is planned for; the rest is for what else the machine does."""
ENDING = 5.0
"""Seconds for the curves and the end of the process."""
MEASURING = 0.04
"""Share of the time that may go into timing steps."""
FEWEST, MOST = 3, 50
"""Timed steps."""


@dataclass(frozen=True)
class Budget:
    """`minutes` from `started` (time.monotonic(), which all processes of a machine share)."""

    minutes: float
    started: float

    def left(self) -> float:
        """Seconds."""
        return 60 * self.minutes - (time.monotonic() - self.started)


@dataclass(frozen=True)
class Costs:
    """Seconds: of the start with the first step, of a later step, of a validation, of saving a state."""

    start: float
    step: float
    validation: float
    saving: float

    def of(self, steps: int, config: EngineConfig) -> float:
        """All steps, with the validations and savings that the configuration asks for."""
        validations = math.ceil(steps / config.validate_every)
        savings = math.ceil(steps / config.save_every)
        return steps * self.step + validations * self.validation + savings * self.saving


def within(
    recipe: Recipe[Any], device: Device, budget: Budget, rehearsal: bool = False
) -> tuple[Recipe[Any], str]:
    """The same recipe with as many steps as fit into the time, or as a run that is there has; and why.

    Every process of a run gets the same number. Raises ConfigurationError if no more than the warm-up fits.
    """
    steps = recorded_steps(recipe.config, device, fetch=not rehearsal)
    if steps is not None:
        why = f"{steps} steps, as the run in {recipe.config.out} began"
    else:
        costs = measure(recipe, device, budget)
        seconds = USED * (budget.left() - costs.start - ENDING)
        steps, why = device.gather(_choice(costs, recipe.config, seconds, budget))[0]
    if not steps:
        raise ConfigurationError(why)
    return type(recipe)(replace(recipe.config, steps=steps)), why


def recorded_steps(config: EngineConfig, device: Device, fetch: bool) -> int | None:
    """What the run in `out` (or in its backup, if it may be fetched) has; None if there is none."""
    folder = Path(config.out)
    if fetch and config.backup is not None and device.place.local_rank == 0:
        Backup(config.backup, folder).fetch()
    steps = None
    if device.is_main and (folder / CONFIG).is_file():
        written = yaml.safe_load((folder / CONFIG).read_text())
        steps = written.get("steps") if isinstance(written, dict) else None
    found: int | None = device.gather(steps)[0]
    return found


def choose_steps(costs: Costs, config: EngineConfig, seconds: float) -> int:
    """The most steps that take no more than `seconds`; 0 if none do."""
    most = max(int(seconds / costs.step), 0)
    return bisect_right(range(most + 1), seconds, key=lambda steps: costs.of(steps, config)) - 1


def _choice(costs: Costs, config: EngineConfig, seconds: float, budget: Budget) -> tuple[int, str]:
    steps = max(choose_steps(costs, config, seconds), 0)
    measured = (
        f"{costs.start:.3g} s to start, {costs.step:.3g} s a step, {costs.validation:.3g} s a validation, "
        f"{costs.saving:.2g} s to save"
    )
    if steps <= config.warmup_steps:
        what = f"{steps} steps, but warmup_steps={config.warmup_steps}" if steps else "not a single step"
        return 0, f"--minutes {budget.minutes:g}: there is time for {what} ({measured}); give it more"
    return steps, f"{steps} steps fit into {budget.minutes:g} minutes ({measured})"


def measure(recipe: Recipe[Any], device: Device, budget: Budget) -> Costs:
    """Set the run up, take some steps, validate and save as it will, and throw all of it away."""
    started = time.monotonic()
    trainer = Trainer(recipe, device, rehearsal=True)
    data = trainer.training_batches()
    device.fetch(trainer.train_step(data, Meter(0.0)))
    start = time.monotonic() - started
    second = _time(trainer, data, 1)
    # What was loaded ahead while the first step compiled would make the others look fast.
    ahead = math.ceil((2 + 4 * recipe.config.workers) / recipe.config.accumulate)
    affordable = int(min(MEASURING * 60 * budget.minutes / second, 2 * MOST))
    ahead, timed = device.gather((min(ahead, affordable // 2), min(max(affordable // 2, FEWEST), MOST)))[0]
    _time(trainer, data, ahead)
    step = _time(trainer, data, timed) + _beginning(trainer)
    return Costs(start, step, _time_validation(trainer), _time_saving(trainer))


def _time(trainer: Trainer, data: Any, steps: int) -> float:
    """Seconds a step."""
    meter = Meter(time.monotonic())
    values: Batch = {}
    for _ in range(steps):
        values = trainer.train_step(data, meter)
    trainer.device.fetch(values)
    return (time.monotonic() - meter.started) / max(steps, 1)


def _beginning(trainer: Trainer) -> float:
    """Seconds a step that the beginnings of rounds take."""
    order = trainer.order
    if order is None:
        return 0.0
    share: float = order.seconds * trainer.config.accumulate / len(order.batches)
    return share


def _time_validation(trainer: Trainer) -> float:
    started = time.monotonic()
    trainer.recipe.validate(trainer.module, trainer.device)
    return time.monotonic() - started


def _time_saving(trainer: Trainer) -> float:
    started = time.monotonic()
    state = trainer.state()
    if trainer.device.is_main:
        with tempfile.TemporaryDirectory() as folder:
            save_state(Path(folder), state)
    return time.monotonic() - started
